"""Reading what callers put into headers, query strings and bodies."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from litestar import HttpMethod, Request
from litestar.datastructures import Headers, MultiDict

from jobs import errors
from jobs.job import TERMINAL

WAIT_LIMIT_S = 60
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?", re.IGNORECASE)
_STATUSES = ("queued", "running", *sorted(TERMINAL))
_FILTERS = ("type", "status", "session_id", "error", "limit", "cursor")
_METADATA = "metadata."
_SWALLOWED = 16
"""So many times the limit is read, and thrown away, of a body that is too large."""

AnyRequest = Request[Any, Any, Any]
READ = [HttpMethod.GET, HttpMethod.HEAD]
"""The methods of whatever can be read."""


async def body(request: AnyRequest, limit: int) -> bytes:
    """The body, of at most `limit` bytes. Raises `errors.BodyTooLarge`.

    A body that is too large is read nevertheless, within reason: a client that is still sending when the connection
    closes would see a reset instead of the answer.
    """
    if request.headers.get("expect") and (request.content_length or 0) > limit:
        raise errors.BodyTooLarge  # it has asked before sending
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        elif size > limit * _SWALLOWED:
            break
        else:
            chunks.clear()
    if size > limit:
        raise errors.BodyTooLarge(f"The body is larger than {limit} bytes, which is the limit of this deployment.")
    return b"".join(chunks)


def wait_seconds(headers: Headers) -> int | None:
    """The seconds of `Prefer: wait=N` (RFC 7240), at most 60; `None` if the caller does not want to wait."""
    match = _WAIT.search(", ".join(headers.getall("prefer", [])))
    return min(int(match[1]), WAIT_LIMIT_S) if match else None


def idempotency_key(value: str | None) -> str | None:
    """The `Idempotency-Key` header. Raises `errors.InvalidRequest`."""
    if value is None:
        return None
    value = value.strip(" \t")  # which belongs to the line, not to the value, but the parser leaves it at the end
    if not 1 <= len(value) <= 255 or not value.isprintable():
        raise errors.InvalidRequest.at("header:Idempotency-Key", "must be 1 to 255 printable characters")
    return value


def resume_point(request: AnyRequest, newest: int) -> int:
    """The id of the last event that the client has, by header or query; 0 if none. `newest` is the last there is.

    Raises `errors.InvalidRequest`.
    """
    header, query = request.headers.get("last-event-id", ""), request.query_params.get("last_event_id", "")
    pointer, text = ("header:Last-Event-ID", header) if header.strip() else ("query:last_event_id", query)
    number = _whole_number(text.strip() or "0")
    if number is None:
        raise errors.InvalidRequest.at(pointer, "must be the id of an event of this job, a whole number")
    if number > newest:
        raise errors.InvalidRequest.at(pointer, f"there is no event {number} yet; the last one is {newest}")
    return number


def _whole_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query of `GET /v1/jobs`."""

    type: str | None
    status: str | None
    session_id: str | None
    error: str | None
    metadata: Mapping[str, str]
    limit: int
    cursor: str | None


def list_query(params: MultiDict[str]) -> ListQuery:
    """The filters and the page asked for. Raises `errors.InvalidRequest`."""
    for name in params:
        if name not in _FILTERS and not (name.startswith(_METADATA) and len(name) > len(_METADATA)):
            raise errors.InvalidRequest.at(f"query:{name[:64]}", f"unknown; known: {', '.join(_FILTERS)}, metadata.KEY")
    status = params.get("status") or None
    if status is not None and status not in _STATUSES:
        raise errors.InvalidRequest.at("query:status", f"must be one of {', '.join(_STATUSES)}")
    return ListQuery(
        type=params.get("type") or None,
        status=status,
        session_id=params.get("session_id") or None,
        error=params.get("error") or None,
        metadata={name.removeprefix(_METADATA): value for name, value in params.items() if name.startswith(_METADATA)},
        limit=page_limit(params),
        cursor=params.get("cursor") or None,
    )


def since_ms(params: MultiDict[str]) -> int | None:
    """The time in `since`, in Unix milliseconds; `None` if there is none. Raises `errors.InvalidRequest`."""
    given = params.get("since")
    if not given:
        return None
    try:
        moment = msgspec.convert(given, datetime)
    except msgspec.ValidationError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise errors.InvalidRequest.at("query:since", "must be a time such as 2026-11-22T09:30:00Z")
    return int(moment.timestamp() * 1000)


def page_limit(params: MultiDict[str]) -> int:
    """How many items a page may hold. Raises `errors.InvalidRequest`."""
    limit = _whole_number(params.get("limit") or "50")
    if limit is None or not 1 <= limit <= 200:
        raise errors.InvalidRequest.at("query:limit", "must be a whole number from 1 to 200")
    return limit
