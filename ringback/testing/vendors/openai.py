"""OpenAI's wire: POST …/chat/completions, whole or as SSE that ends with `[DONE]`.

Source: the OpenAI API reference, "Chat Completions"; error bodies as api.openai.com sends them.
"""

from typing import Any

import msgspec

from ringback.testing.script import Fault, Received, Script, Vendor
from ringback.testing.vendors.wire import Call, Frames, Reply, finish_of, quoted

_USAGE = "usage"
"""The variant in which the client asked for `stream_options.include_usage`."""
_CREATED = 1_760_000_000

_REFUSALS: dict[Fault, tuple[int, str, str | None, str]] = {
    "rate_limited": (429, "requests", "rate_limit_exceeded", "Rate limit reached for requests per minute."),
    "overloaded": (503, "server_error", None, "The engine is currently overloaded, please try again later"),
    "server_error": (500, "server_error", None, "The server had an error while processing your request. Sorry!"),
    "timeout": (408, "timeout", None, "Request timed out."),
    "bad_request": (400, "invalid_request_error", "invalid_value", "Invalid value: {prompt}."),
    "context_too_long": (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
    ),
    "content_filter": (
        400,
        "invalid_request_error",
        "content_filter",
        "The response was filtered due to the prompt triggering the content management policy.",
    ),
    "unauthorized": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: {key}."),
    "forbidden": (403, "invalid_request_error", None, "You are not allowed to sample from this model."),
    "model_not_found": (404, "invalid_request_error", "model_not_found", "The model `{model}` does not exist."),
    # OpenAI itself takes it; this is what Mistral says.
    "rejects_prefill": (
        400,
        "invalid_request_message_order",
        "3230",
        "Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant",
    ),
}


class OpenAIWire:
    """Chat completions."""

    vendor: Vendor = "openai"

    def read(self, path: str, body: dict[str, Any]) -> Call | Reply | None:
        """See `Wire`."""
        if not path.endswith("/chat/completions"):
            return None
        if (problem := _problem(body)) is not None:
            return _error(400, "invalid_request_error", None, problem)
        streamed = body.get("stream") is True
        with_usage = streamed and (body.get("stream_options") or {}).get("include_usage") is True
        return Call(
            model=body["model"],
            streamed=streamed,
            variant=_USAGE if with_usage else "",
            prefilled=body["messages"][-1]["role"] == "assistant",
        )

    def whole(self, call: Call, script: Script) -> Reply:
        """See `Wire`."""
        message: dict[str, Any] = {"role": "assistant", "content": script.text or None, "refusal": None}
        if script.tool_calls:
            message["tool_calls"] = [
                {"id": t.id, "type": "function", "function": {"name": t.name, "arguments": _arguments(t.arguments)}}
                for t in script.tool_calls
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_of(script)}
        document = _document(call, "chat.completion") | {"choices": [choice], "usage": _usage(script)}
        return Reply(body=msgspec.json.encode(document))

    def frames(self, call: Call, script: Script) -> Frames:
        """See `Wire`."""
        base = _document(call, "chat.completion.chunk") | ({"usage": None} if call.variant == _USAGE else {})

        def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return _sse(base | {"choices": [choice]})

        tail = [
            chunk({"tool_calls": [part]}) for n, tool in enumerate(script.tool_calls) for part in _tool_parts(n, tool)
        ]
        usage = _sse(base | {"choices": [], "usage": _usage(script)})
        status, kind, code, reason = _REFUSALS["overloaded"]
        return Frames(
            content_type="text/event-stream; charset=utf-8",
            head=(chunk({"role": "assistant", "content": "", "refusal": None}),),
            deltas=tuple(chunk({"content": text}) for text in script.deltas),
            tail=tuple(tail),
            finish=(chunk({}, finish_of(script)),),
            trailer=(usage,) if call.variant == _USAGE else (),
            end=(b"data: [DONE]\n\n",),
            error=b"data: " + _error(status, kind, code, reason).body + b"\n\n",
            malformed=b'data: {"id":"chatcmpl-fake","choices":[{"index":0,"delta":{"content"\n\n',
            keep_alive=b': PROCESSING\n\ndata:\n\nevent: ping\ndata: {"type": "ping\n\ndata: {}\n\n',
        )

    def refusal(self, call: Call, received: Received, fault: Fault, script: Script) -> Reply:
        """See `Wire`."""
        status, kind, code, reason = _REFUSALS[fault]
        key = received.headers.get("authorization", "").removeprefix("Bearer ")
        reason = reason.format(prompt=quoted(received.body), key=key, model=call.model)
        waits = fault in ("rate_limited", "overloaded") and script.retry_after is not None
        return _error(status, kind, code, reason, {"retry-after": f"{script.retry_after:g}"} if waits else {})


def _problem(body: dict[str, Any]) -> str | None:
    """What OpenAI itself would not take in `body`; `None` if it is sound."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        return "you must provide a model parameter"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "Invalid 'messages': empty array. Expected an array with minimum length 1."
    if body.get("stream_options") is not None and body.get("stream") is not True:
        return "The 'stream_options' parameter is only allowed when 'stream' is enabled."
    for n, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in ("system", "developer", "user", "assistant", "tool"):
            return f"Invalid value for 'messages[{n}].role'."
        if role == "tool" and not isinstance(message.get("tool_call_id"), str):
            return f"Missing parameter 'tool_call_id': messages[{n}]."
        if content is None and not (role == "assistant" and message.get("tool_calls")):
            return f"Invalid value for 'content': expected a string, got null. messages[{n}]"
        if isinstance(content, list) and not all(
            isinstance(part, dict) and part.get("type") in ("text", "image_url", "refusal") for part in content
        ):
            return f"Invalid value for 'messages[{n}].content'."
    return None


def _document(call: Call, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-fake", "object": kind, "created": _CREATED, "model": call.model}


def _usage(script: Script) -> dict[str, Any]:
    return {
        "prompt_tokens": script.input_tokens,
        "completion_tokens": script.output_tokens,
        "total_tokens": script.input_tokens + script.output_tokens,
        "prompt_tokens_details": {"cached_tokens": script.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": script.reasoning_tokens},
    }


def _arguments(arguments: dict[str, Any]) -> str:
    return msgspec.json.encode(arguments).decode()


def _tool_parts(index: int, tool: Any) -> list[dict[str, Any]]:
    """A tool call as OpenAI streams it: its name first, then its arguments' JSON in pieces."""
    arguments = _arguments(tool.arguments)
    half = len(arguments) // 2
    head = {"index": index, "id": tool.id, "type": "function", "function": {"name": tool.name, "arguments": ""}}
    pieces = [{"index": index, "function": {"arguments": piece}} for piece in (arguments[:half], arguments[half:])]
    return [head, *pieces]


def _sse(document: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(document) + b"\n\n"


def _error(status: int, kind: str, code: str | None, reason: str, headers: dict[str, str] | None = None) -> Reply:
    error = {"error": {"message": reason, "type": kind, "param": None, "code": code}}
    return Reply(status=status, body=msgspec.json.encode(error), headers=headers or {})
