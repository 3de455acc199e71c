"""Errors as RFC 9457 problem details. Whatever happens, the caller gets one of these and never a traceback."""

import math
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from gateway.openai import problems as openai
from jobs import errors
from jobs.errors import FieldError

AnyRequest = Request[Any, Any, Any]
MEDIA_TYPE = "application/problem+json"
_log = structlog.get_logger(__name__)


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every error answer."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[FieldError, ...] = ()


def encode(status: int, code: str, detail: str, fields: tuple[FieldError, ...] = ()) -> bytes:
    """The body of an error answer."""
    problem = Problem(
        type=f"urn:ringback:problem:{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        detail=detail,
        code=code,
        errors=fields,
    )
    return msgspec.json.encode(problem)


def _response(
    request: AnyRequest,
    error: errors.RingbackError | None,
    status: int,
    code: str,
    detail: str,
    headers: dict[str, str] | None = None,
) -> Response[bytes]:
    """The answer in the shape that is expected at the request's path; `error` is known if it is one of our own."""
    fields = error.errors if error else ()
    if openai.speaks_openai(request.scope["path"]):
        retryable = error is not None and error.retryable
        fault = openai.fault(status, code, detail, fields=fields, headers=headers, retryable=retryable)
        return Response(
            fault.body, status_code=fault.status, media_type="application/json", headers=dict(fault.headers)
        )
    return Response(encode(status, code, detail, fields), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def ours(request: AnyRequest, error: errors.RingbackError) -> Response[bytes]:
    """An error of our own tree."""
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    if isinstance(error, errors.Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return _response(request, error, error.status, error.code, error.detail, headers)


def litestars(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """An error that the framework found: no such path, wrong method, body too large."""
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return ours(request, errors.BodyTooLarge())
    code = HTTPStatus(error.status_code).name.lower()
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = "There is nothing at this path."
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.method} is not possible here."
    else:
        detail = error.detail
    return _response(request, None, error.status_code, code, detail, dict(error.headers or {}))


def unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    """A bug. The caller learns that it is ours, the log learns the rest."""
    _log.error("unexpected_error", path=request.scope["path"], method=request.method, exc_info=error)
    detail = "Something went wrong inside Ringback; nothing is wrong with the request."
    return _response(request, None, 500, errors.RingbackError.code, detail)
