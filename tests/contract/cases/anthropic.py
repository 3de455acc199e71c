"""Claude, directly and on Bedrock."""

import base64
from typing import Any

from providers.anthropic.client import AnthropicService
from ringback.testing.script import Fault, Received
from tests.contract.case import STREAMED, WHOLE, Case, Expected, Sent

_CHOICES = {"any": "required", "none": "none", "auto": "auto"}


def _sent(received: Received) -> Sent:
    body: dict[str, Any] = received.body
    blocks = [(message["role"], block) for message in body["messages"] for block in message["content"]]
    return Sent(
        model=received.model,
        system=body.get("system"),
        texts=tuple((role, block["text"]) for role, block in blocks if block["type"] == "text"),
        temperature=body.get("temperature"),
        max_tokens=body["max_tokens"],
        top_p=body.get("top_p"),
        stop=tuple(body.get("stop_sequences", ())),
        images=tuple(
            (block["source"]["media_type"], base64.b64decode(block["source"]["data"]))
            for _, block in blocks
            if block["type"] == "image"
        ),
        tools=tuple((tool["name"], tool["description"], tool["input_schema"]) for tool in body.get("tools", ())),
        tool_calls=tuple((block["name"], block["input"]) for _, block in blocks if block["type"] == "tool_use"),
        tool_results=tuple(
            (block["tool_use_id"], block["content"]) for _, block in blocks if block["type"] == "tool_result"
        ),
        tool_choice=_CHOICES.get(body.get("tool_choice", {}).get("type")),
        json_schema=body.get("output_config", {}).get("format", {}).get("schema"),
    )


_MUTE: tuple[Fault, ...] = ("rate_limited", "overloaded", "error_in_stream")
"""Bedrock has no `Retry-After`."""

CASES = (
    Case(
        id="anthropic",
        provider="anthropic",
        model="claude-sonnet-4-6",
        make=AnthropicService,
        vendor="anthropic",
        sent=_sent,
        takes_sampling=False,
        meters_early=True,
    ),
    Case(
        id="anthropic-on-bedrock",
        provider="anthropic",
        model="bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0",
        make=AnthropicService,
        vendor="anthropic",
        sent=_sent,
        takes_sampling=False,
        meters_early=True,
        whole={fault: Expected(error=WHOLE[fault].error) for fault in _MUTE},
        streamed={fault: Expected(error=STREAMED[fault].error) for fault in _MUTE},
    ),
)
