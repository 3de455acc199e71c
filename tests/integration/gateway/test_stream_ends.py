"""Streams that end otherwise than with their job: clients that leave or do not read, gateways that stop or die."""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from jobs import event
from jobs.store import keys
from tests.integration.gateway import eventsource
from tests.integration.gateway.conftest import Breakable, Gateways, Hand, submit, until
from tests.integration.gateway.eventsource import Event, EventSource
from tests.stack import Process, request

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def hurried(gateways: Gateways) -> str:
    """A gateway on the same store that soon sends heartbeats and soon cuts off who does not read."""
    hurry = "hub.HEARTBEAT_S=0.1 hub._TICK_S=0.05 hub.RENEW_S=0.2 server.STUCK_S=1.5"
    return gateways.gateway(module="tests.integration.gateway.hurry", HURRY=hurry)


def silent_client(url: str, path: str) -> socket.socket:
    """A client that asks and then reads nothing, with as little room for unread data as the system allows."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    parts = urlsplit(url)
    client.connect((parts.hostname, parts.port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: ringback\r\n\r\n".encode())
    return client


def clients(process: Process, url: str) -> int:
    """How many connections to its port the gateway has open."""
    port = urlsplit(url).port or 0
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if int(row[1].partition(":")[2], 16) == port and row[3] != "0A"}
    return sum(f"socket:[{inode}]" in _links(process) for inode in inodes)


def _links(process: Process) -> set[str]:
    found = set()
    for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(descriptor.readlink()))
    return found


def drained(client: socket.socket) -> bytes:
    """Everything until the server hangs up."""
    client.settimeout(10)
    with client:
        return b"".join(iter(lambda: client.recv(MIB), b""))


def resident(process: Process) -> int:
    """Bytes of memory that the process has resident."""
    line = next(x for x in Path(f"/proc/{process.pid}/status").read_text().splitlines() if x.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


async def test_an_idle_stream_is_kept_alive_with_comments(hurried: str, hand: Hand) -> None:
    job = await hand.start(hurried)
    async with asyncio.timeout(30), eventsource.opened(f"{hurried}/v1/jobs/{job.id}/events") as source:
        reader = aiter(source)
        assert (await anext(reader)).name == "job.started"
        await asyncio.sleep(1)
        await job.end()
        assert [e.name async for e in reader] == ["job.succeeded"]
    assert 3 <= len(source.comments) <= 20
    assert set(source.comments) == {"keep-alive"}


async def test_watches_are_renewed_for_streams_that_outlive_them(hurried: str, hand: Hand) -> None:
    job = await hand.start(hurried)
    async with asyncio.timeout(30), eventsource.opened(f"{hurried}/v1/jobs/{job.id}/events") as source:
        reader = aiter(source)
        assert (await anext(reader)).id == 1
        assert await hand.connection.redis.hdel(keys.job(job.id), "watch") == 1, "as if the store had lost it"
        await job.say("그 사이")
        assert (await anext(reader)).id == 2, "what was missed comes from the log"

        async def watched() -> Any:
            return await hand.connection.redis.hexists(keys.job(job.id), "watch")

        await until(watched)
        await job.end()
        assert [e.id async for e in reader] == [3]


async def test_clients_that_leave_leave_nothing_behind(gateways: Gateways, hand: Hand) -> None:
    process = gateways.gateways[gateways.url]
    job = await hand.start(gateways.url)
    url = f"{gateways.url}/v1/jobs/{job.id}/events"

    async def leave_after_one() -> None:
        async with eventsource.opened(url) as source:
            assert (await anext(aiter(source))).id == 1

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for _ in range(50):
            tasks.create_task(leave_after_one())

    async def unwatched() -> bool:
        return not await hand.connection.redis.hexists(keys.job(job.id), "watch")

    async def closed() -> bool:
        return clients(process, gateways.url) == 0

    await until(unwatched)
    await until(closed)
    await job.end()


async def test_clients_that_wait_and_leave_leave_nothing_behind(gateways: Gateways, hand: Hand) -> None:
    process = gateways.gateways[gateways.url]
    body = {"type": "generate", "input": {"prompt": "x"}, "model": "fake/echo", "metadata": {"waiting": "and leaving"}}

    async def leave() -> None:
        timeout = aiohttp.ClientTimeout(total=1.0)
        async with aiohttp.ClientSession(timeout=timeout, headers={"Prefer": "wait=60"}) as session:
            with contextlib.suppress(TimeoutError):
                await session.post(f"{gateways.url}/v1/jobs", json=body)

    await asyncio.gather(*(leave() for _ in range(20)))
    jobs = request(f"{gateways.url}/v1/jobs?metadata.waiting=and%20leaving&limit=50").json["items"]

    async def unwatched() -> bool:
        return not any([await hand.connection.redis.hexists(keys.job(job["id"]), "watch") for job in jobs])

    async def closed() -> bool:
        return clients(process, gateways.url) == 0

    assert [job["status"] for job in jobs] == ["queued"] * 20
    await until(unwatched)
    await until(closed)


async def test_leaving_and_coming_back_at_once_loses_nothing(gateways: Gateways, hand: Hand) -> None:
    """The watch that the leaving stream gives up must not be the one that the coming stream needs."""
    job = await hand.start(gateways.url)
    url = f"{gateways.url}/v1/jobs/{job.id}/events"
    got: list[Event] = []
    async with asyncio.timeout(60):
        while len(got) < 60:
            async with eventsource.opened(url, got[-1].id if got else None) as source:
                reader = aiter(source)
                got.append(await anext(reader))
                await job.say("x")
        await job.end()
        got += await eventsource.read(url, got[-1].id)
    assert eventsource.ids(got) == list(range(1, job.last + 1))


async def test_a_client_that_does_not_read_costs_little_and_is_cut_off(
    gateways: Gateways, hurried: str, hand: Hand
) -> None:
    process = gateways.gateways[hurried]
    job = await hand.start(hurried)
    path = f"/v1/jobs/{job.id}/events"
    silent = [silent_client(hurried, path) for _ in range(4)]
    reading = asyncio.create_task(eventsource.read(hurried + path))

    async def all_there() -> bool:
        return clients(process, hurried) == 5

    await until(all_there)
    memory = resident(process)
    for _ in range(300):
        await job.say("x" * 100_000)
    await job.end(output={"text": "…"})

    events = await reading
    grown = resident(process) - memory
    assert eventsource.ids(events) == list(range(1, 303)), "others are not disturbed"
    assert len(eventsource.text(events)) == 300 * 100_000
    # 4 x (1 MiB queued, 1 MiB being written) and some air, of 4 x 30 MB that a gateway without bounds would hold.
    assert grown < 40 * MIB

    async def cut() -> bool:
        return clients(process, hurried) == 0

    await until(cut, what="the silent clients are cut off")
    for client in silent:
        unread = drained(client)
        assert b"id: 1\n" in unread
        assert b"job.succeeded" not in unread
        assert not unread.endswith(b"0\r\n\r\n"), "a cut stream must not look like one that has ended"


async def test_a_slow_client_gets_everything(gateways: Gateways, hand: Hand) -> None:
    job = await hand.start(gateways.url)
    got: list[Event] = []

    async def read_slowly(source: EventSource) -> None:
        async for event_ in source:
            got.append(event_)
            if event_.id % 10 == 0:
                await asyncio.sleep(0.02)

    url = f"{gateways.url}/v1/jobs/{job.id}/events"
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        writer = tasks.create_task(write_much(job))
        while not (writer.done() and got and got[-1].name == "job.succeeded"):
            async with eventsource.opened(url, got[-1].id if got else None) as source:
                await read_slowly(source)
    assert eventsource.ids(got) == list(range(1, job.last + 1))


async def write_much(job: Any) -> None:
    for _ in range(40):
        await job.append(*(event.text_delta("가" * 10_000) for _ in range(10)))
    await job.end()


async def test_sigterm_ends_streams_with_a_hint_and_they_go_on_elsewhere(gateways: Gateways, hand: Hand) -> None:
    doomed = gateways.gateway()
    job = await hand.start(doomed)
    job_id = submit(doomed).json["id"]
    path = f"/v1/jobs/{job.id}/events"
    async with asyncio.timeout(40), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(asyncio.to_thread(submit, doomed, headers={"Prefer": "wait=60"}))
        async with (
            eventsource.opened(doomed + path) as running,
            eventsource.opened(f"{doomed}/v1/jobs/{job_id}/events") as queued,
        ):
            reader = aiter(running)
            assert (await anext(reader)).id == 1

            async def is_waiting() -> bool:
                return len(request(f"{gateways.url}/v1/jobs?status=queued").json["items"]) >= 2

            await until(is_waiting)
            begun = time.monotonic()
            gateways.gateways[doomed].send(signal.SIGTERM)
            assert [e async for e in reader] == []
            assert [e async for e in queued] == []
            assert running.retry_ms == queued.retry_ms == 500
        exit_code = await asyncio.to_thread(gateways.gateways[doomed].stop)

    assert exit_code == 0
    assert time.monotonic() - begun < 10
    assert (waiting.result().status, waiting.result().json["status"]) == (202, "queued")
    assert waiting.result().headers["location"] == f"/v1/jobs/{waiting.result().json['id']}"
    with pytest.raises(OSError, match="refused"):
        request(f"{doomed}/health/live")
    await job.say("여기서 계속")
    await job.end()
    assert eventsource.ids(await eventsource.read(gateways.url + path, 1)) == [2, 3]


async def test_a_client_that_does_not_read_does_not_hold_up_a_stop(gateways: Gateways, hand: Hand) -> None:
    doomed = gateways.gateway()
    process = gateways.gateways[doomed]
    job = await hand.start(doomed)
    silent = silent_client(doomed, f"/v1/jobs/{job.id}/events")

    async def there() -> bool:
        return clients(process, doomed) == 1

    await until(there)
    for _ in range(100):
        await job.say("x" * 100_000)
    log_before = len(process.log.read_text())
    begun = time.monotonic()

    assert await asyncio.to_thread(process.stop) == 0

    assert time.monotonic() - begun < 15, "which is less than the 20 s that a request may take"
    assert "Traceback" not in process.log.read_text()[log_before:]
    silent.close()
    await job.end()


async def test_a_gateway_killed_in_mid_stream_costs_no_event(gateways: Gateways, hand: Hand) -> None:
    doomed = gateways.gateway()
    job = await hand.start(doomed)
    path = f"/v1/jobs/{job.id}/events"
    got: list[Event] = []

    async def talk() -> None:
        for i in range(400):
            await job.say(f"{i} ")
        await job.end()

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        async with eventsource.opened(doomed + path) as source:
            reader = aiter(source)
            got.append(await anext(reader))
            tasks.create_task(talk())
            while got[-1].id < 50:
                got.append(await anext(reader))
            gateways.gateways[doomed].stop(signal.SIGKILL)
            with contextlib.suppress(aiohttp.ClientError):
                got += [event_ async for event_ in reader]
        assert 50 <= len(got) < 402
        got += await eventsource.read(gateways.url + path, got[-1].id)

    assert eventsource.ids(got) == list(range(1, 403))
    assert eventsource.text(got) == "".join(f"{i} " for i in range(400))


async def test_a_store_killed_and_restarted_in_mid_stream_costs_no_event(
    breakable: Breakable, new_hand: Callable[..., Hand]
) -> None:
    url, hand = breakable.url, new_hand(breakable)
    job = await hand.start(url)
    path = f"/v1/jobs/{job.id}/events"
    got: list[Event] = []

    async def follow() -> None:
        """As an EventSource does: whenever the stream ends before the job, it comes back."""
        while not got or got[-1].name != "job.succeeded":
            try:
                async with eventsource.opened(url + path, got[-1].id if got else None) as source:
                    async for event_ in source:
                        got.append(event_)  # noqa: PERF401 - others look at it meanwhile
            except eventsource.Refused as refused:
                if refused.code != "store_unavailable":
                    raise
                await asyncio.sleep(0.05)

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(follow())
        await job.say("전", "전")

        async def arrived() -> bool:
            return len(got) == job.last

        await until(arrived)
        breakable.kill_store()
        breakable.restart_store()
        await job.say("후", "후")
        await until(arrived, what="events appended after the restart")
        await job.end()

    assert eventsource.ids(got) == list(range(1, 7))


async def test_a_stream_stays_open_through_a_restart_of_the_store(
    breakable: Breakable, new_hand: Callable[..., Hand]
) -> None:
    url, hand = breakable.url, new_hand(breakable)
    job = await hand.start(url)
    async with asyncio.timeout(60), eventsource.opened(f"{url}/v1/jobs/{job.id}/events") as source:
        reader = aiter(source)
        assert (await anext(reader)).id == 1
        breakable.kill_store()
        breakable.restart_store()
        await job.say("후")
        assert (await anext(reader)).id == 2
        await job.end()
        assert [e.id async for e in reader] == [3]


async def test_a_stream_stays_open_while_the_store_hangs(breakable: Breakable, new_hand: Callable[..., Hand]) -> None:
    url, hand = breakable.url, new_hand(breakable)
    job = await hand.start(url)
    async with asyncio.timeout(60), eventsource.opened(f"{url}/v1/jobs/{job.id}/events") as source:
        reader = aiter(source)
        assert (await anext(reader)).id == 1
        breakable.store.send(signal.SIGSTOP)
        assert request(f"{url}/health/ready").status == 503
        breakable.store.send(signal.SIGCONT)
        await job.say("후")
        assert (await anext(reader)).id == 2
        await job.end()
        assert [e.id async for e in reader] == [3]
