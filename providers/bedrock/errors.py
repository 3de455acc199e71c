"""Amazon's failures as our errors, and what only Bedrock says."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from amazon import failures
from providers import errors, reason
from providers.bedrock.mapping import PROVIDER
from providers.service import Ask

_MEANT: tuple[tuple[re.Pattern[str], type[errors.ProviderError]], ...] = (
    (
        re.compile(
            r"(input|prompt) is too long|too many input tokens|context (length|window|limit)|input length .*exceed",
            re.IGNORECASE,
        ),
        errors.ContextTooLong,
    ),
    (re.compile(r"content filter", re.IGNORECASE), errors.ContentFiltered),
    (re.compile(r"must end with a user message|message prefill", re.IGNORECASE), errors.Unsupported),
    (re.compile(r"model identifier is invalid", re.IGNORECASE), errors.ModelNotFound),
)
"""What a ValidationException says in words only."""

_CLASSES: dict[str, type[errors.ProviderError]] = {
    "throttled": errors.RateLimited,
    "overloaded": errors.Overloaded,
    "unavailable": errors.Unavailable,
    "timed_out": errors.TimedOut,
    "denied": errors.PermissionDenied,
    "unauthenticated": errors.AuthenticationFailed,
    "uncredentialed": errors.AuthenticationFailed,
    "silent": errors.Stalled,
    "unreachable": errors.ConnectionFailed,
    "interrupted": errors.StreamInterrupted,
    "malformed": errors.MalformedAnswer,
    "misconfigured": errors.BadRequest,
    "unfit": errors.BadRequest,
    "modelnotready": errors.Overloaded,
    "modelerror": errors.Unavailable,
    "modelstreamerror": errors.Unavailable,
    "modeltimeout": errors.TimedOut,
    "resourcenotfound": errors.ModelNotFound,
    "validation": errors.BadRequest,
}
"""By the kind of failure."""


@contextmanager
def translated(ask: Ask | None = None) -> Iterator[None]:
    """Raises what boto3 and all below it raise as an error of `providers.errors`, which does not repeat `ask`."""
    try:
        with failures.told(reason.texts(ask) if ask is not None else ()):
            yield
    except failures.Failure as failure:
        raise _meant(failure) from failure.__cause__


def _meant(failure: failures.Failure) -> errors.ProviderError:
    detail, retry_after = failure.detail, failure.retry_after
    cls = _CLASSES.get(failure.kind)
    if cls is None:
        return errors.from_status(failure.status, detail or failure.code, provider=PROVIDER, retry_after=retry_after)
    if failure.kind == "validation":
        cls = next((meant for pattern, meant in _MEANT if pattern.search(failure.message)), cls)
    elif failure.kind == "uncredentialed":
        detail = f"{detail}, or AWS_BEARER_TOKEN_BEDROCK"
    return cls(detail, provider=PROVIDER, retry_after=retry_after)
