"""What an implementation of `AIService` brings to the contract suite: a `Case`, in `tests.contract.cases`."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from providers import errors
from providers.service import AIService
from ringback.testing.script import Fault, Received, Vendor


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a fault must become."""

    error: type[errors.ProviderError]
    retry_after: bool = False
    """The vendor has a way to say `retry_after`, and it must be on the error."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What reached the wire of an `Ask`, taken from the vendor's own form. `None`: the vendor has no such thing."""

    model: str
    system: str | None
    texts: tuple[tuple[str, str], ...]
    """(role, text) of each message that has text; roles `user` and `assistant`."""
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    images: tuple[tuple[str, bytes], ...] = ()
    """(media type, bytes)"""
    tools: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    """(name, description, JSON Schema)"""
    tool_calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    """(name, arguments) of calls in earlier assistant messages"""
    tool_results: tuple[tuple[str, str], ...] = ()
    """(id of the call, content); the tool's name where the vendor has no ids"""
    json_schema: dict[str, Any] | None = None
    tool_choice: str | None = None
    """In the words of `Ask.tool_choice`; `None`: nothing was said, which every vendor takes for `auto`."""


WHOLE: dict[Fault, Expected] = {
    "rate_limited": Expected(error=errors.RateLimited, retry_after=True),
    "overloaded": Expected(error=errors.Overloaded, retry_after=True),
    "server_error": Expected(error=errors.Unavailable),
    "timeout": Expected(error=errors.TimedOut),
    "bad_request": Expected(error=errors.BadRequest),
    "context_too_long": Expected(error=errors.ContextTooLong),
    "content_filter": Expected(error=errors.ContentFiltered),
    "unauthorized": Expected(error=errors.AuthenticationFailed),
    "forbidden": Expected(error=errors.PermissionDenied),
    "model_not_found": Expected(error=errors.ModelNotFound),
    "reset": Expected(error=errors.ConnectionFailed),
    "cut": Expected(error=errors.StreamInterrupted),
    "error_in_stream": Expected(error=errors.Overloaded, retry_after=True),
    "malformed_event": Expected(error=errors.MalformedAnswer),
    "malformed_delta": Expected(error=errors.MalformedAnswer),
    "no_finish": Expected(error=errors.MalformedAnswer),
    "html_error": Expected(error=errors.Unavailable),
}
"""For `generate`: a body that ends in the midst is `cut` where its length was announced, else simply not valid."""

STREAMED: dict[Fault, Expected] = WHOLE | {
    "error_in_stream": Expected(error=errors.Overloaded),
    "no_finish": Expected(error=errors.StreamInterrupted),
}
"""For `stream`; an error in mid-stream has no headers that could hold a `retry_after`."""

SILENT: tuple[Fault, ...] = ("hang", "hang_after_headers", "stall")
"""The faults that are silence: whoever waits decides for how long."""

HARMLESS: tuple[Fault, ...] = ("keep_alives", "no_end_mark", "open_end")
"""The faults that take nothing from an answer: it must be given as if there were none."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One implementation, and how the suite is to treat it."""

    id: str
    """The test id, e.g. `anthropic-on-bedrock`."""
    provider: str
    """Its name in `jobs.settings.PROVIDERS`."""
    model: str
    """The model to ask for: the part after `provider/`."""
    make: Callable[[], AIService]
    """Makes the service; the environment then already leads to the vendor server."""
    vendor: Vendor | None
    """Whose wire it speaks; `None` if it calls no server: then only the tests that need no script are run."""
    sent: Callable[[Received], Sent] | None = None
    """Reads a request off the vendor's wire; needed with `vendor`."""
    environment: Mapping[str, str] = {}
    """Variables to set besides those of `VendorServer.environment()`."""
    whole: Mapping[Fault, Expected] = {}
    """Exceptions from `WHOLE`."""
    streamed: Mapping[Fault, Expected] = {}
    """Exceptions from `STREAMED`."""
    takes_sampling: bool = True
    """The vendor takes `temperature` and `top_p`; else they must not be sent."""
    says_none: bool = True
    """The vendor can be told that no tool must be called; else the tools are left out."""
    meters_early: bool = False
    """The vendor tells the usage so far in its streams before their end."""
    reports_cached: bool = True
    """The vendor reports cached tokens."""
    reports_reasoning: bool = True
    """The vendor reports reasoning tokens."""
