"""Claims: one holder at a time, under a fence that only grows, and no more attempts than allowed."""

import asyncio

import msgspec
import pytest

from jobs import errors, event
from jobs.job import Deadline
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.jobs import JobStore
from tests.integration.store.sample import (
    TARGETS,
    accepted,
    claimed,
    ended,
    lapse,
    names,
    now_ms,
    pending,
    running,
    token,
)


async def test_a_claim_starts_the_job(store: JobStore, connection: Connection) -> None:
    spec = await accepted(store)
    claim = await claimed(store, spec.id)
    assert (claim.verdict, claim.spec, claim.fence, claim.attempt) == ("run", spec, 1, 1)
    assert (claim.target, claim.last_event) == (TARGETS[0], 1)
    assert claim.started_ms is not None
    assert abs(claim.started_ms - now_ms()) < 5000
    assert await names(connection, spec.id) == ["job.started"]
    assert (await store.state(spec.id)).status == "running"
    rows = await connection.redis.xrange(keys.events(spec.id))
    assert msgspec.json.decode(rows[0][1][b"d"]) == {"attempt": 1, "provider": "fake", "model": "fake/one"}


async def test_a_held_job_is_not_claimed_again(store: JobStore, connection: Connection) -> None:
    claim = await running(store)
    assert await store.claim(claim.spec.id, token()) is None
    assert await names(connection, claim.spec.id) == ["job.started"]


async def test_of_fifty_that_claim_at_once_one_holds_the_job(store: JobStore) -> None:
    spec = await accepted(store)
    claims = await asyncio.gather(*(store.claim(spec.id, token()) for _ in range(50)))
    assert len([claim for claim in claims if claim]) == 1


async def test_the_same_call_twice_is_one_claim(store: JobStore, connection: Connection) -> None:
    spec = await accepted(store)
    mine = token()
    assert await store.claim(spec.id, mine) == await store.claim(spec.id, mine)
    assert await names(connection, spec.id) == ["job.started"]


async def test_the_same_call_twice_finds_the_events_written_between(store: JobStore) -> None:
    spec = await accepted(store)
    mine = token()
    claim = await store.claim(spec.id, mine)
    assert claim is not None
    await store.append(claim, [event.text_delta("a")], last_event=claim.last_event)
    again = await store.claim(spec.id, mine)
    assert again is not None
    assert again.last_event == 2


async def test_a_lapsed_lease_gives_the_job_to_the_next_under_a_greater_fence(
    store: JobStore, connection: Connection
) -> None:
    first = await running(store)
    await lapse(connection, first.spec.id)
    second = await claimed(store, first.spec.id)
    assert (second.fence, second.attempt, second.started_ms) == (2, 2, first.started_ms)
    assert await names(connection, first.spec.id) == ["job.started", "job.started", "stream.reset"]
    rows = await connection.redis.xrange(keys.events(first.spec.id))
    assert msgspec.json.decode(rows[2][1][b"d"]) == {"reason": "new_attempt", "provider": "fake", "model": "fake/one"}


async def test_a_lease_runs_out_by_itself(connection: Connection, settings: Settings) -> None:
    store = JobStore(connection, msgspec.structs.replace(settings, lease_s=0.05))
    first = await running(store)
    await asyncio.sleep(0.1)
    assert (await claimed(store, first.spec.id)).fence == 2


async def test_a_new_attempt_starts_again_at_the_first_target(store: JobStore, connection: Connection) -> None:
    first = await running(store)
    await store.append(first, [event.text_delta("a")], last_event=1, target=TARGETS[1])
    assert msgspec.json.decode(await store.get(first.spec.id))["model"] == TARGETS[1]
    await lapse(connection, first.spec.id)
    second = await claimed(store, first.spec.id)
    assert second.target == TARGETS[0]
    assert msgspec.json.decode(await store.get(first.spec.id))["model"] == TARGETS[0]


async def test_a_job_that_kills_its_workers_is_exhausted(connection: Connection, settings: Settings) -> None:
    store = JobStore(connection, msgspec.structs.replace(settings, max_attempts=2))
    job_id = (await accepted(store)).id
    for attempt in (1, 2):
        assert (await claimed(store, job_id)).attempt == attempt
        await lapse(connection, job_id)
    last = await claimed(store, job_id)
    assert (last.verdict, last.attempt, last.fence) == ("exhausted", 2, 3)
    assert await names(connection, job_id) == ["job.started", "job.started", "stream.reset"]
    assert await store.end(last.fence, ended(last, "failed")) == 4


