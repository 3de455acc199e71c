"""Reading what callers put into headers and query strings."""

import re
from collections.abc import Mapping

import msgspec
from litestar.datastructures import MultiDict

from jobs import errors
from jobs.job import TERMINAL

WAIT_LIMIT_S = 60
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?", re.IGNORECASE)
_STATUSES = ("queued", "running", *sorted(TERMINAL))
_FILTERS = ("type", "status", "session_id", "limit", "cursor")
_METADATA = "metadata."


def wait_seconds(prefer: str | None) -> int | None:
    """The seconds of `Prefer: wait=N` (RFC 7240), at most 60; `None` if the caller does not want to wait."""
    match = _WAIT.search(prefer or "")
    return min(int(match[1]), WAIT_LIMIT_S) if match else None


def idempotency_key(value: str | None) -> str | None:
    """The `Idempotency-Key` header. Raises `errors.InvalidRequest`."""
    if value is None:
        return None
    if not 1 <= len(value) <= 255 or not value.isprintable():
        raise errors.InvalidRequest.at("header:Idempotency-Key", "must be 1 to 255 printable characters")
    return value


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query of `GET /v1/jobs`."""

    type: str | None
    status: str | None
    session_id: str | None
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
    limit = params.get("limit") or "50"
    if not limit.isdigit() or not 1 <= int(limit[:9]) <= 200:
        raise errors.InvalidRequest.at("query:limit", "must be a whole number from 1 to 200")
    return ListQuery(
        type=params.get("type") or None,
        status=status,
        session_id=params.get("session_id") or None,
        metadata={name.removeprefix(_METADATA): value for name, value in params.items() if name.startswith(_METADATA)},
        limit=int(limit),
        cursor=params.get("cursor") or None,
    )
