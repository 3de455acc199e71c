"""Dead letters: listed newest first by status, place, time and owner; replayed under the same id."""

import asyncio
from typing import Any

import msgspec
import pytest

from jobs import errors, ids
from jobs.job import Callback, JobEvent
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.dead_letters import DeadLetters
from jobs.store.deliveries import DeliveryStatus, Due, NewDelivery, Outbox
from jobs.store.jobs import JobStore
from tests.integration.store.sample import attempt, ended, now_ms, running, seconds_left

URL = "https://orders.example/hook"


class Desk:
    """Makes deliveries that have ended one way or the other."""

    def __init__(self, store: JobStore, outbox: Outbox) -> None:
        self.store, self.outbox = store, outbox

    async def settled(
        self, status: DeliveryStatus = "failed", *, at_ms: int | None = None, url: str = URL, **spec: Any
    ) -> Due:
        """A delivery with one attempt, settled so; `spec` as in `sample.spec`."""
        claim = await running(self.store, callback=Callback(url=url), **spec)
        job = ended(claim)
        made = NewDelivery.of(job, JobEvent.SUCCEEDED, at_ms=at_ms or now_ms())
        assert made is not None
        last = await self.store.end(claim.fence, job, delivery=made, deliver_after_s=3_600)
        due = Due.fresh(made, job.id, last)
        await self.outbox.settle(due, attempt(1, 410), status=status, next_s=3_600)
        return due


@pytest.fixture
def desk(store: JobStore, outbox: Outbox) -> Desk:
    """Makes deliveries."""
    return Desk(store, outbox)


async def listed(dead_letters: DeadLetters, **filters: Any) -> list[str]:
    """The ids of one page."""
    return [item.id for item in (await dead_letters.page(**filters)).items]


async def test_the_dead_are_listed_newest_first_from_all_shards(desk: Desk, dead_letters: DeadLetters) -> None:
    began = now_ms()
    made = [(await desk.settled(shard=n % 16, at_ms=began + n)).id for n in range(20)]
    await desk.settled("delivered")
    await desk.settled("pending")
    pages, cursor = [], None
    while True:
        page = await dead_letters.page(limit=7, cursor=cursor)
        pages.append([item.id for item in page.items])
        if (cursor := page.next_cursor) is None:
            break
    assert [id_ for page_ids in pages for id_ in page_ids] == made[::-1]
    assert [len(page_ids) for page_ids in pages] == [7, 7, 6]


async def test_an_item_is_the_delivery_whole(desk: Desk, dead_letters: DeadLetters, outbox: Outbox) -> None:
    due = await desk.settled()
    (item,) = (await dead_letters.page()).items
    assert [item] == await outbox.of_job(due.job_id)
    assert (item.job_id, item.status, item.sequence) == (due.job_id, "failed", 2)
    assert [a.status_code for a in item.attempts] == [410]


async def test_every_status_has_its_list(desk: Desk, dead_letters: DeadLetters) -> None:
    made = {status: (await desk.settled(status)).id for status in ("failed", "delivered", "pending")}
    for status, id_ in made.items():
        assert await listed(dead_letters, status=status) == [id_]


async def test_filters_by_destination_and_time(desk: Desk, dead_letters: DeadLetters) -> None:
    began = now_ms()
    first = await desk.settled(at_ms=began - 60_000)
    second = await desk.settled(at_ms=began, url="https://orders.example/other")
    third = await desk.settled(at_ms=began + 1, url="https://orders.example.evil.com/hook")
    assert await listed(dead_letters, since_ms=began) == [third.id, second.id]
    assert await listed(dead_letters, destination=URL) == [first.id]
    assert await listed(dead_letters, destination="https://orders.example") == [second.id, first.id]
    assert await listed(dead_letters, destination="https://orders.example", since_ms=began) == [second.id]
    assert await listed(dead_letters, destination="slack:channel:x") == []


async def test_each_owner_has_only_its_own(desk: Desk, dead_letters: DeadLetters) -> None:
    ours, theirs = await desk.settled(owner="ours"), await desk.settled(owner="theirs")
    assert await listed(dead_letters, owner="ours") == [ours.id]
    assert await listed(dead_letters, owner="nobody") == []
    assert await listed(dead_letters) == [theirs.id, ours.id]
    with pytest.raises(errors.NotFound):
        await dead_letters.replay(theirs.id, owner="ours")
    assert await dead_letters.replay_all(owner="ours") == 1
    assert await listed(dead_letters, owner="theirs") == [theirs.id]
    assert await listed(dead_letters, owner="ours", status="pending") == [ours.id]


