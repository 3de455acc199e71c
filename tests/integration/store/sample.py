"""Jobs to store, claims on them, and shortcuts through time."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from jobs import ids
from jobs.job import Callback, Job, JobEvent, JobSpec, PromptRef, TerminalStatus, terminal_event
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.deliveries import Attempt, NewDelivery
from jobs.store.jobs import Claim, JobStore

TARGETS = ("fake/one", "fake/two")
EVERY_EVENT = Callback(url="https://orders.example/hook", events=tuple(JobEvent))
_counter = itertools.count()


async def until(condition: Callable[[], Awaitable[object]], *, timeout: float = 10.0) -> None:
    """Waits until `condition()` is true. Raises `TimeoutError` after `timeout` seconds."""
    async with asyncio.timeout(timeout):
        while not await condition():  # noqa: ASYNC110 - what is awaited happens in the store
            await asyncio.sleep(0.005)


def now_ms() -> int:
    """Unix milliseconds."""
    return int(time.time() * 1000)


def spec(shard: int = 0, *, at_ms: int | None = None, metadata: Any = None, **fields: Any) -> JobSpec:
    """A job to be accepted; `fields` as in `JobSpec`."""
    created = now_ms() if at_ms is None else at_ms
    made: dict[str, Any] = {
        "id": ids.new(keys.JOB_PREFIX, shard, at_ms=created),
        "type": "generate",
        "created_ms": created,
        "prompt": PromptRef(name="generate", version="1", sha256="0" * 64),
        "input": msgspec.Raw('{"prompt":"안녕"}'.encode()),
        "metadata": msgspec.Raw(msgspec.json.encode({} if metadata is None else metadata)),
        "targets": TARGETS,
    }
    return JobSpec(**made | fields)


async def accepted(store: JobStore, shard: int = 0, **fields: Any) -> JobSpec:
    """A job that is queued."""
    made = spec(shard, **fields)
    await store.accept(made)
    return made


def token() -> str:
    """A claim token that no other call has."""
    return f"token-{next(_counter)}"


async def claimed(store: JobStore, job_id: str) -> Claim:
    """A claim on that job, which must be free."""
    claim = await store.claim(job_id, token())
    assert claim is not None
    return claim


async def running(store: JobStore, shard: int = 0, **fields: Any) -> Claim:
    """A claim on a new job."""
    return await claimed(store, (await accepted(store, shard, **fields)).id)


def ended(claim: Claim, status: TerminalStatus = "succeeded", **fields: Any) -> Job:
    """The Job of that claim, ended now."""
    return claim.view(status, ended_ms=now_ms(), **fields)


def callback_of(job: Job) -> NewDelivery | None:
    """The callback for the end of `job`."""
    status: TerminalStatus = job.status  # type: ignore[assignment]  # only ended jobs come here
    return NewDelivery.of(job, terminal_event(status), at_ms=now_ms())


def attempt(number: int = 1, status_code: int | None = 503, **fields: Any) -> Attempt:
    """An attempt at a delivery."""
    made = callback_attempt | {"number": number, "status_code": status_code} | fields
    return msgspec.convert(made, Attempt)


callback_attempt: dict[str, Any] = {
    "at": "2026-11-21T12:00:00Z",
    "duration_ms": 12,
    "response_excerpt": "나중에",
    "error": None,
}


async def lapse(connection: Connection, job_id: str) -> None:
    """Lets the lease on a job run out, as time does."""
    await connection.redis.hset(keys.job(job_id), "lease", 1)
    await connection.redis.zadd(keys.pending(ids.shard_of(job_id, "job")), {job_id: 1}, xx=True)


async def names(connection: Connection, job_id: str) -> list[str]:
    """The names of the events in a job's log; their ids are checked to count up from 1."""
    rows = await connection.redis.xrange(keys.events(job_id))
    assert [entry for entry, _ in rows] == [f"{n}-0".encode() for n in range(1, len(rows) + 1)]
    return [fields[b"e"].decode() for _, fields in rows]


async def pending(connection: Connection, shard: int = 0) -> set[str]:
    """The ids of the jobs in a shard that have not ended."""
    return {id_.decode() for id_ in await connection.redis.zrange(keys.pending(shard), 0, -1)}


async def seconds_left(connection: Connection, key: str) -> float | None:
    """Until `key` expires; `None`: never. Fails if it is not there."""
    left = await connection.redis.pttl(key)
    assert left != -2, f"{key} is not there"
    return None if left == -1 else left / 1000
