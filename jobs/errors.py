"""The one error tree. Each error has a stable `code`, an HTTP status, and says whether trying again can help.

A class's docstring is its default message, written for the caller who has to act on it.
"""

from typing import ClassVar, Self

import msgspec


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with a request."""

    pointer: str
    """Where: a JSON pointer as a URI fragment (RFC 6901), e.g. `#/input/text`; or `header:NAME`, `query:NAME`."""
    detail: str
    """What is wrong and how to mend it."""


class RingbackError(Exception):
    """Something went wrong inside Ringback."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: bool = False

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: tuple[FieldError, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        """`retry_after` is in seconds: when trying again makes sense, if that is known."""
        self.detail = detail or (type(self).__doc__ or type(self).__name__).strip()
        self.errors = errors
        self.retry_after = retry_after
        super().__init__(self.detail)

    @classmethod
    def at(cls, pointer: str, detail: str) -> Self:
        """The error for one part of the request; `pointer` as in `FieldError`."""
        return cls(detail, errors=(FieldError(pointer=pointer, detail=detail),))


class ConfigurationError(RingbackError):
    """The configuration cannot be used."""

    code = "configuration_error"


class InvalidRequest(RingbackError):
    """The request is not valid; `errors` names each field."""

    code = "validation_error"
    status = 422


class InvalidJson(InvalidRequest):
    """The body is not valid UTF-8 JSON."""

    code = "invalid_json"
    status = 400


class UnknownJobType(InvalidRequest):
    """There is no such job type; GET /v1/job-types lists them."""

    code = "unknown_job_type"


class UnknownModel(InvalidRequest):
    """There is no such route or provider; name a route or `provider/model`."""

    code = "unknown_model"


class ProviderDisabled(InvalidRequest):
    """The provider is not configured on this deployment."""

    code = "provider_disabled"


class CallbackNotAllowed(InvalidRequest):
    """The callback URL cannot be used."""

    code = "callback_not_allowed"


class UnknownDestination(InvalidRequest):
    """There is no such destination on this deployment; they are named in ringback.toml."""

    code = "unknown_destination"


class IdempotencyKeyReused(InvalidRequest):
    """This Idempotency-Key was used with another body; use a new key for a new request."""

    code = "idempotency_key_reused"


class BodyTooLarge(RingbackError):
    """The body is larger than this deployment accepts."""

    code = "body_too_large"
    status = 413


class Unauthorized(RingbackError):
    """A valid API key is required: Authorization: Bearer <key>."""

    code = "unauthorized"
    status = 401


class Forbidden(RingbackError):
    """This API key may not do that; `errors` says what it lacks."""

    code = "forbidden"
    status = 403


class RateLimited(RingbackError):
    """This API key makes requests faster than it may; wait for as long as Retry-After says."""

    code = "rate_limited"
    status = 429
    retryable = True


class BudgetExhausted(RingbackError):
    """This API key has spent its tokens of the day; new jobs are accepted again from midnight UTC on."""

    code = "budget_exhausted"
    status = 429
    retryable = True


class CrossSiteRequest(RingbackError):
    """A web page of another site sent this."""

    code = "cross_site_request"
    status = 403


class HostNotAllowed(RingbackError):
    """The Host header names no host of this server."""

    code = "host_not_allowed"
    status = 403


class NotFound(RingbackError):
    """There is nothing here."""

    code = "not_found"
    status = 404


class JobNotFound(NotFound):
    """There is no such job, or it has passed its retention."""

    code = "job_not_found"


class JobAlreadyEnded(RingbackError):
    """The job has already ended; its state is final."""

    code = "job_already_ended"
    status = 409


class SessionNotFound(NotFound):
    """There is no such session, or nothing was said in it for longer than its time to live."""

    code = "session_not_found"


class SessionBusy(RingbackError):
    """Another turn of this session is under way; try again when it has ended, or let this one wait."""

    code = "session_busy"
    status = 409
    retryable = True


class EventsGone(RingbackError):
    """The events after this id are no longer kept; read the job by GET."""

    code = "events_gone"
    status = 410


class StoreUnavailable(RingbackError):
    """The job store did not answer; whether this was done is not known. Repeat it with the same Idempotency-Key."""

    code = "store_unavailable"
    status = 503
    retryable = True


class QueueFull(RingbackError):
    """Too many jobs wait, or wait too long; nothing was accepted. Try again later."""

    code = "queue_full"
    status = 503
    retryable = True


class TooManyQueued(RingbackError):
    """Too many jobs of this API key wait; nothing was accepted. Try again when some of them have run."""

    code = "too_many_queued"
    status = 429
    retryable = True


class ShuttingDown(RingbackError):
    """This process is shutting down; another one will answer."""

    code = "shutting_down"
    status = 503
    retryable = True


class StaleFence(RingbackError):
    """Another worker holds this job now; this one's writes are refused."""

    code = "stale_fence"


class JobFailure(RingbackError):
    """A reason for which a job ends as `failed`; its code becomes the job's `error.code`."""


class VendorFailure(JobFailure):
    """A vendor's service failed."""

    def __init__(self, detail: str | None = None, *, provider: str, retry_after: float | None = None) -> None:
        """`provider` is the service's name; `detail` is its own reason, without request content and without secrets."""
        super().__init__(detail, retry_after=retry_after)
        self.provider = provider


class AttemptsExhausted(JobFailure):
    """Every allowed attempt at this job was lost with its worker."""

    code = "attempts_exhausted"


class OutputInvalid(JobFailure):
    """The model's answer did not fit the job's output schema, also after one repair attempt."""

    code = "output_invalid"


class DeadlineExceeded(JobFailure):
    """The job did not finish within its `total_s`."""

    code = "deadline_exceeded"


class StartDeadlineExceeded(JobFailure):
    """The job was not started within its `start_s`."""

    code = "start_deadline_exceeded"
