"""Blocking calls for the event loop: each runs in a thread, hands over what it has, and ends when nobody waits for it.

A thread that waits for bytes cannot be interrupted, and closing its response from outside does not wake it. Shutting
its socket down does; so the connections (`amazon.connections`) tell the call of their thread which socket
they use.
"""

import asyncio
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Generic, TypeVar

T = TypeVar("T")

_AHEAD = 64
"""Items that a thread may be ahead of the loop."""
_current = threading.local()


class Aborted(Exception):
    """Nobody waits for this call any more."""


class Call:
    """One blocking call: made by the loop, run by a thread, aborted by either."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.aborted = False

    def use(self, sock: socket.socket) -> None:
        """In the thread: from now on the call waits for this socket. Raises `Aborted`."""
        with self._lock:
            if self.aborted:
                raise Aborted
            self._socket = sock

    def release(self) -> None:
        """In the thread: the socket is no longer the call's own."""
        with self._lock:
            self._socket = None

    def abort(self) -> None:
        """In the loop: wakes the thread if it waits for its socket, which is closed; does nothing to an ended call.

        A connection that is only being opened is given up when it is open, before anything is sent.
        """
        self.aborted = True
        self.hang_up()

    def hang_up_in(self, seconds: float) -> None:
        """In the thread: hangs up if the call still has its socket after so many seconds."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._loop.call_later, seconds, self.hang_up)

    def hang_up(self) -> None:
        """Closes the connection: a thread that waits for it finds its end."""
        with self._lock:
            sock, self._socket = self._socket, None
            if sock is not None:
                # Not the method of an SSLSocket, which would also drop the TLS state that the thread is using.
                with suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)


def current() -> Call | None:
    """The call that this thread runs."""
    return getattr(_current, "call", None)


class Bridge:
    """A pool of threads and the calls that run in them."""

    def __init__(self, threads: int) -> None:
        """Up to that many threads, each made when it is first needed."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="amazon")
        self._calls: set[Call] = set()

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises; cancelling aborts it."""
        loop = asyncio.get_running_loop()
        call = Call(loop)
        self._calls.add(call)
        try:
            return await loop.run_in_executor(self._pool, _as_current, call, work)
        finally:
            self._calls.discard(call)
            call.abort()

    async def iterate(self, work: Callable[[], Generator[T, None, None]]) -> AsyncIterator[T]:
        """What `work` yields or raises; cancelling and closing abort it."""
        loop = asyncio.get_running_loop()
        call = Call(loop)
        feed = _Feed[T](loop, call)
        self._calls.add(call)
        self._pool.submit(_as_current, call, lambda: feed.fill(work))
        try:
            while not isinstance(item := await feed.get(), _End):
                yield item
            if item.error is not None:
                raise item.error
        finally:
            self._calls.discard(call)
            feed.abort()

    def close(self) -> None:
        """Aborts all calls; their threads end by themselves."""
        for call in tuple(self._calls):
            call.abort()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _as_current(call: Call, work: Callable[[], T]) -> T:
    if call.aborted:
        raise Aborted
    _current.call = call
    try:
        return work()
    finally:
        _current.call = None


class _End:
    """The last item of a feed."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error


class _Feed(Generic[T]):
    """From one thread to one coroutine. The loop is woken once for all that has gathered before it looks."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Call) -> None:
        self._loop = loop
        self._call = call
        self._items: deque[T | _End] = deque()
        self._room = threading.Semaphore(_AHEAD)
        self._ready = asyncio.Event()
        self._woken = False

    def fill(self, work: Callable[[], Generator[T, None, None]]) -> None:
        """In the thread: puts in all that `work` yields, and how it ended."""
        end = _End()
        try:
            with closing(work()) as items:
                for item in items:
                    self._room.acquire()
                    if self._call.aborted:
                        return
                    self._put(item)
        except Exception as error:  # noqa: BLE001 - raised again in the coroutine
            end = _End(error)
        self._put(end)

    def _put(self, item: T | _End) -> None:
        self._items.append(item)
        # Appended first, looked at second; the loop does it the other way round. So no item stays unseen.
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._woken = False
        self._ready.set()

    async def get(self) -> T | _End:
        """In the loop: the next item."""
        while not self._items:
            self._ready.clear()
            await self._ready.wait()
        self._room.release()
        return self._items.popleft()

    def abort(self) -> None:
        """In the loop: nobody takes any more items."""
        self._call.abort()
        self._room.release()
