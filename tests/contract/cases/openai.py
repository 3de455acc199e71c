"""Chat completions."""

import base64
import json
from typing import Any

from providers.openai.client import OpenAIService
from ringback.testing.script import Received
from tests.contract.case import Case, Sent


def _sent(received: Received) -> Sent:
    body: dict[str, Any] = received.body
    messages: list[dict[str, Any]] = body["messages"]
    parts = [(m["role"], part) for m in messages if m["role"] in ("user", "assistant") for part in _parts(m["content"])]
    calls = [call["function"] for message in messages for call in message.get("tool_calls", ())]
    tools = [tool["function"] for tool in body.get("tools", ())]
    return Sent(
        model=body["model"],
        system=next((message["content"] for message in messages if message["role"] == "system"), None),
        texts=tuple((role, part["text"]) for role, part in parts if part["type"] == "text"),
        temperature=body.get("temperature"),
        max_tokens=body.get("max_tokens"),
        top_p=body.get("top_p"),
        stop=tuple(body.get("stop", ())),
        images=tuple(_image(part["image_url"]["url"]) for _, part in parts if part["type"] == "image_url"),
        tools=tuple((tool["name"], tool["description"], tool["parameters"]) for tool in tools),
        tool_calls=tuple((call["name"], json.loads(call["arguments"])) for call in calls),
        tool_results=tuple((m["tool_call_id"], m["content"]) for m in messages if m["role"] == "tool"),
        tool_choice=body.get("tool_choice"),
        json_schema=body.get("response_format", {}).get("json_schema", {}).get("schema"),
    )


def _parts(content: str | list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def _image(url: str) -> tuple[str, bytes]:
    head, _, data = url.partition(";base64,")
    return head.removeprefix("data:"), base64.b64decode(data)


CASES = (Case(id="openai", provider="openai", model="gpt-4o", make=OpenAIService, vendor="openai", sent=_sent),)
