"""Gemini's wire: POST /v1beta/models/{model}:generateContent, whole, or :streamGenerateContent as SSE.

Sources: the Gemini API reference, "Generating content"; errors are google.rpc.Status as JSON.
"""

import re
from typing import Any

import msgspec

from ringback.testing.script import Fault, Received, Script, Vendor
from ringback.testing.vendors.wire import Call, Frames, Reply, finish_of, quoted

_PATH = re.compile(r"/v1(?:beta|alpha)?/models/(?P<model>[^:]+):(?P<method>generateContent|streamGenerateContent)")
_FINISH_REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
_DATA_FIELDS = frozenset({"text", "inlineData", "fileData", "functionCall", "functionResponse"})
_INVALID_KEY = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
    "metadata": {"service": "generativelanguage.googleapis.com"},
}

_REFUSALS: dict[Fault, tuple[int, str, str]] = {
    "rate_limited": (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "server_error": (500, "INTERNAL", "An internal error has occurred. Please retry."),
    "timeout": (504, "DEADLINE_EXCEEDED", "The request timed out. Please try again."),
    "bad_request": (400, "INVALID_ARGUMENT", "Invalid value at 'contents[0].parts[0]': {prompt}"),
    "context_too_long": (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "unauthorized": (
        400,
        "INVALID_ARGUMENT",
        "API key not valid. Please pass a valid API key. Consumer: 'api_key:{key}'",
    ),
    "forbidden": (403, "PERMISSION_DENIED", "Permission denied: Consumer 'api_key:{key}' has been suspended."),
    "model_not_found": (
        404,
        "NOT_FOUND",
        "models/{model} is not found for API version v1beta, or is not supported for generateContent.",
    ),
    "rejects_prefill": (
        400,
        "INVALID_ARGUMENT",
        "Requests ending with a model turn are not supported unless the last part is a function response.",
    ),
}


class GeminiWire:
    """Content generation of the Gemini Developer API."""

    vendor: Vendor = "gemini"

    def read(self, path: str, body: dict[str, Any]) -> Call | Reply | None:
        """See `Wire`."""
        if (matched := _PATH.fullmatch(path)) is None:
            return None
        if (problem := _problem(body)) is not None:
            return _error(400, "INVALID_ARGUMENT", problem)
        return Call(
            model=matched["model"],
            streamed=matched["method"] == "streamGenerateContent",
            prefilled=body["contents"][-1].get("role") == "model",
        )

    def whole(self, call: Call, script: Script) -> Reply:
        """See `Wire`."""
        parts = [{"text": script.text}] if script.deltas else []
        document = _chunk(call, script, [*parts, *_calls(script)], _FINISH_REASONS[finish_of(script)])
        return Reply(body=msgspec.json.encode(document), content_type="application/json; charset=UTF-8")

    def frames(self, call: Call, script: Script) -> Frames:
        """See `Wire`."""
        return Frames(
            content_type="text/event-stream",
            deltas=tuple(_sse(_chunk(call, script, [{"text": text}])) for text in script.deltas),
            tail=tuple(_sse(_chunk(call, script, [part])) for part in _calls(script)),
            finish=(_sse(_chunk(call, script, [{"text": ""}], _FINISH_REASONS[finish_of(script)])),),
            error=b"data: " + _error(*_REFUSALS["overloaded"]).body + b"\r\n\r\n",
            malformed=b'data: {"candidates":[{"content":{"parts":[{"text"\r\n\r\n',
            keep_alive=b": \r\n\r\ndata:\r\n\r\ndata: {}\r\n\r\n",
        )

    def refusal(self, call: Call, received: Received, fault: Fault, script: Script) -> Reply:
        """See `Wire`."""
        if fault == "content_filter":
            return _blocked(call, script)
        code, status, message = _REFUSALS[fault]
        key = received.headers.get("x-goog-api-key", "")
        message = message.format(prompt=quoted(received.body), key=key, model=call.model)
        details: list[dict[str, Any]] = []
        if fault == "unauthorized":
            details.append(_INVALID_KEY)
        if fault in ("rate_limited", "overloaded") and script.retry_after is not None:
            delay = f"{script.retry_after:g}s"
            details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
        return _error(code, status, message, details)


def _problem(body: dict[str, Any]) -> str | None:
    """What Gemini itself would not take in `body`; `None` if it is sound."""
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        return "* GenerateContentRequest.contents: contents is not specified"
    for n, content in enumerate(contents):
        if content.get("role", "user") not in ("user", "model"):
            return "Please use a valid role: user, model."
        parts = content.get("parts")
        if not isinstance(parts, list) or not parts:
            return f"* GenerateContentRequest.contents[{n}].parts: contents.parts must not be empty."
        for m, part in enumerate(parts):
            if len(_DATA_FIELDS & part.keys()) != 1:
                return f"* contents[{n}].parts[{m}].data: required oneof field 'data' must have one initialized field"
    config = body.get("generationConfig", {})
    if "responseJsonSchema" in config and config.get("responseMimeType") != "application/json":
        return "* GenerateContentRequest.generation_config.response_json_schema: only allowed with application/json"
    return None


def _calls(script: Script) -> list[dict[str, Any]]:
    """Tool calls as Gemini sends them: whole, and of these models without ids."""
    return [{"functionCall": {"name": tool.name, "args": tool.arguments}} for tool in script.tool_calls]


def _chunk(call: Call, script: Script, parts: list[dict[str, Any]], finish: str | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **_about(call, script, prompt_only=False)}


def _about(call: Call, script: Script, *, prompt_only: bool) -> dict[str, Any]:
    usage = {"promptTokenCount": script.input_tokens, "totalTokenCount": script.input_tokens}
    if script.cached_tokens:
        usage["cachedContentTokenCount"] = script.cached_tokens
    if not prompt_only:
        usage["candidatesTokenCount"] = script.output_tokens - script.reasoning_tokens
        usage["totalTokenCount"] += script.output_tokens
        if script.reasoning_tokens:
            usage["thoughtsTokenCount"] = script.reasoning_tokens
    return {"usageMetadata": usage, "modelVersion": call.model, "responseId": "fAkeGeminiResponse-Id0"}


def _blocked(call: Call, script: Script) -> Reply:
    document = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **_about(call, script, prompt_only=True)}
    if call.streamed:
        return Reply(body=_sse(document), content_type="text/event-stream")
    return Reply(body=msgspec.json.encode(document), content_type="application/json; charset=UTF-8")


def _sse(document: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(document) + b"\r\n\r\n"


def _error(code: int, status: str, message: str, details: list[dict[str, Any]] | None = None) -> Reply:
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    if details:
        error["details"] = details
    body = msgspec.json.encode({"error": error})
    return Reply(status=code, body=body, content_type="application/json; charset=UTF-8")
