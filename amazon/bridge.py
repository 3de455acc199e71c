"""Blocking calls for the event loop: each runs in a thread, and ends when nobody waits for it.

A thread that waits for bytes cannot be interrupted, and closing its response from outside does not wake it. Shutting
its socket down does; so the connections (`amazon.connections`) tell the call of their thread which socket
they use.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_current = threading.local()


class Aborted(Exception):
    """Nobody waits for this call any more."""


class Call:
    """One blocking call: made by the loop, run by a thread, aborted by either."""

    def __init__(self) -> None:
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
        call = Call()
        self._calls.add(call)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, _as_current, call, work)
        finally:
            self._calls.discard(call)
            call.abort()

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
