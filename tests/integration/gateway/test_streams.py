"""Event streams over real HTTP: whole, gapless, resumable from anywhere, on any gateway."""

import asyncio
from collections.abc import Callable

import pytest

from jobs import event
from jobs.store import keys
from tests.integration.gateway import eventsource
from tests.integration.gateway.conftest import Gateways, Hand, Running, submit, until
from tests.integration.gateway.eventsource import Event
from tests.stack import request

DELTAS = ("배송이 ", "늦어 ", "죄송", "합니다.\n", "감사합니다 🙇", "!")


async def ended_job(hand: Hand, url: str, deltas: tuple[str, ...] = DELTAS) -> Running:
    job = await hand.start(url)
    await job.say(*deltas)
    await job.end(output={"text": "".join(deltas)})
    return job


def events_url(url: str, job: Running) -> str:
    return f"{url}/v1/jobs/{job.id}/events"


async def test_an_ended_job_is_streamed_whole_and_then_the_stream_ends(gateways: Gateways, hand: Hand) -> None:
    job = await ended_job(hand, gateways.url)

    async with eventsource.opened(events_url(gateways.url, job)) as source:
        events = await source.rest()

    assert source.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "no-cache" in source.headers["cache-control"]
    assert eventsource.ids(events) == list(range(1, len(DELTAS) + 3))
    assert [e.name for e in events] == ["job.started", *["text.delta"] * len(DELTAS), "job.succeeded"]
    assert events[0].data == {"attempt": 1, "provider": "fake", "model": "fake/echo"}
    assert eventsource.text(events) == "".join(DELTAS) == events[-1].data["output"]["text"]
    assert source.retry_ms is None
    by_get = request(f"{gateways.other}/v1/jobs/{job.id}").body.decode()
    assert events[-1].raw == by_get, "the terminal event is the whole job, to the byte"


async def test_resuming_after_any_event_gives_exactly_the_rest(gateways: Gateways, hand: Hand) -> None:
    job = await ended_job(hand, gateways.url)
    whole = await eventsource.read(events_url(gateways.url, job))

    for url in (gateways.url, gateways.other):
        for by in ("header", "query"):
            for last in range(len(whole)):
                assert await eventsource.read(events_url(url, job), last, by=by) == whole[last:]


@pytest.mark.parametrize("by", ["header", "query"])
async def test_resuming_after_the_last_event_of_an_ended_job_is_204(gateways: Gateways, hand: Hand, by: str) -> None:
    job = await ended_job(hand, gateways.url)
    url = events_url(gateways.url, job)

    if by == "header":
        reply = request(url, headers={"Last-Event-ID": str(job.last)})
    else:
        reply = request(f"{url}?last_event_id={job.last}")

    assert (reply.status, reply.body) == (204, b"")


async def test_the_header_outranks_the_query(gateways: Gateways, hand: Hand) -> None:
    """An EventSource keeps the query of the URL that it was opened with, and tells where it is by the header."""
    job = await ended_job(hand, gateways.url)

    events = await eventsource.read(f"{events_url(gateways.url, job)}?last_event_id=1", 3)

    assert events[0].id == 4


async def test_each_event_arrives_before_the_next_one_happens(gateways: Gateways, hand: Hand) -> None:
    job = await hand.start(gateways.url)
    async with (
        asyncio.timeout(30),
        eventsource.opened(events_url(gateways.url, job)) as here,
        eventsource.opened(events_url(gateways.other, job)) as there,
    ):
        readers = [aiter(here), aiter(there)]
        assert [await anext(reader) for reader in readers] == [started(job)] * 2
        for number, delta in enumerate(DELTAS, 2):
            await job.say(delta)
            for reader in readers:
                event_ = await anext(reader)
                assert (event_.id, event_.data) == (number, {"text": delta})
        await job.end("failed")
        assert [(await anext(reader)).name for reader in readers] == ["job.failed"] * 2
        assert [[e async for e in reader] for reader in readers] == [[], []]


def started(job: Running) -> Event:
    return Event(1, "job.started", '{"provider":"fake","attempt":1,"model":"fake/echo"}')


async def test_a_stream_of_a_queued_job_waits_for_its_first_event(gateways: Gateways, hand: Hand) -> None:
    job_id = submit(gateways.url).json["id"]

    async with asyncio.timeout(30), eventsource.opened(f"{gateways.url}/v1/jobs/{job_id}/events") as source:
        job = await hand.claim(job_id)
        await job.end()
        events = await source.rest()

    assert [e.name for e in events] == ["job.started", "job.succeeded"]


async def test_resuming_a_running_job_goes_on_live(gateways: Gateways, hand: Hand) -> None:
    job = await hand.start(gateways.url)
    await job.say("하나", "둘")

    async with asyncio.timeout(30), eventsource.opened(events_url(gateways.other, job), 2) as source:
        reader = aiter(source)
        assert (await anext(reader)).data == {"text": "둘"}
        await job.say("셋")
        assert (await anext(reader)).data == {"text": "셋"}
        await job.end()
        assert [e.id async for e in reader] == [5]


