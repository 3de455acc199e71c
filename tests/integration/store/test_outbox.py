"""The outbox: deliveries fall due, go to one process each, are settled, and keep their attempts."""

import asyncio

import msgspec
import pytest

from jobs import errors, ids
from jobs.job import JobEvent
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.deliveries import ATTEMPTS_KEPT, Due, NewDelivery, Outbox
from jobs.store.jobs import Claim, JobStore
from tests.integration.store.sample import (
    EVERY_EVENT,
    attempt,
    callback_of,
    claimed,
    ended,
    lapse,
    now_ms,
    running,
    seconds_left,
)


async def delivered_to(store: JobStore, shard: int = 0, *, after_s: float = 0.0) -> tuple[Claim, NewDelivery]:
    """A job that has just ended, with its delivery."""
    claim = await running(store, shard, callback=EVERY_EVENT)
    job = ended(claim, output={"text": "끝"})
    delivery = callback_of(job)
    assert delivery is not None
    await store.end(claim.fence, job, delivery=delivery, deliver_after_s=after_s)
    return claim, delivery


async def fall_due(connection: Connection, delivery_id: str) -> None:
    """Lets a delivery fall due, as time does."""
    shard = ids.shard_of(delivery_id, "dlv")
    assert await connection.redis.zadd(keys.due(shard), {delivery_id: 1}, xx=True, ch=True) == 1


async def take_one(outbox: Outbox) -> Due:
    """The only delivery that is due."""
    (due,) = await outbox.take(limit=10, lease_s=30)
    return due


async def test_what_is_due_is_taken_whole(store: JobStore, outbox: Outbox) -> None:
    claim, delivery = await delivered_to(store, 9)
    due = await take_one(outbox)
    assert due == Due.fresh(delivery, claim.spec.id, 2)
    assert due.began_ms == delivery.created_ms
    assert msgspec.json.decode(due.body)["data"]["output"] == {"text": "끝"}


async def test_what_is_taken_is_leased(store: JobStore, outbox: Outbox, connection: Connection) -> None:
    _, delivery = await delivered_to(store)
    await take_one(outbox)
    assert await outbox.take(limit=10, lease_s=30) == []
    score = await connection.redis.zscore(keys.due(0), delivery.id)
    assert 0 < score - now_ms() <= 30_000
    await fall_due(connection, delivery.id)
    assert (await take_one(outbox)).tries == 0


async def test_each_delivery_goes_to_one_of_many_callers(store: JobStore, outbox: Outbox) -> None:
    made = {(await delivered_to(store, n % 16))[1].id for n in range(100)}
    rounds = await asyncio.gather(*(outbox.take(limit=3, lease_s=30) for _ in range(20)))
    taken = [due.id for found in rounds for due in found]
    assert len(taken) == len(set(taken))
    assert set(taken) == made


async def test_attempts_are_recorded_until_it_is_delivered(
    store: JobStore, outbox: Outbox, connection: Connection
) -> None:
    claim, delivery = await delivered_to(store)
    first = await take_one(outbox)
    await outbox.settle(first, attempt(1, None, error="ConnectionError: x"), status="pending", next_s=300)
    (found,) = await outbox.of_job(claim.spec.id)
    assert found.status == "pending"
    assert found.next_attempt_at is not None
    assert 290 < found.next_attempt_at.timestamp() - now_ms() / 1000 <= 300

    assert await outbox.take(limit=10, lease_s=30) == []
    await fall_due(connection, delivery.id)
    second = await take_one(outbox)
    assert second.tries == 1
    await outbox.settle(second, attempt(2, 200), status="delivered")
    (found,) = await outbox.of_job(claim.spec.id)
    assert (found.status, found.next_attempt_at) == ("delivered", None)
    assert [(a.number, a.status_code, a.error) for a in found.attempts] == [
        (1, None, "ConnectionError: x"),
        (2, 200, None),
    ]
    assert found.attempts[0].response_excerpt == "나중에"
    assert await connection.redis.zcard(keys.due(0)) == 0


