"""What a vendor's module tells the server: how its requests are read and how scripted answers look on its wire.

A module defines one class with the methods of `Wire`; the server does the rest (timing, faults, recording).
Everything is encoded once per script and call, so a `Wire` need not be fast.
"""

from typing import Any, Protocol

import msgspec

from ringback.testing.script import Fault, Received, Script, Vendor

REFUSALS: frozenset[Fault] = frozenset(
    {
        "rate_limited",
        "overloaded",
        "server_error",
        "timeout",
        "bad_request",
        "context_too_long",
        "content_filter",
        "unauthorized",
        "forbidden",
        "model_not_found",
        "rejects_prefill",
        "html_error",
    }
)
"""The faults that are an answer of their own, sent instead of the scripted one."""

HTML_ERROR = b"""<html>\r
<head><title>502 Bad Gateway</title></head>\r
<body>\r
<center><h1>502 Bad Gateway</h1></center>\r
<hr><center>nginx</center>\r
</body>\r
</html>\r
"""
"""What a proxy before the vendor sends when the vendor is not there."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What of a request decides the shape of its answer; two equal calls get the same bytes."""

    model: str
    streamed: bool
    variant: str = ""
    """Whatever else the vendor's answer depends on, in the vendor module's own words."""
    prefilled: bool = False
    """The last message is the assistant's."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A whole HTTP response."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = {}
    content_type: str = "application/json"


class Frames(msgspec.Struct, frozen=True, kw_only=True):
    """A streamed response, as the pieces in which it is written."""

    content_type: str
    headers: dict[str, str] = {}
    head: tuple[bytes, ...] = ()
    """Before the first delta."""
    deltas: tuple[bytes, ...]
    """One for each delta of the script."""
    tail: tuple[bytes, ...] = ()
    """After the last delta: tool calls and what else belongs to the answer."""
    finish: tuple[bytes, ...]
    """The finish reason, and the usage where it comes with it."""
    trailer: tuple[bytes, ...] = ()
    """The usage where it comes later."""
    end: tuple[bytes, ...] = ()
    """The vendor's end mark, where there is one."""
    error: bytes
    """The vendor's own error event (overloaded), for `error_in_stream`."""
    malformed: bytes
    """A delta that is framed correctly but is not valid JSON."""
    keep_alive: bytes
    """What says nothing: comments, pings and events of kinds yet unknown, as far as the vendor's protocol has them."""


class Wire(Protocol):
    """One vendor's wire format."""

    vendor: Vendor

    def read(self, path: str, body: dict[str, Any]) -> Call | Reply | None:
        """The call that a POST to `path` makes; `None`: it is another vendor's; a `Reply`: the vendor refuses it."""
        ...

    def whole(self, call: Call, script: Script) -> Reply:
        """The scripted answer, not streamed."""
        ...

    def frames(self, call: Call, script: Script) -> Frames:
        """The scripted answer, streamed."""
        ...

    def refusal(self, call: Call, received: Received, fault: Fault, script: Script) -> Reply:
        """The vendor's own form of `fault`, one of `REFUSALS`.

        Where vendors are known to repeat request content or credentials in their reasons, so does this: `bad_request`
        quotes the prompt (see `quoted`), `unauthorized` the key. Not one of them may end up in our errors.
        """
        ...


def finish_of(script: Script) -> str:
    """Why the scripted answer ends: tool calls end it with `tool_calls` unless the script says otherwise."""
    return "tool_calls" if script.tool_calls and script.finish == "stop" else script.finish


def quoted(body: Any) -> str:
    """Some text of the request, for a reason that repeats it: the longest string found in `body`."""
    if isinstance(body, str):
        return body
    values = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    return max((quoted(value) for value in values), key=len, default="")
