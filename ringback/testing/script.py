"""What a fake vendor is told to answer: text, timing, usage, and every way in which vendors fail."""

from typing import Any, Literal

import msgspec

Vendor = Literal["openai", "anthropic", "gemini", "bedrock"]

Fault = Literal[
    "rate_limited",  # the vendor's own 429 form, with Retry-After where the vendor sends it
    "overloaded",  # anthropic 529, gemini and openai 503, bedrock ServiceUnavailableException
    "server_error",  # 500
    "timeout",  # the vendor's own "took too long": 408, 504 or ModelTimeoutException
    "bad_request",  # 400
    "context_too_long",  # the vendor's own way of saying so
    "content_filter",  # blocked before an answer
    "unauthorized",  # 401 or the vendor's form of it
    "forbidden",  # 403
    "model_not_found",  # 404 or the vendor's form of it
    "rejects_prefill",  # the vendor's own 400 if the last message is the assistant's; else the answer
    "html_error",  # 502 and a proxy's HTML page
    "reset",  # connection reset before the response headers
    "hang",  # accepts the request and never answers
    "hang_after_headers",  # sends the response headers and then nothing
    "cut",  # mid-stream: connection closed after `fault_after` deltas
    "stall",  # mid-stream: silence after `fault_after` deltas
    "error_in_stream",  # mid-stream: the vendor's own error event (overloaded) after `fault_after` deltas
    "malformed_event",  # mid-stream: besides the answer, an event that is not valid JSON after `fault_after` deltas
    "malformed_delta",  # mid-stream: the delta after `fault_after` deltas is not valid JSON, all others are intact
    "keep_alives",  # mid-stream: before each delta what says nothing: comments, pings, events of kinds yet unknown
    "no_end_mark",  # the finish reason comes, the vendor's end mark does not; the stream closes cleanly
    "no_finish",  # all deltas come, then the stream closes cleanly without finish reason and end mark
    "open_end",  # the finish reason comes, then silence: the connection stays open
]
"""A whole answer has no events: there `malformed_…` damages the document, `no_finish` sends half of it, and
`keep_alives`, `no_end_mark` and `open_end` do nothing."""


class ToolUse(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call in the scripted answer."""

    id: str
    name: str
    arguments: dict[str, Any]


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """One scripted answer."""

    deltas: tuple[str, ...] = ("Hello", ", ", "world", ".")
    """The answer's text, as the pieces in which it is streamed; none: an empty answer."""
    first_s: float = 0.0
    """Seconds of silence before the answer starts."""
    delta_s: float = 0.0
    """Seconds between two deltas."""
    input_tokens: int = 11
    output_tokens: int = 7
    cached_tokens: int = 0
    """Of the input tokens: read from the cache."""
    reasoning_tokens: int = 0
    """Of the output tokens."""
    finish: Literal["stop", "length", "tool_calls", "content_filter"] = "stop"
    tool_calls: tuple[ToolUse, ...] = ()
    fault: Fault | None = None
    fault_after: int = 2
    """Deltas sent before a mid-stream fault."""
    retry_after: float | None = None
    """Seconds, sent with `rate_limited` and `overloaded` where the vendor has a way to say it."""

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.deltas)


class Received(msgspec.Struct, kw_only=True):
    """One request as the fake vendor saw it."""

    vendor: Vendor
    model: str
    streamed: bool
    body: Any
    headers: dict[str, str]
    at: float
    """`time.monotonic()` on arrival, seconds."""
    ended: float | None = None
    """When the answer was complete, or broken off, on the same clock."""
    disconnected: bool = False
    """The client closed the connection before the answer was complete."""
