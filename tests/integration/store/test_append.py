"""Appending to the event log: exactly once, in order, only under the fence; and reading, watching, being pushed to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from jobs import errors, event, ids
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.events import EventLog, Pushed
from jobs.store.jobs import JobStore
from tests.integration.store.sample import claimed, ended, lapse, names, running


def deltas(*texts: str) -> list[event.Event]:
    """Events of text."""
    return [event.text_delta(text) for text in texts]


async def test_events_get_ids_without_gaps(store: JobStore, log: EventLog) -> None:
    claim = await running(store)
    last = await store.append(claim, deltas("가", "나\n\n", '"\u2028'), last_event=1)
    assert last == 4
    assert await store.append(claim, [event.stream_reset("x", "fake/two")], last_event=last) == 5
    found = await log.read(claim.spec.id, 0)
    assert [e.id for e in found] == [1, 2, 3, 4, 5]
    assert [msgspec.json.decode(e.data).get("text") for e in found] == [None, "가", "나\n\n", '"\u2028', None]
    assert (await store.state(claim.spec.id)).last_event == 5


async def test_data_is_one_line_whatever_the_text(store: JobStore, log: EventLog) -> None:
    claim = await running(store)
    await store.append(claim, deltas("a\r\nb\rc\n\nevent: job.failed\n\n"), last_event=1)
    frame = (await log.read(claim.spec.id, 1))[0].frame()
    assert frame.count(b"\n") == 4
    assert b"\r" not in frame
    assert frame.endswith(b"\n\n")


async def test_the_same_call_twice_is_one_append(store: JobStore, log: EventLog) -> None:
    claim = await running(store)
    for _ in range(3):
        assert await store.append(claim, deltas("a", "b"), last_event=1) == 3
    assert await store.append(claim, deltas("c"), last_event=3) == 4
    assert await store.append(claim, deltas("a", "b"), last_event=1) == 3, "as it was told before"
    assert [e.data for e in await log.read(claim.spec.id, 1)] == [e.data for e in deltas("a", "b", "c")]


async def test_nothing_is_appended_under_a_stale_fence(store: JobStore, connection: Connection) -> None:
    first = await running(store)
    await lapse(connection, first.spec.id)
    second = await claimed(store, first.spec.id)
    for last in (0, 1, 3, 99):
        with pytest.raises(errors.StaleFence):
            await store.append(first, deltas("late"), last_event=last, target="fake/evil")
    assert await names(connection, first.spec.id) == ["job.started", "job.started", "stream.reset"]
    assert msgspec.json.decode(await store.get(first.spec.id))["model"] == "fake/one"
    assert await store.append(second, deltas("mine"), last_event=second.last_event) == 4


async def test_nothing_is_appended_to_a_job_that_ended_or_was_handed_back_or_is_gone(
    store: JobStore, connection: Connection
) -> None:
    over, back, gone = await running(store), await running(store), await running(store)
    await store.end(over.fence, ended(over))
    await store.release(back)
    await connection.redis.unlink(keys.job(gone.spec.id))
    for claim in (over, back, gone):
        with pytest.raises(errors.StaleFence):
            await store.append(claim, deltas("late"), last_event=9)
    assert await names(connection, over.spec.id) == ["job.started", "job.succeeded"]
    assert not await connection.redis.exists(keys.job(gone.spec.id))


async def test_one_call_takes_very_many_events(store: JobStore, log: EventLog) -> None:
    claim = await running(store)
    assert await store.append(claim, deltas(*map(str, range(3000))), last_event=1) == 3001
    assert [e.id for e in await log.read(claim.spec.id, 2990, limit=5)] == [2991, 2992, 2993, 2994, 2995]


async def test_one_event_may_be_large(store: JobStore, log: EventLog) -> None:
    claim = await running(store)
    text = "대" * 1_000_000
    await store.append(claim, deltas(text), last_event=1)
    assert msgspec.json.decode((await log.read(claim.spec.id, 1))[0].data) == {"text": text}


async def test_reading_goes_on_after_an_id(store: JobStore, log: EventLog) -> None:
    claim = await running(store)
    await store.append(claim, deltas("a", "b", "c"), last_event=1)
    assert [e.id for e in await log.read(claim.spec.id, 2)] == [3, 4]
    assert await log.read(claim.spec.id, 4) == []
    assert await log.read(claim.spec.id, 10**12) == []
    assert await log.read(ids.new("job", 0), 0) == []
    with pytest.raises(errors.NotFound):
        await log.read("job_x", 0)


async def test_a_log_that_is_too_long_loses_its_oldest_events(store: JobStore, connection: Connection) -> None:
    claim = await running(store)
    last = 1
    for _ in range(13):
        last = await store.append(claim, deltas(*["x"] * 1000), last_event=last)
    kept = await connection.redis.xlen(keys.events(claim.spec.id))
    assert 10_000 <= kept < 11_000
    assert (await store.state(claim.spec.id)).last_event == last == 13_001


@contextlib.asynccontextmanager
async def pushes(log: EventLog, gateway_id: str) -> AsyncIterator[asyncio.Queue[Pushed]]:
    """What is pushed to that gateway process while the block runs."""
    queue: asyncio.Queue[Pushed] = asyncio.Queue()
    async with log.wire(gateway_id) as wire:

        async def listen() -> None:
            async for pushed in wire:
                queue.put_nowait(pushed)

        listening = asyncio.create_task(listen())
        try:
            yield queue
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def next_of(queue: asyncio.Queue[Pushed]) -> Pushed:
    return await asyncio.wait_for(queue.get(), 10)


async def test_a_watched_jobs_events_are_pushed_as_they_are_read(store: JobStore, log: EventLog) -> None:
    watched, other = await running(store, 3), await running(store, 3)
    async with pushes(log, "g1") as queue, pushes(log, "g2") as elsewhere:
        await log.watch([watched.spec.id], "g1")
        await store.append(other, deltas("no"), last_event=1)
        await store.append(watched, deltas("예\n", "b"), last_event=1)
        await store.end(watched.fence, ended(watched))
        got = [await next_of(queue) for _ in range(3)]
        assert [(p.job_id, p.id, p.name) for p in got] == [
            (watched.spec.id, 2, "text.delta"),
            (watched.spec.id, 3, "text.delta"),
            (watched.spec.id, 4, "job.succeeded"),
        ]
        assert [p.frame for p in got] == [e.frame() for e in await log.read(watched.spec.id, 1)]
        await log.echo("g1")
        assert (await next_of(queue)).name == "echo"
        assert elsewhere.empty()


async def test_every_gateway_that_watches_is_pushed_to(store: JobStore, log: EventLog) -> None:
    claim = await running(store)
    async with pushes(log, "g1") as one, pushes(log, "g2") as two:
        await log.watch([claim.spec.id], "g1")
        await log.watch([claim.spec.id], "g2")
        await store.append(claim, deltas("a"), last_event=1)
        assert (await next_of(one)).frame == (await next_of(two)).frame
        await log.unwatch(claim.spec.id, "g1")
        await store.append(claim, deltas("b"), last_event=2)
        assert (await next_of(two)).id == 3
        assert one.empty()


async def test_a_gateway_that_is_gone_is_forgotten(store: JobStore, log: EventLog, connection: Connection) -> None:
    claim = await running(store)
    await log.watch([claim.spec.id], "dead")
    await log.watch([claim.spec.id], "gone")
    assert await connection.redis.hget(keys.job(claim.spec.id), "watch") == b"dead gone"
    await store.append(claim, deltas("a"), last_event=1)
    assert not await connection.redis.hexists(keys.job(claim.spec.id), "watch")
    assert await names(connection, claim.spec.id) == ["job.started", "text.delta"]


async def test_appends_of_many_jobs_at_once_are_each_their_own(store: JobStore, log: EventLog) -> None:
    claims = [await running(store, shard) for shard in (3, 3, 3, 7, 7, 9)]
    stale = await running(store, 3)
    await store.end(stale.fence, ended(stale))
    async with pushes(log, "g1") as queue:
        await log.watch([claim.spec.id for claim in claims], "g1")
        appending = [
            store.append(claim, deltas(*[f"{nth}:{n}" for n in range(nth + 1)]), last_event=1, target=f"fake/{nth}")
            for nth, claim in enumerate(claims)
        ]
        *lasts, refused = await asyncio.gather(
            *appending, store.append(stale, deltas("late"), last_event=2), return_exceptions=True
        )
        assert lasts == [nth + 2 for nth in range(len(claims))]
        assert isinstance(refused, errors.StaleFence)
        got: dict[str, list[bytes]] = {}
        for _ in range(sum(range(len(claims) + 1))):
            pushed = await next_of(queue)
            got.setdefault(pushed.job_id, []).append(pushed.frame)
        for nth, claim in enumerate(claims):
            found = await log.read(claim.spec.id, 1)
            assert [msgspec.json.decode(e.data)["text"] for e in found] == [f"{nth}:{n}" for n in range(nth + 1)]
            assert got[claim.spec.id] == [e.frame() for e in found], "pushed as it stands in the log, in order"
            assert msgspec.json.decode(await store.get(claim.spec.id))["model"] == f"fake/{nth}"
        assert queue.empty()


async def test_who_gives_up_on_an_append_holds_up_nobody(store: JobStore, log: EventLog) -> None:
    first, second = await running(store, 3), await running(store, 3)
    giving_up = asyncio.create_task(store.append(first, deltas("a"), last_event=1))
    going_on = asyncio.create_task(store.append(second, deltas("b"), last_event=1))
    await asyncio.sleep(0)
    giving_up.cancel()
    assert await going_on == 2
    assert [e.id for e in await log.read(second.spec.id, 0)] == [1, 2]
