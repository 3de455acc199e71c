"""The bridge from threads to the event loop."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator

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
    released, go_on = threading.Event(), threading.Event()

    def work() -> None:
        call = bridge.current()
        assert call is not None
        call.use(ours)
        call.release()
        released.set()
        go_on.wait(10)

    task = asyncio.create_task(threads.run(work))
    await until(released.is_set)
    task.cancel()
    await asyncio.wait((task,))
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
