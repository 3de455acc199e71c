"""Reading jobs: one by id, and lists of them by filter, newest first, a page at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from jobs import errors, ids
from jobs.job import JobSpec, view
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection

_CHUNK = 50
_CHUNKS = 40
"""A page looks at no more than so many chunks of jobs."""
PAGE_BYTES = 4 * 1024 * 1024
"""A page that has come to so much ends, however few items it has."""

_json = msgspec.json.Encoder()
_spec = msgspec.json.Decoder(JobSpec)


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a list, newest first."""

    items: list[msgspec.Raw]
    next_cursor: str | None


def metadata_index(key: str, value: object) -> str | None:
    """The index of jobs whose metadata has that scalar; `None` for what is not searchable."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if isinstance(value, dict | list) or len(key) + len(text) > 512:
        return None
    return f"meta:{key}={text}"


def owned(owner: str, index: str) -> str:
    """The index of those jobs of `index` that belong to that owner; for '' of all that do."""
    return f"owner:{owner}:{index}" if index else f"owner:{owner}"


class Listing:
    """Lists of jobs."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        """Reads the number of shards from `settings`."""
        self._connection = connection
        self._shards = settings.shards

    async def page(
        self,
        *,
        type: str | None = None,  # noqa: A002 - the query parameter's name
        status: str | None = None,
        session_id: str | None = None,
        error: str | None = None,
        metadata: Mapping[str, str] | None = None,
        owner: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Jobs that match every filter, newest first.

        `error` is the code of the error that a job ended with. A metadata value matches a string that equals it or
        another scalar whose JSON does. A page may hold fewer items than `limit` and still have a `next_cursor`: when
        few of the jobs looked at matched, or when it has `PAGE_BYTES`. With `owner` (an API key's id) only jobs of that
        owner are there, and nothing tells of others.
        Raises `errors.InvalidRequest` for a cursor that is not one, `errors.StoreUnavailable`.
        """
        wanted = {
            name: value
            for name, value in (("type", type), ("status", status), ("session_id", session_id), ("error", error))
            if value
        }
        if any(metadata_index(key, value) is None for key, value in (metadata or {}).items()):
            return Page(items=[], next_cursor=None)  # Too long to be in any index.
        index, told = _narrowest_index(wanted, metadata or {}, owner)
        position = cursor or ""
        if cursor is not None:
            check_cursor(cursor, keys.JOB_PREFIX)
        items: list[msgspec.Raw] = []
        size = 0
        # What one index tells needs no more looking.
        chunk = min(limit, _CHUNK) if len(wanted) + len(metadata or {}) <= told else _CHUNK
        for _ in range(_CHUNKS):
            job_ids = await newest(self._connection, self._shards, index, before=position, limit=chunk)
            found_jobs = await read(self._connection, job_ids, owner=owner) if job_ids else []
            for job_id, found in zip(job_ids, found_jobs, strict=True):
                position = job_id
                if found is not None and _matches(found, wanted, metadata or {}):
                    items.append(msgspec.Raw(found))
                    size += len(found)
                    if len(items) == limit or size >= PAGE_BYTES:
                        return Page(items=items, next_cursor=position)
            if len(job_ids) < chunk:
                return Page(items=items, next_cursor=None)
        return Page(items=items, next_cursor=position)


async def newest(
    connection: Connection, shards: int, index: str, *, before: str = "", since: str = "", limit: int
) -> list[str]:
    """The newest ids in that index of all shards, newest first: those before one id, and from another one on.

    Raises `errors.StoreUnavailable`.
    """
    upper, lower = f"({before}" if before else "+", f"[{since}" if since else "-"
    per_shard = await connection.calls(
        ("ZREVRANGEBYLEX", keys.index(shard, index), upper, lower, "LIMIT", 0, limit) for shard in range(shards)
    )
    return sorted((id_.decode() for found in per_shard for id_ in found), reverse=True)[:limit]


async def read(connection: Connection, job_ids: Sequence[str], *, owner: str | None = None) -> list[bytes | None]:
    """The Jobs as JSON; `None` for one that is not there or, if an owner is given, not that owner's.

    Raises `errors.NotFound`, `errors.StoreUnavailable`.
    """
    fields = ("owner", "final", "spec", "status", "attempt", "started", "target")
    rows = await connection.calls(("HMGET", keys.job(job_id), *fields) for job_id in job_ids)
    return [
        _job_json(*row) if owner is None or (owned_by or b"").decode() == owner else None for owned_by, *row in rows
    ]


def _job_json(
    final: bytes | None,
    spec: bytes | None,
    status: bytes | None,
    attempt: bytes | None,
    started: bytes | None,
    target: bytes | None,
) -> bytes | None:
    if final is not None:
        return final
    if spec is None or status is None:
        return None
    return _json.encode(
        view(
            _spec.decode(spec),
            status=status.decode(),  # type: ignore[arg-type]  # the scripts write no other
            attempt=int(attempt or 0),
            started_ms=int(started) if started else None,
            target=target.decode() if target else None,
        )
    )


class _Error(msgspec.Struct, frozen=True):
    code: str


class _Filtered(msgspec.Struct, frozen=True):
    type: str
    status: str
    session_id: str | None
    metadata: dict[str, Any]
    error: _Error | None


_filtered = msgspec.json.Decoder(_Filtered)


def _matches(found: bytes, wanted: Mapping[str, str], metadata: Mapping[str, str]) -> bool:
    job = _filtered.decode(found)
    has = {"type": job.type, "status": job.status, "session_id": job.session_id}
    has["error"] = job.error.code if job.error else None
    return all(has[name] == value for name, value in wanted.items()) and all(
        key in job.metadata and metadata_index(key, job.metadata[key]) == metadata_index(key, value)
        for key, value in metadata.items()
    )


def _narrowest_index(wanted: Mapping[str, str], metadata: Mapping[str, str], owner: str | None) -> tuple[str, int]:
    """The index to look through, and how many of the filters, besides the owner, it answers by itself."""
    narrow = next((index for key, value in metadata.items() if (index := metadata_index(key, value))), "")
    if not narrow and "session_id" in wanted:
        narrow = f"session:{wanted['session_id']}"
    if owner is not None:
        return owned(owner, narrow), 1 if narrow else 0
    if narrow:
        return narrow, 1
    for name in ("error", "status", "type"):
        if name in wanted:
            return f"{name}:{wanted[name]}", 1
    return "all", 0


def check_cursor(cursor: str, prefix: str) -> None:
    """Raises `errors.InvalidRequest` for what is no id of that prefix."""
    try:
        ids.shard_of(cursor, prefix)
    except errors.NotFound:
        raise errors.InvalidRequest.at("query:cursor", "must be the next_cursor of an earlier page") from None