async def test_a_job_handed_back_loses_no_attempt(connection: Connection, settings: Settings) -> None:
    store = JobStore(connection, msgspec.structs.replace(settings, max_attempts=1))
    claim = await running(store)
    for _ in range(3):
        await store.release(claim)
        claim = await claimed(store, claim.spec.id)
        assert claim.verdict == "run"
    assert claim.attempt == 4
    await lapse(connection, claim.spec.id)
    assert (await claimed(store, claim.spec.id)).verdict == "exhausted"


async def test_a_job_past_its_start_deadline_expires_unstarted(store: JobStore, connection: Connection) -> None:
    spec = await accepted(store, at_ms=now_ms() - 2000, deadline=Deadline(start_s=1))
    claim = await claimed(store, spec.id)
    assert (claim.verdict, claim.attempt, claim.started_ms, claim.fence) == ("expired", 0, None, 1)
    assert await names(connection, spec.id) == []
    assert (await store.state(spec.id)).status == "queued"
    await store.end(claim.fence, ended(claim, "expired"))
    assert await names(connection, spec.id) == ["job.expired"]
    job = msgspec.json.decode(await store.get(spec.id))
    assert (job["status"], job["started_at"], job["attempt"]) == ("expired", None, 0)


async def test_the_start_deadline_binds_only_the_first_start(store: JobStore, connection: Connection) -> None:
    claim = await running(store, deadline=Deadline(start_s=1.0))
    await asyncio.sleep(1.01)
    await lapse(connection, claim.spec.id)
    assert (await claimed(store, claim.spec.id)).verdict == "run"


@pytest.mark.parametrize("state", ["queued", "running"])
async def test_a_cancelled_job_is_not_run(store: JobStore, connection: Connection, state: str) -> None:
    if state == "running":
        job_id = (await running(store)).spec.id
        await lapse(connection, job_id)
    else:
        job_id = (await accepted(store)).id
    assert await store.request_cancel(job_id)
    claim = await claimed(store, job_id)
    assert claim.verdict == "cancelled"
    await store.end(claim.fence, ended(claim, "cancelled"))
    assert (await store.state(job_id)).status == "cancelled"


@pytest.mark.parametrize("verdict", ["expired", "exhausted", "cancelled"])
async def test_the_same_call_twice_is_the_same_verdict(
    connection: Connection, settings: Settings, verdict: str
) -> None:
    """The answer to the first call was lost on the way: the second must not tell the worker to run the job."""
    store = JobStore(connection, msgspec.structs.replace(settings, max_attempts=1))
    past = verdict == "expired"
    spec = await accepted(store, at_ms=now_ms() - 2000 * past, deadline=Deadline(start_s=1 if past else None))
    if verdict == "cancelled":
        await store.request_cancel(spec.id)
    if verdict == "exhausted":
        await claimed(store, spec.id)
        await lapse(connection, spec.id)
    mine = token()
    first = await store.claim(spec.id, mine)
    assert first is not None
    assert first.verdict == verdict
    assert await store.claim(spec.id, mine) == first
    assert await store.claim(spec.id, token()) is None
    status = {"expired": "expired", "exhausted": "failed", "cancelled": "cancelled"}[verdict]
    await store.end(first.fence, ended(first, status))  # type: ignore[arg-type]  # one of the terminal ones


async def test_who_holds_a_verdict_and_dies_leaves_it_to_the_next(store: JobStore, connection: Connection) -> None:
    spec = await accepted(store, at_ms=now_ms() - 2000, deadline=Deadline(start_s=1))
    first = await claimed(store, spec.id)
    await lapse(connection, spec.id)
    second = await claimed(store, spec.id)
    assert (second.verdict, second.fence) == ("expired", 2)
    with pytest.raises(errors.StaleFence):
        await store.end(first.fence, ended(first, "expired"))
    await store.end(second.fence, ended(second, "expired"))
    assert await pending(connection) == set()


async def test_an_ended_job_is_not_claimed(store: JobStore, connection: Connection) -> None:
    claim = await running(store)
    await store.end(claim.fence, ended(claim))
    await connection.redis.zadd(keys.pending(0), {claim.spec.id: 1})
    assert await store.claim(claim.spec.id, token()) is None
    assert await pending(connection) == set()


async def test_a_claim_moves_the_job_in_its_index_and_its_next_look_to_the_leases_end(
    store: JobStore, connection: Connection, settings: Settings
) -> None:
    claim = await running(store)
    assert await connection.redis.zscore(keys.index(0, "status:queued"), claim.spec.id) is None
    assert await connection.redis.zscore(keys.index(0, "status:running"), claim.spec.id) is not None
    score = await connection.redis.zscore(keys.pending(0), claim.spec.id)
    lease = float(await connection.redis.hget(keys.job(claim.spec.id), "lease"))
    assert score == lease
    assert 0 < score - now_ms() <= settings.lease_s * 1000
