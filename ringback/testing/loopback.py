"""An HTTP server on loopback that lives in a thread of its own; the vendor fakes and the callback inbox stand on it."""

import asyncio
import concurrent.futures
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web

MAX_BODY = 64 * 1024 * 1024
"""Bytes of a request body that are accepted."""
_POLL_S = 0.002


class LoopbackServer:
    """A real HTTP server in its own thread, so that it serves any event loop, plain threads and other processes alike.

    Use it as a context manager, or call `start()` and `close()`. Subclasses answer in `handle`, which runs in the
    server's own loop and is cancelled when the client disconnects.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """`port` 0 means any free one."""
        self._host, self._port = host, port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"http://{self._host}:{self._port}"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request."""
        raise NotImplementedError

    def start(self) -> Self:
        """Starts serving; returns when the port is open. Raises `OSError` when it cannot be had."""
        ready: concurrent.futures.Future[int] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name=type(self).__name__, daemon=True)
        self._thread.start()
        self._port = ready.result()
        return self

    def close(self) -> None:
        """Stops serving and breaks what is still under way; returns when all is closed."""
        thread, loop, stop = self._thread, self._loop, self._stop
        if thread is None or loop is None or stop is None:
            return
        self._thread = None
        loop.call_soon_threadsafe(stop.set)
        thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def closing(self) -> bool:
        """Whether `close()` was called."""
        return self._stop is not None and self._stop.is_set()

    async def wait_until(self, condition: Callable[[], bool], *, timeout: float = 10.0, what: str = "") -> None:
        """Waits, in the caller's loop, until `condition()` is true.

        Raises `TimeoutError`, naming `what` was awaited, after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() >= deadline:
                raise TimeoutError(f"not within {timeout} s: {what or 'the awaited condition'}")
            await asyncio.sleep(_POLL_S)

    def _run(self, ready: concurrent.futures.Future[int]) -> None:
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready: concurrent.futures.Future[int]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = web.Server(self.handle, request_factory=_request, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=0.01)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self._port, backlog=1024)
            await site.start()
        except OSError as error:
            ready.set_exception(error)
            return
        ready.set_result(runner.addresses[0][1])
        await self._stop.wait()
        await runner.cleanup()


def reset(request: web.BaseRequest) -> None:
    """Ends the request's connection with a TCP reset, as a crashed or overloaded machine does."""
    if request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        request.transport.abort()


def cut(request: web.BaseRequest) -> None:
    """Closes the request's connection where it stands; what was written before still arrives."""
    if request.transport is not None:
        request.transport.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _request(message: object, payload: object, protocol: object, writer: object, task: object) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY)  # type: ignore[arg-type]
