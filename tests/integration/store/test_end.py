"""The end of a job: once, with its event and its callback in the same step, and nothing left but what is kept."""

import asyncio
from typing import get_args

import msgspec
import pytest

from jobs import errors, event
from jobs.job import TERMINAL_EVENTS, Callback, JobEvent, TerminalStatus
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.deliveries import Outbox
from jobs.store.events import EventLog
from jobs.store.jobs import JobStore
from tests.integration.store.sample import (
    EVERY_EVENT,
    accepted,
    attempt,
    callback_of,
    claimed,
    ended,
    lapse,
    names,
    now_ms,
    pending,
    running,
    seconds_left,
)

STATUSES: tuple[TerminalStatus, ...] = get_args(TerminalStatus)


@pytest.mark.parametrize("status", STATUSES)
async def test_a_job_ends_with_its_state_its_event_and_its_callback(
    store: JobStore, connection: Connection, outbox: Outbox, status: TerminalStatus
) -> None:
    claim = await running(store, 4, callback=EVERY_EVENT, metadata={"티켓": 1})
    job = ended(claim, status, output={"text": "끝 </end>"})
    delivery = callback_of(job)
    assert delivery is not None
    assert await store.end(claim.fence, job, delivery=delivery, deliver_after_s=60) == 2

    stored = await store.get(claim.spec.id)
    assert stored == msgspec.json.encode(job)
    rows = await connection.redis.xrange(keys.events(claim.spec.id))
    assert rows[-1][1] == {b"e": f"job.{status}".encode(), b"d": stored}
    (found,) = await outbox.of_job(claim.spec.id)
    assert (found.id, found.webhook_id, found.event) == (delivery.id, delivery.webhook_id, f"job.{status}")
    assert (found.status, found.sequence, found.destination, found.attempts) == ("pending", 2, EVERY_EVENT.url, [])
    body = msgspec.json.decode(delivery.body)
    assert body["type"] == f"job.{status}"
    assert body["data"] == msgspec.json.decode(stored)
    assert await pending(connection, 4) == set()
    assert await store.spec(claim.spec.id) is None


async def test_it_leaves_the_pending_set_and_its_index_and_nobody_watches_it(
    store: JobStore, connection: Connection
) -> None:
    claim = await running(store)
    await connection.redis.hset(keys.job(claim.spec.id), "watch", "gateway")
    await store.end(claim.fence, ended(claim, "failed"))
    assert await pending(connection) == set()
    for status in ("queued", "running", "succeeded"):
        assert await connection.redis.zscore(keys.index(0, f"status:{status}"), claim.spec.id) is None
    assert await connection.redis.zscore(keys.index(0, "status:failed"), claim.spec.id) is not None
    assert await connection.redis.zscore(keys.index(0, "all"), claim.spec.id) is not None
    assert not await connection.redis.hexists(keys.job(claim.spec.id), "watch")


async def test_the_same_call_twice_is_one_end(store: JobStore, connection: Connection, outbox: Outbox) -> None:
    claim = await running(store, callback=EVERY_EVENT)
    job = ended(claim)
    delivery = callback_of(job)
    for _ in range(3):
        assert await store.end(claim.fence, job, delivery=delivery) == 2
    assert await names(connection, claim.spec.id) == ["job.started", "job.succeeded"]
    assert len(await outbox.of_job(claim.spec.id)) == 1


async def test_of_many_that_end_at_once_one_does(store: JobStore, connection: Connection, outbox: Outbox) -> None:
    claim = await running(store, callback=EVERY_EVENT)
    jobs = [ended(claim, status) for status in STATUSES * 5]
    outcomes = await asyncio.gather(
        *(store.end(claim.fence, job, delivery=callback_of(job)) for job in jobs), return_exceptions=True
    )
    status = (await store.state(claim.spec.id)).status
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.status == status:
            assert outcome == 2
        else:
            assert isinstance(outcome, errors.JobAlreadyEnded)
    assert await names(connection, claim.spec.id) == ["job.started", f"job.{status}"]
    assert len(await outbox.of_job(claim.spec.id)) == 1


async def test_nothing_ends_under_a_stale_fence(store: JobStore, connection: Connection, outbox: Outbox) -> None:
    first = await running(store, callback=EVERY_EVENT)
    await lapse(connection, first.spec.id)
    second = await claimed(store, first.spec.id)
    late = ended(first)
    with pytest.raises(errors.StaleFence):
        await store.end(first.fence, late, delivery=callback_of(late))
    assert (await store.state(first.spec.id)).status == "running"
    assert await outbox.of_job(first.spec.id) == []

    await store.end(second.fence, ended(second))
    with pytest.raises(errors.JobAlreadyEnded):
        await store.end(first.fence, late, delivery=callback_of(late))
    assert await outbox.of_job(first.spec.id) == []
    assert (await names(connection, first.spec.id))[-1] == "job.succeeded"
    assert (await store.state(first.spec.id)).last_event == 4


async def test_a_queued_job_is_ended_by_who_requires_that_it_still_is(
    store: JobStore, connection: Connection, outbox: Outbox
) -> None:
    spec = await accepted(store, callback=EVERY_EVENT)
    state = await store.state(spec.id)
    claim = await claimed(store, spec.id)
    cancelled = ended(claim, "cancelled")
    for fence in (state.fence, claim.fence):
        with pytest.raises(errors.StaleFence):
            await store.end(fence, cancelled, delivery=callback_of(cancelled), required="queued")
    assert await outbox.of_job(spec.id) == []
    await store.release(claim)
    assert await store.end(claim.fence, cancelled, delivery=callback_of(cancelled), required="queued") == 2
    assert await names(connection, spec.id) == ["job.started", "job.cancelled"]


