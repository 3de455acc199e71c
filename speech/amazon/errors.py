"""Amazon's failures as our errors, and what only its speech services say."""

from collections.abc import Iterator
from contextlib import contextmanager

from amazon import failures
from speech import errors

_CLASSES: dict[str, type[errors.SpeechError]] = {
    "throttled": errors.RateLimited,
    "overloaded": errors.Unavailable,
    "unavailable": errors.Unavailable,
    "timed_out": errors.TimedOut,
    "denied": errors.PermissionDenied,
    "unauthenticated": errors.AuthenticationFailed,
    "uncredentialed": errors.AuthenticationFailed,
    "silent": errors.TimedOut,
    "unreachable": errors.ConnectionFailed,
    "interrupted": errors.StreamInterrupted,
    "malformed": errors.MalformedAnswer,
    "misconfigured": errors.BadRequest,
    "unfit": errors.BadRequest,
    "textlengthexceeded": errors.BadText,
    "invalidssml": errors.BadText,
    "ssmlmarksnotsupportedfortexttype": errors.Unsupported,
    "marksnotsupportedforformat": errors.Unsupported,
    "languagenotsupported": errors.Unsupported,
    "enginenotsupported": errors.Unsupported,
    "invalidsamplerate": errors.Unsupported,
    "nosuchbucket": errors.BadRequest,
    "badrequest": errors.BadRequest,
}
"""By the kind of failure."""


@contextmanager
def translated(provider: str, text: str = "") -> Iterator[None]:
    """Raises what boto3 and all below it raise as an error of `speech.errors`, which does not repeat `text`."""
    try:
        with failures.told((text,)):
            yield
    except failures.Failure as failure:
        raise _meant(failure, provider) from failure.__cause__


def meant(
    code: str, message: str, *, provider: str, status: int = 400, text: str = "", retry_after: str | None = None
) -> errors.SpeechError:
    """What an error of Amazon means, by its code, else by its status; `text` is not to be repeated."""
    return _meant(failures.refusal(code, message, status=status, texts=(text,), retry_after=retry_after), provider)


def _meant(failure: failures.Failure, provider: str) -> errors.SpeechError:
    cls = _CLASSES.get(failure.kind)
    if cls is not None:
        return cls(failure.detail, provider=provider, retry_after=failure.retry_after)
    said = failure.detail or failure.code
    return errors.from_status(failure.status, said, provider=provider, retry_after=failure.retry_after)