async def test_a_stream_that_has_everything_so_far_waits_for_more(gateways: Gateways, hand: Hand) -> None:
    job = await hand.start(gateways.url)
    await job.say("하나")

    async with asyncio.timeout(30), eventsource.opened(events_url(gateways.url, job), 2) as source:
        await job.say("둘")
        await job.end()
        assert eventsource.ids(await source.rest()) == [3, 4]


async def test_events_appended_while_the_stream_catches_up_are_neither_lost_nor_doubled(
    gateways: Gateways, hand: Hand
) -> None:
    """A long log, so that catching up takes several reads, and a writer that never stops meanwhile."""
    job = await hand.start(gateways.url)
    for _ in range(4):
        await job.append(*(event.text_delta(f"{i} ") for i in range(500)))
    writing = True

    async def write() -> None:
        while writing:
            await job.say("x")
        await job.end()

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        writer = tasks.create_task(write())
        readers = [
            tasks.create_task(eventsource.read(events_url(url, job), last))
            for url in (gateways.url, gateways.other)
            for last in (None, 1, 499, 500, 501, 1999)
        ]
        await asyncio.sleep(1.0)  # for so long both sides are busy; nothing depends on how long
        writing = False
    assert writer.done()
    for reader in readers:
        events = reader.result()
        assert eventsource.ids(events) == list(range(events[0].id, job.last + 1))
        assert events[-1].name == "job.succeeded"


async def test_two_hundred_streams_of_one_job_get_the_same(gateways: Gateways, hand: Hand) -> None:
    job = await hand.start(gateways.url)

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(eventsource.read(events_url(gateways.url, job))) for _ in range(200)]
        for delta in DELTAS * 5:
            await job.say(delta)
            await asyncio.sleep(0)
        await job.end(output={"text": "".join(DELTAS * 5)})

    whole = readers[0].result()
    assert eventsource.text(whole) == "".join(DELTAS * 5)
    assert eventsource.ids(whole) == list(range(1, job.last + 1))
    assert all(reader.result() == whole for reader in readers)


async def test_a_reset_voids_what_came_before(gateways: Gateways, hand: Hand) -> None:
    job = await hand.start(gateways.url)
    await job.say("틀린 ")
    await job.append(event.stream_reset("provider_overloaded", "fake/other"))
    await job.say("맞는 답")
    await job.end(output={"text": "맞는 답"})

    events = await eventsource.read(events_url(gateways.url, job))

    assert eventsource.text(events) == "맞는 답"
    reset = next(e for e in events if e.name == "stream.reset")
    assert reset.data == {"reason": "provider_overloaded", "provider": "fake", "model": "fake/other"}


async def test_expired_events_leave_the_end_and_no_resume(
    gateways: Gateways, hand: Hand, new_hand: Callable[..., Hand]
) -> None:
    hasty = new_hand(gateways, event_retention_s=0.05)
    job = await ended_job(hasty, gateways.url)

    async def expired() -> bool:
        return not await hasty.connection.redis.exists(keys.events(job.id))

    await until(expired)
    url = events_url(gateways.url, job)

    (only,) = await eventsource.read(url)
    assert (only.id, only.name) == (job.last, "job.succeeded")
    assert only.raw == request(f"{gateways.url}/v1/jobs/{job.id}").body.decode()
    for last in (1, job.last - 1):
        reply = request(url, headers={"Last-Event-ID": str(last)})
        assert (reply.status, reply.json["code"]) == (410, "events_gone")
        assert reply.headers["content-type"] == "application/problem+json"
    assert request(url, headers={"Last-Event-ID": str(job.last)}).status == 204


async def test_a_resume_point_that_was_trimmed_is_410(gateways: Gateways, hand: Hand) -> None:
    job = await hand.start(gateways.url)
    await job.say(*"abcdefgh")
    await hand.connection.redis.xtrim(keys.events(job.id), minid="6-0", approximate=False)

    for last in (None, 1, 4):
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        reply = request(events_url(gateways.url, job), headers=headers)
        assert (reply.status, reply.json["code"]) == (410, "events_gone")
    async with asyncio.timeout(30), eventsource.opened(events_url(gateways.url, job), 5) as source:
        await job.end()
        assert eventsource.ids(await source.rest()) == [6, 7, 8, 9, 10]


async def test_a_cancelled_job_says_so_in_its_stream(gateways: Gateways, hand: Hand) -> None:
    job_id = submit(gateways.url).json["id"]

    async with asyncio.timeout(30), eventsource.opened(f"{gateways.url}/v1/jobs/{job_id}/events") as source:
        reply = request(f"{gateways.other}/v1/jobs/{job_id}/cancel", method="POST", body=b"")
        events = await source.rest()

    assert (reply.status, reply.json["status"]) == (202, "cancelled")
    assert [e.name for e in events] == ["job.cancelled"]
    assert events[0].data == reply.json


async def test_a_head_request_for_a_stream_does_not_open_one(gateways: Gateways, hand: Hand) -> None:
    job = await hand.start(gateways.url)

    reply = request(events_url(gateways.url, job), method="HEAD", timeout=10)

    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-type"].startswith("text/event-stream")
