"""What can go wrong at a provider, the same for every vendor. Classified by status first, by message last."""

from jobs import errors


class ProviderError(errors.VendorFailure):
    """The provider failed."""

    code = "provider_error"


class RateLimited(ProviderError):
    """The provider's rate limit or quota was reached."""

    code = "provider_rate_limited"
    retryable = True


class Overloaded(ProviderError):
    """The provider is overloaded."""

    code = "provider_overloaded"
    retryable = True


class Unavailable(ProviderError):
    """The provider had an internal error or is unavailable."""

    code = "provider_unavailable"
    retryable = True


class TimedOut(ProviderError):
    """The provider gave up on the request for taking too long."""

    code = "provider_timeout"
    retryable = True


class FirstTokenTimeout(TimedOut):
    """The provider sent no first token within `first_token_s`."""

    code = "first_token_timeout"


class Stalled(TimedOut):
    """The provider sent nothing for `stall_s` in the middle of its answer."""

    code = "stream_stalled"


class ConnectionFailed(ProviderError):
    """The provider could not be reached."""

    code = "provider_unreachable"
    retryable = True


class StreamInterrupted(ProviderError):
    """The provider's stream ended before the answer was complete."""

    code = "stream_interrupted"
    retryable = True


class MalformedAnswer(ProviderError):
    """The provider sent something that its protocol does not allow."""

    code = "provider_malformed_answer"
    retryable = True


class AuthenticationFailed(ProviderError):
    """The provider refused the credentials."""

    code = "provider_authentication_failed"


class PermissionDenied(ProviderError):
    """The credentials may not use this model."""

    code = "provider_permission_denied"


class ModelNotFound(ProviderError):
    """The provider has no such model."""

    code = "model_not_found"


class BadRequest(ProviderError):
    """The provider refused the request as invalid."""

    code = "provider_bad_request"


class ContextTooLong(BadRequest):
    """The input is longer than the model's context."""

    code = "context_too_long"


class ContentFiltered(ProviderError):
    """The provider's content filter blocked the request or the answer."""

    code = "content_filtered"


class Unsupported(ProviderError):
    """The provider cannot do this (images, tools, …) with this model."""

    code = "unsupported"


_BY_STATUS: dict[int, type[ProviderError]] = {
    401: AuthenticationFailed,
    402: RateLimited,
    403: PermissionDenied,
    404: ModelNotFound,
    408: TimedOut,
    413: ContextTooLong,
    429: RateLimited,
    503: Overloaded,
    504: TimedOut,
    529: Overloaded,
}


def from_status(status: int, detail: str, *, provider: str, retry_after: float | None = None) -> ProviderError:
    """The error that an HTTP status means where the vendor says nothing more exact."""
    cls = _BY_STATUS.get(status, Unavailable if status >= 500 else BadRequest)
    return cls(detail, provider=provider, retry_after=retry_after)