async def test_an_unclaimed_job_is_ended_under_fence_0(store: JobStore, connection: Connection) -> None:
    spec = await accepted(store)
    job = msgspec.json.decode(await store.get(spec.id))
    assert job["status"] == "queued"
    claim = await claimed(store, (await accepted(store)).id)
    over = msgspec.structs.replace(ended(claim, "cancelled"), id=spec.id)
    assert await store.end(0, over, required="queued") == 1
    assert await names(connection, spec.id) == ["job.cancelled"]
    assert await store.claim(spec.id, "t") is None


async def test_a_job_that_is_gone_cannot_be_ended(store: JobStore, connection: Connection) -> None:
    claim = await running(store)
    await connection.redis.unlink(keys.job(claim.spec.id))
    with pytest.raises(errors.JobAlreadyEnded):
        await store.end(claim.fence, ended(claim))
    assert not await connection.redis.exists(keys.job(claim.spec.id))


@pytest.mark.parametrize(
    "asked", [*([e] for e in TERMINAL_EVENTS), [JobEvent.STARTED], [JobEvent.STARTED, JobEvent.FAILED]]
)
async def test_only_the_events_that_were_asked_for_are_called_back(
    store: JobStore, outbox: Outbox, asked: list[JobEvent]
) -> None:
    for status in STATUSES:
        claim = await running(store, callback=Callback(url="https://x.example/", events=tuple(asked)))
        job = ended(claim, status)
        await store.end(claim.fence, job, delivery=callback_of(job))
        assert [d.event for d in await outbox.of_job(claim.spec.id)] == [e for e in asked if e == f"job.{status}"]


async def test_a_delivery_kept_back_is_not_taken_by_others(store: JobStore, outbox: Outbox) -> None:
    for after_s, taken in ((60.0, 0), (0.0, 1)):
        claim = await running(store, callback=EVERY_EVENT)
        job = ended(claim)
        await store.end(claim.fence, job, delivery=callback_of(job), deliver_after_s=after_s)
        assert len(await outbox.take(limit=5, lease_s=30)) == taken


async def test_what_has_ended_is_kept_as_long_as_the_settings_say(connection: Connection, settings: Settings) -> None:
    kept = msgspec.structs.replace(
        settings, job_retention_s=1000.0, event_retention_s=500.0, delivery_retention_s=2000.0
    )
    store = JobStore(connection, kept)
    claim = await running(store, callback=EVERY_EVENT)
    await store.append(claim, [event.text_delta("a")], last_event=1)
    for key in (keys.job(claim.spec.id), keys.events(claim.spec.id)):
        assert await seconds_left(connection, key) is None
    job = ended(claim)
    delivery = callback_of(job)
    assert delivery is not None
    await store.end(claim.fence, job, delivery=delivery)
    outbox = Outbox(connection, kept)
    (due,) = await outbox.take(limit=1, lease_s=30)
    await outbox.settle(due, attempt(1, 200), status="delivered")
    for key, limit in (
        (keys.job(claim.spec.id), 1000),
        (keys.events(claim.spec.id), 500),
        (keys.deliveries(claim.spec.id), 2000),
        (keys.delivery(delivery.id), 2000),
        (keys.attempts(delivery.id), 2000),
    ):
        left = await seconds_left(connection, key)
        assert left is not None
        assert limit - 30 < left <= limit


async def test_indexes_of_ended_jobs_are_trimmed_too(connection: Connection, settings: Settings) -> None:
    """Every status has its index, and the jobs in it pass their retention."""
    store = JobStore(connection, msgspec.structs.replace(settings, job_retention_s=100.0))
    for status in STATUSES:
        old = await claimed(store, (await accepted(store, at_ms=now_ms() - 300_000)).id)
        await store.end(old.fence, ended(old, status))
        new = await claimed(store, (await accepted(store)).id)
        await store.end(new.fence, ended(new, status))
        index = keys.index(0, f"status:{status}")
        assert await connection.redis.zrange(index, 0, -1) == [new.spec.id.encode()]
        left = await seconds_left(connection, index)
        assert left is not None
        assert 100 < left <= 200


async def test_nothing_of_a_job_stays_for_ever(connection: Connection, settings: Settings) -> None:
    store, outbox = JobStore(connection, settings), Outbox(connection, settings)
    claim = await running(store, callback=EVERY_EVENT, metadata={"a": 1}, session_id="ses_1")
    job = ended(claim)
    await store.end(claim.fence, job, delivery=callback_of(job))
    (due,) = await outbox.take(limit=1, lease_s=30)
    await outbox.settle(due, attempt(), status="pending", next_s=5)
    await outbox.settle(due, attempt(2, 200), status="delivered")
    everything = [key.decode() async for key in connection.redis.scan_iter()]
    assert everything
    assert {key for key in everything if await seconds_left(connection, key) is None} == set()


async def test_what_was_not_told_yet_goes_right_before_the_end(store: JobStore, log: EventLog) -> None:
    claim = await running(store)
    rest = [event.text_delta("나머지"), event.make("usage", stage="answer")]
    last = await store.end(claim.fence, ended(claim), events=rest)
    assert await store.end(claim.fence, ended(claim), events=rest) == last
    assert [e.name for e in await log.read(claim.spec.id, 1)] == ["text.delta", "usage", "job.succeeded"]
