"""What the anthropic SDK raises, as our errors. The vendor's own error type first, the HTTP status next.

The trap: an error in mid-stream is an `APIStatusError` whose status is 200; only its body tells what happened.
"""

from typing import TYPE_CHECKING

from providers import errors
from providers.anthropic.mapping import PROVIDER
from providers.reason import disclosable
from providers.service import Ask

if TYPE_CHECKING:
    import anthropic

_BY_TYPE: dict[str, type[errors.ProviderError]] = {
    "api_error": errors.Unavailable,
    "authentication_error": errors.AuthenticationFailed,
    "billing_error": errors.RateLimited,
    "invalid_request_error": errors.BadRequest,
    "not_found_error": errors.ModelNotFound,
    "overloaded_error": errors.Overloaded,
    "permission_error": errors.PermissionDenied,
    "rate_limit_error": errors.RateLimited,
    "request_too_large": errors.ContextTooLong,
    "timeout_error": errors.TimedOut,
    # on Bedrock: in mid-stream in this spelling, in the header of a refusal with a capital
    "accessDeniedException": errors.PermissionDenied,
    "expiredTokenException": errors.AuthenticationFailed,
    "incompleteSignatureException": errors.AuthenticationFailed,
    "internalServerException": errors.Unavailable,
    "invalidSignatureException": errors.AuthenticationFailed,
    "missingAuthenticationTokenException": errors.AuthenticationFailed,
    "modelErrorException": errors.Unavailable,
    "modelNotReadyException": errors.Overloaded,
    "modelStreamErrorException": errors.Unavailable,
    "modelTimeoutException": errors.TimedOut,
    "resourceNotFoundException": errors.ModelNotFound,
    "serviceQuotaExceededException": errors.RateLimited,
    "serviceUnavailableException": errors.Overloaded,
    "throttlingException": errors.RateLimited,
    "unrecognizedClientException": errors.AuthenticationFailed,
    "validationException": errors.BadRequest,
}
_TOO_LONG = ("prompt is too long", "exceed context limit", "input is too long")
_FILTERED = ("content filtering policy",)
_NO_PREFILL = ("does not support assistant message prefill",)


def from_status_error(error: "anthropic.APIStatusError", ask: Ask, secret: str | None) -> errors.ProviderError:
    """The error that a refusal, or an error event in mid-stream, means."""
    reason = _reason(error)
    detail = disclosable(reason, ask, (secret,))
    words = reason.lower()
    if any(phrase in words for phrase in _TOO_LONG):
        return errors.ContextTooLong(detail, provider=PROVIDER)
    if any(phrase in words for phrase in _FILTERED):
        return errors.ContentFiltered(detail, provider=PROVIDER)
    if any(phrase in words for phrase in _NO_PREFILL):
        return errors.Unsupported(detail, provider=PROVIDER)
    retry_after = _retry_after(error)
    cls = _BY_TYPE.get(_type(error))
    if cls is not None:
        return cls(detail, provider=PROVIDER, retry_after=retry_after)
    if error.status_code == 200:
        return errors.Unavailable(detail, provider=PROVIDER)
    detail = detail or f"HTTP status {error.status_code}"
    return errors.from_status(error.status_code, detail, provider=PROVIDER, retry_after=retry_after)


def from_connection(error: Exception, *, answering: bool) -> errors.ProviderError:
    """What a broken connection means; `answering`: the response had begun."""
    cause = type(error.__cause__ or error).__name__
    if answering:
        return errors.StreamInterrupted(f"the connection broke: {cause}", provider=PROVIDER)
    return errors.ConnectionFailed(f"no connection or no answer: {cause}", provider=PROVIDER)


def _type(error: "anthropic.APIStatusError") -> str:
    """The vendor's own type of the error, of Bedrock's in the spelling of its streams; empty if there is none."""
    if error.type:
        return str(error.type)
    on_bedrock = str(error.response.headers.get("x-amzn-errortype", "")).partition(":")[0]
    return on_bedrock[:1].lower() + on_bedrock[1:]


def _reason(error: "anthropic.APIStatusError") -> str:
    if error.api_message:
        return str(error.api_message)
    body = error.body
    return str(body.get("message") or body.get("Message") or "") if isinstance(body, dict) else ""


def _retry_after(error: "anthropic.APIStatusError") -> float | None:
    try:
        return max(0.0, float(error.response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
