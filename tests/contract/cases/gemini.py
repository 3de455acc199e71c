"""Content generation through google-genai."""

import base64
from typing import Any

from providers.gemini.client import GeminiService
from ringback.testing.script import Received
from tests.contract.case import Case, Sent

_CHOICES = {"ANY": "required", "NONE": "none", "AUTO": "auto"}


def _sent(received: Received) -> Sent:
    body: dict[str, Any] = received.body
    settings: dict[str, Any] = body.get("generationConfig", {})
    roles = {"user": "user", "model": "assistant"}
    parts = [(roles[content["role"]], part) for content in body["contents"] for part in content["parts"]]
    functions = [function for tool in body.get("tools", ()) for function in tool["functionDeclarations"]]
    system = body.get("systemInstruction")
    return Sent(
        model=received.model,
        system="".join(part["text"] for part in system["parts"]) if system else None,
        texts=tuple((role, part["text"]) for role, part in parts if "text" in part),
        temperature=settings.get("temperature"),
        max_tokens=settings.get("maxOutputTokens"),
        top_p=settings.get("topP"),
        stop=tuple(settings.get("stopSequences", ())),
        images=tuple(_image(part["inlineData"]) for _, part in parts if "inlineData" in part),
        tools=tuple((each["name"], each["description"], each["parametersJsonSchema"]) for each in functions),
        tool_calls=tuple(
            (part["functionCall"]["name"], part["functionCall"]["args"]) for _, part in parts if "functionCall" in part
        ),
        tool_results=tuple(_result(part["functionResponse"]) for _, part in parts if "functionResponse" in part),
        tool_choice=_CHOICES.get(body.get("toolConfig", {}).get("functionCallingConfig", {}).get("mode")),
        json_schema=settings.get("responseJsonSchema"),
    )


def _image(blob: dict[str, str]) -> tuple[str, bytes]:
    return blob["mimeType"], base64.b64decode(blob["data"])


def _result(response: dict[str, Any]) -> tuple[str, str]:
    return response["id"], response["response"]["output"]


CASES = (
    Case(
        id="gemini",
        provider="gemini",
        model="gemini-3-flash",
        make=GeminiService,
        vendor="gemini",
        sent=_sent,
        meters_early=True,
    ),
)
