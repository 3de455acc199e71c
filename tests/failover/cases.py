"""The catalogue: what a provider does, and what callers and providers must see of it, the same for every vendor."""

from typing import Literal, get_args

import msgspec

from ringback.testing.script import Script, Vendor

ANSWER = ("주문하신 ", "상품은 ", "오늘 ", "출발합니다.")
OTHER = ("It ", "leaves ", "today.")
FIRST_TOKEN_S, STALL_S = 1.5, 0.8


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What must come of a case."""

    answered_by: Literal["it", "the next", "nobody"]
    calls: int
    """Calls that the provider saw."""
    next_calls: int = 0
    """Calls that the next target saw."""
    restarted: bool = False
    """The text so far was taken back once."""
    code: str | None = None
    """Of the job's error."""
    spacing_s: float = 0.0
    """At least so long between two calls to the provider."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that providers do."""

    name: str
    does: str
    """In words, for the document."""
    scripts: tuple[Script, ...]
    """What the provider answers, call by call; the last for good."""
    alone: bool = False
    """There is no other target."""
    vendors: tuple[Vendor, ...] = get_args(Vendor)
    """Those that can do it."""
    expected: Expected


_SAY_RETRY_AFTER: tuple[Vendor, ...] = ("openai", "anthropic", "gemini")
"""Bedrock has no way to say it."""


def _case(
    name: str,
    does: str,
    *scripts: Script,
    alone: bool = False,
    vendors: tuple[Vendor, ...] = get_args(Vendor),
    **expected: object,
) -> Case:
    return Case(
        name=name,
        does=does,
        scripts=scripts,
        alone=alone,
        vendors=vendors,
        expected=msgspec.convert(expected, Expected, strict=False),
    )


def _broken(fault: str, **fields: object) -> Script:
    made: dict[str, object] = {"deltas": ANSWER, "fault": fault, "fault_after": 2} | fields
    return msgspec.convert(made, Script)


_OK = Script(deltas=ANSWER)
_IT, _NEXT, _NOBODY = "it", "the next", "nobody"

