"""Receives callbacks as cheaply as Python can, so that the load generator leaves the machine to what it measures.

Each job is given a path of its own to call back to, which tells the jobs apart without reading any JSON.
"""

import asyncio
import re
import time
from typing import cast

from benchmarks.children import Failed

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_SUCCEEDED = b'{"type":"job.succeeded"'
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Inbox:
    """A loopback server for callbacks."""

    def __init__(self) -> None:
        """See `start`."""
        self._waiting: dict[bytes, asyncio.Future[float]] = {}
        self._count = 0
        self._server: asyncio.Server | None = None
        self._base = ""

    async def start(self) -> None:
        """Starts to listen, on any free port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=1024)
        self._base = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Listens no longer."""
        if self._server is not None:
            self._server.close()

    def expect(self) -> tuple[str, "asyncio.Future[float]"]:
        """A URL for one job, and when its callback had arrived (`time.monotonic()`).

        That fails with `Failed` if the callback tells anything but success.
        """
        self._count += 1
        path = f"/{self._count}"
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[path.encode()] = future
        return self._base + path, future

    def arrived(self, path: bytes, body: bytes, at: float) -> None:
        """A callback has come; one that comes again is ignored."""
        future = self._waiting.pop(path, None)
        if future is None or future.done():
            return
        if body.startswith(_SUCCEEDED):
            future.set_result(at)
        else:
            future.set_exception(Failed(f"called back with {body[:300].decode(errors='replace')}"))


class _Connection(asyncio.Protocol):
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # By duck typing only: uvloop's transports are not instances of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        at = time.monotonic()
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[: end + 2]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._data) < whole:
                return
            self._inbox.arrived(head.split(b" ", 2)[1], self._data[end + 4 : whole], at)
            self._data = self._data[whole:]
            if self._transport is not None:
                self._transport.write(_ANSWER)
