"""Errors in OpenAI's shape, with the statuses for which its clients raise the exception classes that fit."""

import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import unquote

import msgspec

from jobs import errors
from jobs.errors import FieldError
from jobs.job import JobError

_PATHS = re.compile(r"/v1/(chat|models)(/|$)")
_AS: Mapping[str, tuple[int, str]] = {
    "validation_error": (400, "invalid_value"),
    "unknown_model": (404, "model_not_found"),
    "provider_disabled": (404, "model_not_found"),
    "model_not_found": (404, "model_not_found"),
    "unauthorized": (401, "invalid_api_key"),
    "rate_limited": (429, "rate_limit_exceeded"),
    "too_many_queued": (429, "rate_limit_exceeded"),
    "provider_rate_limited": (429, "rate_limit_exceeded"),
    "budget_exhausted": (429, "insufficient_quota"),
    "provider_bad_request": (400, "provider_bad_request"),
    "context_too_long": (400, "context_length_exceeded"),
    "content_filtered": (400, "content_filter"),
    "unsupported": (400, "unsupported"),
    "provider_timeout": (504, "provider_timeout"),
    "first_token_timeout": (504, "first_token_timeout"),
    "stream_stalled": (504, "stream_stalled"),
    "deadline_exceeded": (504, "deadline_exceeded"),
    "start_deadline_exceeded": (504, "start_deadline_exceeded"),
    "provider_overloaded": (503, "provider_overloaded"),
    "circuit_open": (503, "circuit_open"),
    "target_busy": (503, "target_busy"),
    "image_unavailable": (400, "invalid_image_url"),
    "internal_error": (500, "internal_error"),
}
"""Our codes for which OpenAI has another status or code, or which are codes of jobs and have no status."""
_JOB_FAILED = HTTPStatus.BAD_GATEWAY
"""What else can go wrong with a job is a provider's doing."""
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_RETRIED = frozenset({408, 409, 429})
"""Besides 5xx: statuses after which OpenAI's clients try again by themselves."""


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, as OpenAI says it."""

    message: str
    type: str
    param: str | None
    """The field of the request, such as `messages[2].content`."""
    code: str | None


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every error answer, and the data of the event that ends a stream in an error."""

    error: ErrorDetail


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """An error, ready to be answered."""

    status: int
    detail: ErrorDetail
    headers: Mapping[str, str] = {}

    @property
    def body(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(ErrorBody(error=self.detail))


def speaks_openai(path: str) -> bool:
    """Whether what is answered below this path is in OpenAI's shape."""
    return _PATHS.match(path) is not None


def fault(
    status: int,
    code: str,
    detail: str,
    *,
    fields: tuple[FieldError, ...] = (),
    headers: Mapping[str, str] | None = None,
    retryable: bool = True,
) -> Fault:
    """The error with our status and code in OpenAI's terms."""
    if status == HTTPStatus.UNPROCESSABLE_ENTITY and code != errors.IdempotencyKeyReused.code:
        status = HTTPStatus.BAD_REQUEST
    status, code = _AS.get(code, (status, code))
    param = _param(fields[0].pointer) if fields else None
    message = f"{param}: {fields[0].detail}" if param and status == HTTPStatus.BAD_REQUEST else detail
    sent = dict(headers or {})
    if not retryable and (status in _RETRIED or status >= HTTPStatus.INTERNAL_SERVER_ERROR):
        sent["X-Should-Retry"] = "false"
    kind = code if code == "insufficient_quota" else _TYPES.get(status, _kind(status))
    return Fault(status=status, detail=ErrorDetail(message=message, type=kind, param=param, code=code), headers=sent)


def _kind(status: int) -> str:
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"


def of_error(error: errors.RingbackError) -> Fault:
    """An error of our own tree."""
    headers = _retry_after(error.retry_after)
    return fault(
        error.status, error.code, error.detail, fields=error.errors, headers=headers, retryable=error.retryable
    )


def _retry_after(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"Retry-After": str(math.ceil(seconds))}


def of_job(status: str, error: JobError | None) -> Fault:
    """Why a job that ended in `status` has no answer."""
    if error is None:
        return fault(409, "job_cancelled", "The job was cancelled.", retryable=False)
    failed = _JOB_FAILED
    if error.code == "all_targets_failed" and error.retryable:
        failed = HTTPStatus.SERVICE_UNAVAILABLE
    headers = _retry_after(None if error.retry_after_s is msgspec.UNSET else error.retry_after_s)
    return fault(failed, error.code, error.message, headers=headers, retryable=error.retryable)


def _param(pointer: str) -> str | None:
    """`#/messages/2/content` as `messages[2].content`; `header:X` and `query:X` as `X`."""
    kind, _, rest = pointer.partition(":")
    if kind in ("header", "query"):
        return rest
    steps = [unquote(step).replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    named = "".join(f"[{step}]" if step.isdecimal() else f".{step}" for step in steps if step)
    return named.removeprefix(".") or None