async def test_a_failed_delivery_is_not_due_any_more(store: JobStore, outbox: Outbox, connection: Connection) -> None:
    claim, _ = await delivered_to(store)
    await outbox.settle(await take_one(outbox), attempt(1, 410), status="failed")
    (found,) = await outbox.of_job(claim.spec.id)
    assert (found.status, found.next_attempt_at) == ("failed", None)
    assert await connection.redis.zcard(keys.due(0)) == 0


@pytest.mark.parametrize("status", ["pending", "delivered"])
async def test_the_same_call_twice_is_one_attempt(store: JobStore, outbox: Outbox, status: str) -> None:
    claim, _ = await delivered_to(store)
    due, made = await take_one(outbox), attempt(1)
    for _ in range(3):
        await outbox.settle(due, made, status=status, next_s=300)  # type: ignore[arg-type]  # one of them
    (found,) = await outbox.of_job(claim.spec.id)
    assert len(found.attempts) == 1


async def test_what_was_delivered_stays_so_when_a_slower_process_reports_its_failure(
    store: JobStore, outbox: Outbox, connection: Connection
) -> None:
    claim, delivery = await delivered_to(store)
    slow = await take_one(outbox)
    await fall_due(connection, delivery.id)
    await outbox.settle(await take_one(outbox), attempt(1, 200), status="delivered")
    await outbox.settle(slow, attempt(1, None, error="late"), status="pending", next_s=0)
    (found,) = await outbox.of_job(claim.spec.id)
    assert (found.status, len(found.attempts)) == ("delivered", 2)
    assert await outbox.take(limit=10, lease_s=30) == []


async def test_what_arrived_after_all_counts_as_delivered(
    store: JobStore, outbox: Outbox, connection: Connection
) -> None:
    claim, delivery = await delivered_to(store)
    slow = await take_one(outbox)
    await fall_due(connection, delivery.id)
    await outbox.settle(await take_one(outbox), attempt(1, 410), status="failed")
    await outbox.settle(slow, attempt(1, 200), status="delivered")
    assert [d.status for d in await outbox.of_job(claim.spec.id)] == ["delivered"]


async def test_what_waits_for_its_next_attempt_outlives_a_short_retention(
    connection: Connection, settings: Settings
) -> None:
    short = msgspec.structs.replace(settings, delivery_retention_s=60.0)
    store, outbox = JobStore(connection, short), Outbox(connection, short)
    _, delivery = await delivered_to(store)
    await outbox.settle(await take_one(outbox), attempt(), status="pending", next_s=3600)
    for key in (keys.delivery(delivery.id), keys.attempts(delivery.id)):
        left = await seconds_left(connection, key)
        assert left is None or left > 3600
    await fall_due(connection, delivery.id)
    await outbox.settle(await take_one(outbox), attempt(2, 200), status="delivered")
    for key in (keys.delivery(delivery.id), keys.attempts(delivery.id)):
        left = await seconds_left(connection, key)
        assert left is not None
        assert left <= 60


async def test_a_delivery_that_is_gone_is_not_raised_from_the_dead(
    store: JobStore, outbox: Outbox, connection: Connection
) -> None:
    claim, delivery = await delivered_to(store)
    due = await take_one(outbox)
    await connection.redis.unlink(keys.delivery(delivery.id))
    await outbox.settle(due, attempt(), status="pending", next_s=0)
    assert await outbox.take(limit=10, lease_s=30) == []
    assert await outbox.of_job(claim.spec.id) == []
    assert not await connection.redis.exists(keys.delivery(delivery.id), keys.attempts(delivery.id))
    assert await connection.redis.zcard(keys.due(0)) == 0


async def test_an_event_that_ends_nothing_is_called_back_too(store: JobStore, outbox: Outbox) -> None:
    claim = await running(store, callback=EVERY_EVENT)
    started = NewDelivery.of(claim.view("running"), JobEvent.STARTED, at_ms=now_ms(), sequence=1)
    assert started is not None
    for _ in range(2):
        await store.announce(claim, started, deliver_after_s=0)
    job = ended(claim)
    await store.end(claim.fence, job, delivery=callback_of(job))
    first, second = await outbox.of_job(claim.spec.id)
    assert (first.event, first.sequence, second.event, second.sequence) == ("job.started", 1, "job.succeeded", 2)
    assert first.webhook_id != second.webhook_id
    body = msgspec.json.decode(next(d for d in await outbox.take(limit=5, lease_s=9) if d.id == first.id).body)
    assert (body["type"], body["data"]["status"]) == ("job.started", "running")