CASES: tuple[Case, ...] = (
    _case("well", "answers", _OK, answered_by=_IT, calls=1),
    _case("limited-once", "rate limit, once", _broken("rate_limited"), _OK, answered_by=_IT, calls=2),
    _case("limited", "rate limit, for good", _broken("rate_limited"), answered_by=_NEXT, calls=2, next_calls=1),
    _case(
        "limited-alone",
        "rate limit, for good; no other target",
        _broken("rate_limited"),
        alone=True,
        answered_by=_NOBODY,
        calls=2,
        code="provider_rate_limited",
    ),
    _case(
        "retry-after",
        "rate limit with `Retry-After: 2`",
        _broken("rate_limited", retry_after=2.0),
        vendors=_SAY_RETRY_AFTER,
        answered_by=_NEXT,
        calls=1,
        next_calls=1,
    ),
    _case(
        "retry-after-alone",
        "rate limit with `Retry-After: 2`, once; no other target",
        _broken("rate_limited", retry_after=2.0),
        _OK,
        alone=True,
        vendors=_SAY_RETRY_AFTER,
        answered_by=_IT,
        calls=2,
        spacing_s=2.0,
    ),
    _case(
        "retry-after-late",
        "rate limit with `Retry-After: 3600`; no other target",
        _broken("rate_limited", retry_after=3600.0),
        vendors=_SAY_RETRY_AFTER,
        alone=True,
        answered_by=_NOBODY,
        calls=1,
        code="provider_rate_limited",
    ),
    _case("error-once", "500, once", _broken("server_error"), _OK, answered_by=_IT, calls=2),
    _case("error", "500, for good", _broken("server_error"), answered_by=_NEXT, calls=2, next_calls=1),
    _case("overloaded", "overloaded, for good", _broken("overloaded"), answered_by=_NEXT, calls=2, next_calls=1),
    _case("timeout", "its own timeout, for good", _broken("timeout"), answered_by=_NEXT, calls=2, next_calls=1),
    _case("html", "a proxy's 502 page", _broken("html_error"), answered_by=_NEXT, calls=2, next_calls=1),
    _case("reset-once", "connection reset before the headers, once", _broken("reset"), _OK, answered_by=_IT, calls=2),
    _case("reset", "connection reset, for good", _broken("reset"), answered_by=_NEXT, calls=2, next_calls=1),
    _case("silence", "silence", _broken("hang"), answered_by=_NEXT, calls=1, next_calls=1),
    _case(
        "silence-after-headers",
        "headers, then silence",
        _broken("hang_after_headers"),
        answered_by=_NEXT,
        calls=1,
        next_calls=1,
    ),
    _case("slow", "a slow first token", Script(deltas=ANSWER, first_s=0.7), answered_by=_IT, calls=1),
    _case(
        "cut", "connection cut in mid-answer", _broken("cut"), answered_by=_NEXT, calls=1, next_calls=1, restarted=True
    ),
    _case(
        "cut-alone",
        "connection cut in mid-answer, once; no other target",
        _broken("cut"),
        _OK,
        alone=True,
        answered_by=_IT,
        calls=2,
        restarted=True,
    ),
    _case(
        "cut-for-good",
        "connection cut in mid-answer, for good; no other target",
        _broken("cut"),
        alone=True,
        answered_by=_NOBODY,
        calls=2,
        restarted=True,
        code="stream_interrupted",
    ),
    _case("stall", "silence in mid-answer", _broken("stall"), answered_by=_NEXT, calls=1, next_calls=1, restarted=True),
    _case(
        "error-in-stream",
        "an error event in mid-answer",
        _broken("error_in_stream"),
        answered_by=_NEXT,
        calls=1,
        next_calls=1,
        restarted=True,
    ),
    _case(
        "malformed-event",
        "an event that is no JSON",
        _broken("malformed_event"),
        answered_by=_NEXT,
        calls=1,
        next_calls=1,
        restarted=True,
    ),
    _case(
        "malformed-delta",
        "a damaged piece of the answer",
        _broken("malformed_delta"),
        answered_by=_NEXT,
        calls=1,
        next_calls=1,
        restarted=True,
    ),
    _case("keep-alives", "comments, pings and unknown events", _broken("keep_alives"), answered_by=_IT, calls=1),
    _case("no-end-mark", "a finish reason, but no end mark", _broken("no_end_mark"), answered_by=_IT, calls=1),
    _case("open-end", "a finish reason, then an open connection", _broken("open_end"), answered_by=_IT, calls=1),
    _case(
        "no-finish",
        "all the text, but no finish reason",
        _broken("no_finish"),
        answered_by=_NEXT,
        calls=1,
        next_calls=1,
        restarted=True,
    ),
    _case(
        "length",
        "stops at its token limit",
        Script(deltas=ANSWER, finish="length"),
        answered_by=_NOBODY,
        calls=1,
        code="output_truncated",
    ),
    _case(
        "empty",
        "an empty answer, twice",
        Script(deltas=()),
        answered_by=_NOBODY,
        calls=2,
        restarted=True,
        code="output_invalid",
    ),
    _case(
        "too-long",
        "context too long",
        _broken("context_too_long"),
        answered_by=_NEXT,
        calls=1,
        next_calls=1,
    ),
    _case(
        "too-long-alone",
        "context too long; no other target",
        _broken("context_too_long"),
        alone=True,
        answered_by=_NOBODY,
        calls=1,
        code="context_too_long",
    ),
    _case(
        "filter",
        "content filter before the answer",
        _broken("content_filter"),
        answered_by=_NOBODY,
        calls=1,
        code="content_filtered",
    ),
    _case(
        "filter-in-answer",
        "content filter in mid-answer",
        Script(deltas=ANSWER, finish="content_filter"),
        answered_by=_NOBODY,
        calls=1,
        code="content_filtered",
    ),
    _case(
        "bad-request",
        "refuses the request as invalid",
        _broken("bad_request"),
        answered_by=_NOBODY,
        calls=1,
        code="provider_bad_request",
    ),
    _case("unauthorized", "refuses the key", _broken("unauthorized"), answered_by=_NEXT, calls=1, next_calls=1),
    _case("forbidden", "refuses the model", _broken("forbidden"), answered_by=_NEXT, calls=1, next_calls=1),
    _case("not-found", "has no such model", _broken("model_not_found"), answered_by=_NEXT, calls=1, next_calls=1),
)
