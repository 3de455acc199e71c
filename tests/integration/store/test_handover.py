"""Renewing, releasing, cancelling, and finding what was left behind."""

import asyncio
from typing import Any

import msgspec
import pytest

from jobs import errors
from jobs.job import Priority
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.jobs import HINT_AGAIN_S, JobStore
from tests.integration.store.sample import accepted, claimed, ended, lapse, names, now_ms, pending, running


async def lease_left(connection: Connection, job_id: str) -> float:
    """Seconds."""
    return (float(await connection.redis.hget(keys.job(job_id), "lease")) - now_ms()) / 1000


async def test_a_renewed_lease_lasts_as_long_as_a_new_one(
    connection: Connection, settings: Settings, store: JobStore
) -> None:
    short = JobStore(connection, msgspec.structs.replace(settings, lease_s=5.0))
    claim = await running(short)
    assert await store.renew({claim.spec.id: claim.fence}, extend=False) == {claim.spec.id: "ok"}
    assert await lease_left(connection, claim.spec.id) <= 5
    assert await store.renew({claim.spec.id: claim.fence}, extend=True) == {claim.spec.id: "ok"}
    assert 25 < await lease_left(connection, claim.spec.id) <= 30
    score = await connection.redis.zscore(keys.pending(0), claim.spec.id)
    assert score == float(await connection.redis.hget(keys.job(claim.spec.id), "lease"))


async def test_a_lease_that_ran_out_but_went_to_nobody_is_renewed(store: JobStore, connection: Connection) -> None:
    claim = await running(store)
    await lapse(connection, claim.spec.id)
    assert await store.renew({claim.spec.id: claim.fence}, extend=True) == {claim.spec.id: "ok"}
    assert await store.overdue() == []
    assert await store.claim(claim.spec.id, "t") is None


async def test_each_of_many_jobs_is_told_how_it_stands(store: JobStore, connection: Connection) -> None:
    fine, taken, wanted, over, back = [await running(store, shard) for shard in range(5)]
    await lapse(connection, taken.spec.id)
    await claimed(store, taken.spec.id)
    await store.request_cancel(wanted.spec.id)
    await store.end(over.fence, ended(over))
    await store.release(back)
    claims = (fine, taken, wanted, over, back)
    held = {claim.spec.id: claim.fence for claim in claims}
    for extend in (False, True):
        states = await store.renew(held, extend=extend)
        assert [states[claim.spec.id] for claim in claims] == ["ok", "stale", "cancel", "stale", "stale"]
    assert await store.renew({}, extend=True) == {}


async def test_a_stale_fence_renews_nothing(store: JobStore, connection: Connection) -> None:
    first = await running(store)
    await lapse(connection, first.spec.id)
    await claimed(store, first.spec.id)
    await lapse(connection, first.spec.id)
    assert await store.renew({first.spec.id: first.fence}, extend=True) == {first.spec.id: "stale"}
    assert await lease_left(connection, first.spec.id) < 0


async def test_a_job_handed_back_is_claimed_at_once(store: JobStore, connection: Connection) -> None:
    claim = await running(store)
    await store.release(claim)
    assert (await store.state(claim.spec.id)).status == "queued"
    assert await connection.redis.zscore(keys.index(0, "status:queued"), claim.spec.id) is not None
    assert await connection.redis.zscore(keys.index(0, "status:running"), claim.spec.id) is None
    again = await claimed(store, claim.spec.id)
    assert (again.verdict, again.fence, again.attempt) == ("run", 2, 2)
    assert await names(connection, claim.spec.id) == ["job.started", "job.started", "stream.reset"]


async def test_the_same_call_twice_hands_back_once(store: JobStore, connection: Connection) -> None:
    claim = await running(store)
    for _ in range(2):
        await store.release(claim)
    assert await connection.redis.hget(keys.job(claim.spec.id), "handed_back") == b"1"


async def test_a_stale_fence_hands_nothing_back(store: JobStore, connection: Connection) -> None:
    first = await running(store)
    await lapse(connection, first.spec.id)
    second = await claimed(store, first.spec.id)
    with pytest.raises(errors.StaleFence):
        await store.release(first)
    assert (await store.state(first.spec.id)).status == "running"
    await store.end(second.fence, ended(second))
    for claim in (first, second):
        with pytest.raises(errors.StaleFence):
            await store.release(claim)
    assert (await store.state(first.spec.id)).status == "succeeded"


async def test_a_wish_to_cancel_reaches_the_holder_and_no_ended_job(store: JobStore) -> None:
    claim = await running(store)
    assert await store.request_cancel(claim.spec.id)
    assert await store.request_cancel(claim.spec.id)
    assert await store.renew({claim.spec.id: claim.fence}, extend=True) == {claim.spec.id: "cancel"}
    await store.end(claim.fence, ended(claim, "cancelled"))
    assert not await store.request_cancel(claim.spec.id)


async def test_a_job_is_overdue_when_its_hint_got_lost(store: JobStore, connection: Connection) -> None:
    spec = await accepted(store, 7, priority="low")
    assert await store.overdue() == []
    await connection.redis.zadd(keys.pending(7), {spec.id: now_ms() - 1})
    assert await store.overdue() == [(spec.id, "low")]
    assert await store.overdue() == []
    score = await connection.redis.zscore(keys.pending(7), spec.id)
    assert 0 < score - now_ms() <= 3 * HINT_AGAIN_S * 1000


async def test_a_job_is_overdue_when_its_lease_ran_out(store: JobStore, connection: Connection) -> None:
    claim = await running(store, 2, priority="high")
    assert await store.overdue() == []
    await lapse(connection, claim.spec.id)
    assert await store.overdue() == [(claim.spec.id, "high")]


async def test_each_overdue_job_goes_to_one_of_many_callers(store: JobStore, connection: Connection) -> None:
    made: dict[str, Priority] = {}
    for n in range(200):
        spec = await accepted(store, n % 16, owner=f"key{n}")
        made[spec.id] = spec.priority
        await connection.redis.zadd(keys.pending(n % 16), {spec.id: 1})
    rounds: list[Any] = await asyncio.gather(*(store.overdue(limit=5) for _ in range(20)))
    given = [job_id for found in rounds for job_id, _ in found]
    assert len(given) == len(set(given)) == 200
    assert set(given) == made.keys()


async def test_a_round_takes_so_many_of_each_shard(store: JobStore, connection: Connection) -> None:
    for n in range(12):
        spec = await accepted(store, n % 2, owner=f"key{n}")
        await connection.redis.zadd(keys.pending(n % 2), {spec.id: 1})
    assert [len(await store.overdue(limit=4)) for _ in range(3)] == [8, 4, 0]


async def test_what_is_no_job_any_more_leaves_the_pending_set(store: JobStore, connection: Connection) -> None:
    gone = await accepted(store)
    await connection.redis.unlink(keys.job(gone.id))
    await connection.redis.zadd(keys.pending(0), {gone.id: 1})
    assert await store.overdue() == []
    assert await pending(connection) == set()
