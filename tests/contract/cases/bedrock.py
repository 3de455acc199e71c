"""Converse through boto3."""

import base64
import json
from typing import Any

from providers import errors
from providers.bedrock.client import BedrockService
from ringback.testing.script import Fault, Received
from tests.contract.case import Case, Expected, Sent


def _sent(received: Received) -> Sent:
    body: dict[str, Any] = received.body
    settings: dict[str, Any] = body.get("inferenceConfig", {})
    blocks = [(message["role"], block) for message in body["messages"] for block in message["content"]]
    tools = [tool["toolSpec"] for tool in body.get("toolConfig", {}).get("tools", ())]
    calls = [block["toolUse"] for _, block in blocks if "toolUse" in block]
    results = [block["toolResult"] for _, block in blocks if "toolResult" in block]
    structure = body.get("outputConfig", {}).get("textFormat", {}).get("structure")
    return Sent(
        model=received.model,
        system="".join(block["text"] for block in body["system"]) if "system" in body else None,
        texts=tuple((role, block["text"]) for role, block in blocks if "text" in block),
        temperature=settings.get("temperature"),
        max_tokens=settings.get("maxTokens"),
        top_p=settings.get("topP"),
        stop=tuple(settings.get("stopSequences", ())),
        images=tuple(_image(block["image"]) for _, block in blocks if "image" in block),
        tools=tuple((tool["name"], tool["description"], tool["inputSchema"]["json"]) for tool in tools),
        tool_calls=tuple((call["name"], call["input"]) for call in calls),
        tool_results=tuple((result["toolUseId"], result["content"][0]["text"]) for result in results),
        tool_choice="required" if "any" in body.get("toolConfig", {}).get("toolChoice", {}) else None,
        json_schema=json.loads(structure["jsonSchema"]["schema"]) if structure else None,
    )


def _image(image: dict[str, Any]) -> tuple[str, bytes]:
    return f"image/{image['format']}", base64.b64decode(image["source"]["bytes"])


_NEVER_SAYS_WHEN: dict[Fault, Expected] = {
    "rate_limited": Expected(error=errors.RateLimited),
    "overloaded": Expected(error=errors.Overloaded),
    "error_in_stream": Expected(error=errors.Overloaded),
}

CASES = (
    Case(
        id="bedrock",
        provider="bedrock",
        model="us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        make=BedrockService,
        vendor="bedrock",
        sent=_sent,
        whole=_NEVER_SAYS_WHEN,
        streamed=_NEVER_SAYS_WHEN,
        reports_reasoning=False,
        says_none=False,
    ),
)
