"""Bedrock's wire: POST /model/{modelId}/converse, whole, or /converse-stream as event-stream frames.

Sources: the Amazon Bedrock API reference, "Converse", "ConverseStream" and "Common errors".
"""

import re
from typing import Any

import msgspec

from ringback.testing.script import Fault, Received, Script, ToolUse, Vendor
from ringback.testing.vendors import eventstream
from ringback.testing.vendors.wire import Call, Frames, Reply, finish_of, quoted

_PATH = re.compile(r"/model/(?P<model>.+)/converse(?P<streamed>-stream)?")
_BLOCKS = frozenset({"text", "image", "document", "toolUse", "toolResult", "cachePoint", "reasoningContent"})
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
}
_UNKNOWN_DELTA = {"contentBlockIndex": 0, "delta": {"weather": {"text": "fine"}}}
_PADDING = "abcdefghijkl"
"""Bedrock pads its events, so that their length tells nothing of the tokens in them."""

_REFUSALS: dict[Fault, tuple[int, str, str]] = {
    "rate_limited": (429, "ThrottlingException", "Too many requests, please wait before trying again."),
    "overloaded": (503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
    "server_error": (500, "InternalServerException", "The system encountered an unexpected error during processing."),
    "timeout": (408, "ModelTimeoutException", "Model has timed out in processing the request. Try your request again."),
    "bad_request": (400, "ValidationException", "The value at messages.0.content.0 is not valid: {prompt}"),
    "context_too_long": (400, "ValidationException", "Input is too long for requested model."),
    "unauthorized": (403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    "forbidden": (403, "AccessDeniedException", "You don't have access to the model with the specified model ID."),
    "model_not_found": (404, "ResourceNotFoundException", "Could not resolve the foundation model: {model}"),
    "rejects_prefill": (
        400,
        "ValidationException",
        "A conversation must end with a user message. Try again with a conversation that ends with a user message.",
    ),
}


class BedrockWire:
    """Converse and ConverseStream."""

    vendor: Vendor = "bedrock"

    def read(self, path: str, body: dict[str, Any]) -> Call | Reply | None:
        """See `Wire`."""
        if (matched := _PATH.fullmatch(path)) is None:
            return None
        if (problem := _problem(body)) is not None:
            return _error(400, "ValidationException", problem)
        return Call(
            model=matched["model"],
            streamed=matched["streamed"] is not None,
            prefilled=body["messages"][-1]["role"] == "assistant",
        )

    def whole(self, call: Call, script: Script) -> Reply:
        """See `Wire`."""
        content: list[dict[str, Any]] = [{"text": script.text}] if script.deltas else []
        content += [
            {"toolUse": {"toolUseId": tool.id, "name": tool.name, "input": tool.arguments}}
            for tool in script.tool_calls
        ]
        document = {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": _STOP_REASONS[finish_of(script)],
            **_metadata(script),
        }
        return Reply(body=msgspec.json.encode(document))

    def frames(self, call: Call, script: Script) -> Frames:
        """See `Wire`."""
        tail = [_event("contentBlockStop", {"contentBlockIndex": 0})] if script.deltas else []
        for index, tool in enumerate(script.tool_calls, start=1 if script.deltas else 0):
            tail += _tool_events(index, tool)
        _, kind, message = _REFUSALS["overloaded"]
        return Frames(
            content_type=eventstream.CONTENT_TYPE,
            head=(_event("messageStart", {"role": "assistant"}),),
            deltas=tuple(
                _event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}}) for text in script.deltas
            ),
            tail=tuple(tail),
            finish=(_event("messageStop", {"stopReason": _STOP_REASONS[finish_of(script)]}),),
            end=(_event("metadata", _metadata(script)),),
            error=eventstream.exception(kind[0].lower() + kind[1:], msgspec.json.encode({"message": message})),
            malformed=eventstream.event("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text'),
            keep_alive=_event("weather", {"delta": {"text": "fine"}}) + _event("contentBlockDelta", _UNKNOWN_DELTA),
        )

    def refusal(self, call: Call, received: Received, fault: Fault, script: Script) -> Reply:
        """See `Wire`."""
        if fault == "content_filter":
            return _filtered(call, script)
        status, kind, message = _REFUSALS[fault]
        return _error(status, kind, message.format(prompt=quoted(received.body), model=call.model))


def _problem(body: dict[str, Any]) -> str | None:
    """What Bedrock itself would not take in `body`; `None` if it is sound."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "A conversation must start with a user message."
    tools = "toolConfig" in body
    for n, message in enumerate(messages):
        blocks = message.get("content")
        if message.get("role") not in ("user", "assistant") or not isinstance(blocks, list) or not blocks:
            return f"The content field in the Message object at messages.{n} is empty."
        for m, block in enumerate(blocks):
            if len(block) != 1 or not _BLOCKS & block.keys():
                return f"The ContentBlock object at messages.{n}.content.{m} must set one of its fields."
            if not block.get("text", "x").strip():
                return f"The text field in the ContentBlock object at messages.{n}.content.{m} is blank."
            if not tools and {"toolUse", "toolResult"} & block.keys():
                return "The toolConfig field must be defined when using toolUse and toolResult content blocks."
    return None


def _event(kind: str, document: dict[str, Any]) -> bytes:
    return eventstream.event(kind, msgspec.json.encode(document | {"p": _PADDING}))


def _tool_events(index: int, tool: ToolUse) -> list[bytes]:
    """A tool call as Bedrock streams it: its name first, then its arguments' JSON in pieces."""
    arguments = msgspec.json.encode(tool.arguments).decode()
    half = len(arguments) // 2
    start = {"toolUse": {"toolUseId": tool.id, "name": tool.name}}
    return [
        _event("contentBlockStart", {"contentBlockIndex": index, "start": start}),
        *(
            _event("contentBlockDelta", {"contentBlockIndex": index, "delta": {"toolUse": {"input": piece}}})
            for piece in ("", arguments[:half], arguments[half:])
        ),
        _event("contentBlockStop", {"contentBlockIndex": index}),
    ]


def _metadata(script: Script) -> dict[str, Any]:
    usage = {
        "inputTokens": script.input_tokens - script.cached_tokens,
        "outputTokens": script.output_tokens,
        "totalTokens": script.input_tokens + script.output_tokens,
        "cacheReadInputTokens": script.cached_tokens,
        "cacheWriteInputTokens": 0,
    }
    return {"usage": usage, "metrics": {"latencyMs": 120}}


def _filtered(call: Call, script: Script) -> Reply:
    """An answer of which the filter has left nothing."""
    if not call.streamed:
        document = {
            "output": {"message": {"role": "assistant", "content": []}},
            "stopReason": _STOP_REASONS["content_filter"],
            **_metadata(script),
        }
        return Reply(body=msgspec.json.encode(document))
    events = (
        _event("messageStart", {"role": "assistant"}),
        _event("messageStop", {"stopReason": _STOP_REASONS["content_filter"]}),
        _event("metadata", _metadata(script)),
    )
    return Reply(body=b"".join(events), content_type=eventstream.CONTENT_TYPE)


def _error(status: int, kind: str, message: str) -> Reply:
    headers = {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
    return Reply(status=status, headers=headers, body=msgspec.json.encode({"message": message}))
