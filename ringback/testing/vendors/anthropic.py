"""Anthropic's wire: POST /v1/messages, whole or as SSE; and the same on Bedrock (`invoke…`, event-stream frames).

Sources: Anthropic API reference, "Messages" and "Errors"; AWS, "InvokeModelWithResponseStream".
"""

import base64
import re
from typing import Any

import msgspec

from ringback.testing.script import Fault, Received, Script, Vendor
from ringback.testing.vendors import eventstream
from ringback.testing.vendors.wire import Call, Frames, Reply, finish_of, quoted

_BEDROCK = "bedrock"
_ON_BEDROCK = re.compile(r"/model/(?P<model>.+)/invoke(?P<streamed>-with-response-stream)?")
_BLOCKS = frozenset({"text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking"})
_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}

_FILTERED = "Output blocked by content filtering policy"
_TOO_LONG = "prompt is too long: 210000 tokens > 200000 maximum"
_NO_PREFILL = "This model does not support assistant message prefill. The conversation must end with a user message."

_REFUSALS: dict[Fault, tuple[int, str, str]] = {
    "rate_limited": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "server_error": (500, "api_error", "Internal server error"),
    "timeout": (504, "timeout_error", "Request timed out"),
    "bad_request": (400, "invalid_request_error", "messages.0: Invalid value: {prompt}"),
    "context_too_long": (400, "invalid_request_error", _TOO_LONG),
    "content_filter": (400, "invalid_request_error", _FILTERED),
    "unauthorized": (401, "authentication_error", "invalid x-api-key: {key}"),
    "forbidden": (403, "permission_error", "Your API key does not have permission to use the specified resource."),
    "model_not_found": (404, "not_found_error", "model: {model}"),
    "rejects_prefill": (400, "invalid_request_error", _NO_PREFILL),
}