async def test_the_start_is_announced_once_by_whichever_attempt(
    store: JobStore, outbox: Outbox, connection: Connection
) -> None:
    claim = await running(store, callback=EVERY_EVENT)
    announced = []
    for _ in range(3):
        started = NewDelivery.of(claim.view("running"), JobEvent.STARTED, at_ms=now_ms(), sequence=claim.last_event)
        assert started is not None
        announced.append(await store.announce(claim, started, deliver_after_s=0))
        await lapse(connection, claim.spec.id)
        claim = await claimed(store, claim.spec.id)
    assert announced == [True, False, False]
    assert [found.event for found in await outbox.of_job(claim.spec.id)] == ["job.started"]


async def test_nothing_is_announced_under_a_stale_fence(
    store: JobStore, outbox: Outbox, connection: Connection
) -> None:
    first = await running(store, callback=EVERY_EVENT)
    started = NewDelivery.of(first.view("running"), JobEvent.STARTED, at_ms=now_ms(), sequence=1)
    assert started is not None
    await lapse(connection, first.spec.id)
    second = await claimed(store, first.spec.id)
    with pytest.raises(errors.StaleFence):
        await store.announce(first, started, deliver_after_s=0)
    await store.end(second.fence, ended(second))
    with pytest.raises(errors.StaleFence):
        await store.announce(second, started, deliver_after_s=0)
    assert await outbox.of_job(first.spec.id) == []


async def test_what_could_not_be_tried_is_due_again_and_nothing_else_changes(
    store: JobStore, outbox: Outbox, connection: Connection
) -> None:
    claim, delivery = await delivered_to(store)
    due = await take_one(outbox)
    for _ in range(2):
        await outbox.postpone([(due, 600.0)])
    (found,) = await outbox.of_job(claim.spec.id)
    assert (found.status, found.attempts) == ("pending", [])
    assert found.next_attempt_at is not None
    assert 590 < found.next_attempt_at.timestamp() - now_ms() / 1000 <= 600
    await fall_due(connection, delivery.id)
    assert await take_one(outbox) == due


async def test_what_was_tried_meanwhile_is_not_put_back(
    store: JobStore, outbox: Outbox, connection: Connection
) -> None:
    claim, delivery = await delivered_to(store)
    slow = await take_one(outbox)
    await outbox.settle(slow, attempt(1, 503), status="pending", next_s=3_600)
    await outbox.postpone([(slow, 0.0)])
    assert await outbox.take(limit=10, lease_s=30) == []
    await fall_due(connection, delivery.id)
    await outbox.settle(await take_one(outbox), attempt(2, 200), status="delivered")
    await outbox.postpone([(slow, 0.0)])
    assert await outbox.take(limit=10, lease_s=30) == []
    assert [d.status for d in await outbox.of_job(claim.spec.id)] == ["delivered"]


async def test_only_the_newest_attempts_are_kept(store: JobStore, outbox: Outbox) -> None:
    claim, _ = await delivered_to(store)
    due = await take_one(outbox)
    for number in range(1, ATTEMPTS_KEPT + 11):
        await outbox.settle(due, attempt(number), status="pending", next_s=300)
    (found,) = await outbox.of_job(claim.spec.id)
    assert [a.number for a in found.attempts] == list(range(11, ATTEMPTS_KEPT + 11))


async def test_a_job_without_callbacks_has_no_deliveries(store: JobStore, outbox: Outbox) -> None:
    claim = await running(store)
    assert await outbox.of_job(claim.spec.id) == []
    assert await outbox.of_job(ids.new("job", 0)) == []
    with pytest.raises(errors.NotFound):
        await outbox.of_job("x")