@pytest.mark.parametrize("status", ["failed", "delivered", "pending"])
async def test_a_replay_is_the_same_delivery_due_now(
    desk: Desk, dead_letters: DeadLetters, outbox: Outbox, connection: Connection, status: DeliveryStatus
) -> None:
    due = await desk.settled(status)
    found = await dead_letters.replay(due.id)
    assert (found.id, found.status, found.webhook_id, len(found.attempts)) == (due.id, "pending", due.webhook_id, 1)
    assert await listed(dead_letters, status="pending") == [due.id]
    (again,) = await outbox.take(limit=5, lease_s=30)
    assert (again.webhook_id, again.sequence, again.body) == (due.webhook_id, due.sequence, due.body)
    assert (again.round, again.tries, again.earlier) == (1, 1, 1)
    assert again.began_ms >= due.began_ms
    for key in (keys.delivery(due.id), keys.attempts(due.id), keys.deliveries(due.job_id)):
        assert await seconds_left(connection, key) is None
    await outbox.settle(again, attempt(2, 200), status="delivered")
    (after,) = await outbox.of_job(due.job_id)
    assert (after.status, [a.number for a in after.attempts]) == ("delivered", [1, 2])
    assert await listed(dead_letters) == []
    assert await listed(dead_letters, status="pending") == []


async def test_an_attempt_of_the_round_before_does_not_end_the_new_one(
    desk: Desk, dead_letters: DeadLetters, outbox: Outbox
) -> None:
    due = await desk.settled("pending")
    await dead_letters.replay(due.id)
    slow = msgspec.structs.replace(due, tries=1)
    await outbox.settle(slow, attempt(2, 500), status="failed")
    (found,) = await outbox.of_job(due.job_id)
    assert (found.status, len(found.attempts)) == ("pending", 2)
    (again,) = await outbox.take(limit=5, lease_s=30)
    assert again.tries - again.earlier == 0


async def test_an_attempt_of_the_round_before_may_still_arrive(
    desk: Desk, dead_letters: DeadLetters, outbox: Outbox
) -> None:
    due = await desk.settled("pending")
    await dead_letters.replay(due.id)
    await outbox.settle(msgspec.structs.replace(due, tries=1), attempt(2, 200), status="delivered")
    assert [d.status for d in await outbox.of_job(due.job_id)] == ["delivered"]
    assert await outbox.take(limit=5, lease_s=30) == []


async def test_the_same_replay_twice_is_one(
    desk: Desk, dead_letters: DeadLetters, outbox: Outbox, connection: Connection
) -> None:
    due = await desk.settled()
    args = (due.id, "*", "token", "dlv_0", 60_000)
    assert await connection.run("replay", keys.delivery(due.id), *args) == 1
    (again,) = await outbox.take(limit=5, lease_s=30)
    await outbox.settle(again, attempt(2, 200), status="delivered")
    assert await connection.run("replay", keys.delivery(due.id), *args) == 1
    assert [d.status for d in await outbox.of_job(due.job_id)] == ["delivered"]


async def test_many_are_replayed_by_what_they_have_in_common(desk: Desk, dead_letters: DeadLetters) -> None:
    began = now_ms()
    old = await desk.settled(at_ms=began - 60_000)
    await asyncio.gather(*(desk.settled(shard=n % 16, at_ms=began + n) for n in range(250)))
    other = await desk.settled(url="https://else.example/")
    assert await dead_letters.replay_all(since_ms=began, destination=URL) == 250
    assert await dead_letters.replay_all(since_ms=began, destination=URL) == 0
    assert await listed(dead_letters) == [other.id, old.id]
    assert await dead_letters.replay_all(status="pending") == 250


async def test_what_is_gone_cannot_be_replayed(
    desk: Desk, dead_letters: DeadLetters, outbox: Outbox, connection: Connection
) -> None:
    due = await desk.settled()
    await connection.redis.unlink(keys.delivery(due.id))
    for id_ in (due.id, ids.new("dlv", 3), ids.new("job", 3), "x"):
        with pytest.raises(errors.NotFound):
            await dead_letters.replay(id_)
    assert await listed(dead_letters) == []
    assert await dead_letters.replay_all() == 0
    assert await outbox.take(limit=5, lease_s=30) == []


async def test_lists_are_trimmed_with_retention(connection: Connection, settings: Settings) -> None:
    short = msgspec.structs.replace(settings, delivery_retention_s=60.0)
    outbox, dead_letters = Outbox(connection, short), DeadLetters(connection, short)
    desk = Desk(JobStore(connection, short), outbox)
    week_ms = 7 * 86_400_000
    await desk.settled(at_ms=now_ms() - 2 * week_ms)
    young = await desk.settled()
    assert await connection.redis.zcard(keys.index(0, "delivery:failed")) == 1
    assert await listed(dead_letters) == [young.id]
    left = await seconds_left(connection, keys.index(0, "delivery:failed"))
    assert left is not None
    assert left <= 2 * week_ms / 1000


@pytest.mark.parametrize("cursor", ["", "x", "job_01JD8000000000000000000000", "dlv_", "dlv_é"])
async def test_a_cursor_that_is_none_is_named(dead_letters: DeadLetters, cursor: str) -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        await dead_letters.page(cursor=cursor)
    assert raised.value.errors[0].pointer == "query:cursor"