_REFUSALS_ON_BEDROCK: dict[Fault, tuple[int, str, str]] = {
    "rate_limited": (429, "ThrottlingException", "Too many requests, please wait before trying again."),
    "overloaded": (503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
    "server_error": (500, "InternalServerException", "The system encountered an unexpected error during processing."),
    "timeout": (408, "ModelTimeoutException", "Model has timed out in processing the request. Try your request again."),
    "bad_request": (400, "ValidationException", "messages.0: Invalid value: {prompt}"),
    "context_too_long": (400, "ValidationException", _TOO_LONG),
    "content_filter": (400, "ValidationException", _FILTERED),
    "unauthorized": (403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    "forbidden": (403, "AccessDeniedException", "You don't have access to the model with the specified model ID."),
    "model_not_found": (404, "ResourceNotFoundException", "Could not resolve the foundation model: {model}"),
    "rejects_prefill": (400, "ValidationException", _NO_PREFILL),
}


class AnthropicWire:
    """Messages, direct and on Bedrock."""

    vendor: Vendor = "anthropic"

    def read(self, path: str, body: dict[str, Any]) -> Call | Reply | None:
        """See `Wire`."""
        if path == "/v1/messages":
            call = Call(model=str(body.get("model") or ""), streamed=body.get("stream") is True)
        elif (on_bedrock := _ON_BEDROCK.fullmatch(path)) is not None:
            call = Call(model=on_bedrock["model"], streamed=bool(on_bedrock["streamed"]), variant=_BEDROCK)
        else:
            return None
        if (problem := _problem(call, body)) is not None:
            return _refusal(call, "bad_request", problem)
        return msgspec.structs.replace(call, prefilled=body["messages"][-1]["role"] == "assistant")

    def whole(self, call: Call, script: Script) -> Reply:
        """See `Wire`."""
        content: list[dict[str, Any]] = [{"type": "text", "text": script.text}] if script.text else []
        content += [{"type": "tool_use", "id": t.id, "name": t.name, "input": t.arguments} for t in script.tool_calls]
        message = _message(call, script) | {
            "content": content,
            "stop_reason": _STOP_REASONS[finish_of(script)],
            "usage": _usage(script, script.output_tokens),
        }
        return Reply(body=msgspec.json.encode(message), headers={"request-id": "req_fake"})

    def frames(self, call: Call, script: Script) -> Frames:
        """See `Wire`."""
        framed = _chunk if call.variant == _BEDROCK else _sse
        head = [framed({"type": "message_start", "message": _message(call, script) | {"content": []}})]
        tail: list[bytes] = []
        if script.deltas:
            block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
            head.append(framed(block))
            tail.append(framed({"type": "content_block_stop", "index": 0}))
        if call.variant != _BEDROCK:
            head.append(_sse({"type": "ping"}))
        for n, tool in enumerate(script.tool_calls, start=1 if script.deltas else 0):
            tail.extend(framed(event) for event in _tool_events(n, tool))
        stop = {"stop_reason": _STOP_REASONS[finish_of(script)], "stop_sequence": None}
        finish = {"type": "message_delta", "delta": stop, "usage": _usage(script, script.output_tokens)}
        ping = b"" if call.variant == _BEDROCK else b": \n\nevent: ping\ndata: {\n\n"
        return Frames(
            content_type=eventstream.CONTENT_TYPE if call.variant == _BEDROCK else "text/event-stream; charset=utf-8",
            head=tuple(head),
            deltas=tuple(framed(_text_event(text)) for text in script.deltas),
            tail=tuple(tail),
            finish=(framed(finish),),
            end=(framed({"type": "message_stop"}),),
            error=_error_event(call),
            malformed=_malformed_event(call),
            keep_alive=ping + framed({"type": "ping"}) + framed({"type": "weather", "delta": {"text": "fine"}}),
        )

    def refusal(self, call: Call, received: Received, fault: Fault, script: Script) -> Reply:
        """See `Wire`."""
        headers = received.headers
        key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        reason = _refusals(call)[fault][2].format(prompt=quoted(received.body), key=key, model=call.model)
        waits = fault in ("rate_limited", "overloaded") and script.retry_after is not None and call.variant != _BEDROCK
        return _refusal(call, fault, reason, {"retry-after": f"{script.retry_after:g}"} if waits else {})


def _problem(call: Call, body: dict[str, Any]) -> str | None:
    """What Anthropic itself would not take in `body`; `None` if it is sound."""
    if not call.model:
        return "model: Field required"
    if call.variant == _BEDROCK and not body.get("anthropic_version"):
        return "anthropic_version: Field required"
    for name in ("temperature", "top_p", "top_k"):
        if name in body:  # since API version 2026-10-21
            return f"{name}: Extra inputs are not permitted"
    if not isinstance(body.get("max_tokens"), int):
        return "max_tokens: Field required"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages: at least one message is required"
    for n, message in enumerate(messages):
        if message.get("role") not in ("user", "assistant"):
            return f'messages.{n}.role: Input should be "user" or "assistant"'
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(blocks, list) or not blocks:
            return f"messages.{n}: content must be non-empty"
        for block in blocks:
            if block.get("type") not in _BLOCKS:
                return f"messages.{n}.content: unknown block type"
            if block["type"] == "text" and not block.get("text", "").strip():
                return "messages: text content blocks must be non-empty"
    return None


def _message(call: Call, script: Script) -> dict[str, Any]:
    return {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(script, 1),
    }


def _usage(script: Script, output_tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": script.input_tokens - script.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": script.cached_tokens,
        "output_tokens": output_tokens,
        "output_tokens_details": {"thinking_tokens": script.reasoning_tokens},
    }


def _text_event(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def _tool_events(index: int, tool: Any) -> list[dict[str, Any]]:
    arguments = msgspec.json.encode(tool.arguments).decode()
    half = len(arguments) // 2
    block = {"type": "tool_use", "id": tool.id, "name": tool.name, "input": {}}
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        *(
            {
                "type": "content_block_delta",
                "index": index,
                "delta": {"type": "input_json_delta", "partial_json": piece},
            }
            for piece in ("", arguments[:half], arguments[half:])
        ),
        {"type": "content_block_stop", "index": index},
    ]


def _sse(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))


def _chunk(event: dict[str, Any]) -> bytes:
    return _chunk_of(msgspec.json.encode(event))


def _chunk_of(payload: bytes) -> bytes:
    return eventstream.event("chunk", msgspec.json.encode({"bytes": base64.b64encode(payload).decode()}))


def _error_event(call: Call) -> bytes:
    _, kind, reason = _refusals(call)["overloaded"]
    if call.variant == _BEDROCK:
        return eventstream.exception(kind[0].lower() + kind[1:], msgspec.json.encode({"message": reason}))
    return _sse({"type": "error", "error": {"type": kind, "message": reason}})


def _malformed_event(call: Call) -> bytes:
    half = b'{"type":"content_block_delta","index":0,"delta":{"type'
    return _chunk_of(half) if call.variant == _BEDROCK else b"event: content_block_delta\ndata: %b\n\n" % half


def _refusals(call: Call) -> dict[Fault, tuple[int, str, str]]:
    return _REFUSALS_ON_BEDROCK if call.variant == _BEDROCK else _REFUSALS


def _refusal(call: Call, fault: Fault, reason: str, headers: dict[str, str] | None = None) -> Reply:
    status, kind, _ = _refusals(call)[fault]
    if call.variant == _BEDROCK:
        body = msgspec.json.encode({"message": reason})
        return Reply(status=status, body=body, headers={"x-amzn-errortype": kind} | (headers or {}))
    error = {"type": "error", "error": {"type": kind, "message": reason}, "request_id": "req_fake"}
    return Reply(status=status, body=msgspec.json.encode(error), headers={"request-id": "req_fake"} | (headers or {}))
