"""The bridge from threads to the event loop."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import aclosing
from typing import cast

import pytest

from amazon import bridge
from amazon.bridge import Bridge


@pytest.fixture
def threads() -> Iterator[Bridge]:
    """A bridge of four threads."""
    made = Bridge(4)
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection."""
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def items(threads: Bridge, work: Callable[[], Generator[int, None, None]]) -> AsyncGenerator[int, None]:
    """What `work` yields, closable."""
    return cast("AsyncGenerator[int, None]", threads.iterate(work))


async def until(condition: Callable[[], bool]) -> None:
    """Waits until `condition()` is true."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


def waiting(sock: socket.socket, about_to: threading.Event) -> bytes:
    """Blocks for a byte that never comes; `about_to` is set when it begins."""
    call = bridge.current()
    assert call is not None
    call.use(sock)
    about_to.set()
    return sock.recv(1)


async def test_what_is_returned_and_raised_arrives(threads: Bridge) -> None:
    def fail() -> int:
        raise ValueError("so it is")

    assert await threads.run(lambda: 7) == 7
    with pytest.raises(ValueError, match="so it is"):
        await threads.run(fail)


async def test_items_arrive_in_order_and_then_the_error(threads: Bridge) -> None:
    def work() -> Generator[int, None, None]:
        yield from range(1000)
        raise ValueError("and then no more")

    numbers = items(threads, work)
    assert [await anext(numbers) for _ in range(1000)] == list(range(1000))
    with pytest.raises(ValueError, match="and then no more"):
        await anext(numbers)


async def test_a_first_item_does_not_wait_for_a_second(threads: Bridge) -> None:
    go_on = threading.Event()

    def work() -> Generator[int, None, None]:
        yield 1
        assert go_on.wait(10)
        yield 2

    async with aclosing(items(threads, work)) as numbers:
        assert await anext(numbers) == 1
        go_on.set()
        assert await anext(numbers) == 2
        assert await anext(numbers, None) is None


async def test_nothing_runs_before_it_is_asked_for(threads: Bridge) -> None:
    started = threading.Event()

    def work() -> Generator[int, None, None]:
        started.set()
        yield 1

    await items(threads, work).aclose()
    await asyncio.gather(*(threads.run(lambda: None) for _ in range(4)))
    assert not started.is_set()


async def test_a_thread_does_not_run_far_ahead_and_ends_when_nobody_takes(threads: Bridge) -> None:
    made: list[int] = []
    closed = threading.Event()

    def work() -> Generator[int, None, None]:
        try:
            for n in range(100_000):
                made.append(n)
                yield n
        finally:
            closed.set()

    async with aclosing(items(threads, work)) as numbers:
        assert await anext(numbers) == 0
        await until(lambda: len(made) > 60)

    await until(closed.is_set)
    assert len(made) < 100


async def test_cancelling_wakes_a_thread_in_recv(threads: Bridge, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    about_to = threading.Event()
    received: list[bytes] = []
    task = asyncio.create_task(threads.run(lambda: received.append(waiting(ours, about_to))))
    await until(about_to.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await until(lambda: received == [b""])
    theirs.settimeout(10)
    assert theirs.recv(1) == b""


async def test_closing_the_iterator_wakes_a_thread_in_recv(
    threads: Bridge, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    about_to, ended = threading.Event(), threading.Event()

    def work() -> Generator[int, None, None]:
        yield 1
        assert waiting(ours, about_to) == b""
        ended.set()
        yield 2

    async with aclosing(items(threads, work)) as numbers:
        assert await anext(numbers) == 1
        await until(about_to.is_set)

    await until(ended.is_set)
    theirs.settimeout(10)
    assert theirs.recv(1) == b""


async def test_closing_the_bridge_ends_all_calls(threads: Bridge, pair: tuple[socket.socket, socket.socket]) -> None:
    about_to = threading.Event()
    task = asyncio.create_task(threads.run(lambda: waiting(pair[0], about_to)))
    await until(about_to.is_set)

    threads.close()

    async with asyncio.timeout(10):
        assert await task == b""


async def test_a_released_socket_is_left_alone(threads: Bridge, pair: tuple[socket.socket, socket.socket]) -> None:
    """It may already serve another call."""
    ours, theirs = pair
    go_on = threading.Event()

    def work() -> Generator[int, None, None]:
        call = bridge.current()
        assert call is not None
        call.use(ours)
        call.release()
        yield 1
        go_on.wait(10)

    async with aclosing(items(threads, work)) as numbers:
        await anext(numbers)
    go_on.set()

    theirs.sendall(b"x")
    ours.settimeout(10)
    assert ours.recv(1) == b"x"


async def test_a_connection_opened_too_late_is_not_used(
    threads: Bridge, pair: tuple[socket.socket, socket.socket]
) -> None:
    opening, opened = threading.Event(), threading.Event()
    outcome: list[str] = []

    def work() -> None:
        opening.set()
        opened.wait(10)
        try:
            waiting(pair[0], threading.Event())
        except bridge.Aborted:
            outcome.append("aborted")

    task = asyncio.create_task(threads.run(work))
    await until(opening.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    opened.set()

    await until(lambda: outcome == ["aborted"])


async def test_a_call_cancelled_in_the_queue_never_runs(threads: Bridge) -> None:
    go_on = threading.Event()
    ran: list[int] = []
    busy = [asyncio.create_task(threads.run(lambda: go_on.wait(10))) for _ in range(4)]
    late = asyncio.create_task(threads.run(lambda: ran.append(1)))
    await asyncio.sleep(0)
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    go_on.set()
    await asyncio.gather(*busy)
    await threads.run(lambda: None)

    assert ran == []


async def test_a_call_that_must_soon_end_is_hung_up_and_goes_on(
    threads: Bridge, pair: tuple[socket.socket, socket.socket]
) -> None:
    about_to = threading.Event()

    def work() -> Generator[int, None, None]:
        yield 1
        call = bridge.current()
        assert call is not None
        call.use(pair[0])
        call.hang_up_in(0.01)
        assert waiting(pair[0], about_to) == b""
        yield 2

    async with asyncio.timeout(10):
        assert [number async for number in items(threads, work)] == [1, 2]
