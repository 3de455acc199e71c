"""A TCP proxy of our own that does to connections, while they are open, what networks do to them."""

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Literal, Self

import msgspec

Fault = Literal[
    "drop",  # connections are closed, new ones too
    "reset",  # the same, with a TCP reset
    "half_open",  # what is sent vanishes; a connection that lost something is reset once this is over
    "freeze",  # nothing moves; what was sent meanwhile arrives once this is over
]
_CHUNK = 64 * 1024
_THROTTLE_S = 0.05
"""What a throttled connection may move in so many seconds, it moves at once."""


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """What all connections through a proxy meet, both ways."""

    fault: Fault | None = None
    latency_s: float = 0.0
    """Each piece of data is held for so long."""
    bytes_per_s: float = 0.0
    """0: as fast as it goes."""

    def takes(self, size: int) -> float:
        """Seconds for which a piece of so many bytes is held."""
        return self.latency_s + (size / self.bytes_per_s if self.bytes_per_s else 0.0)


CLEAR = Weather()


class _Link:
    """One connection through the proxy."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.lost = False
        """Something that one side sent has vanished: TCP would never let the rest through."""
        self._sides = (near, far)

    def close(self) -> None:
        for side in self._sides:
            side.close()

    def reset(self) -> None:
        for side in self._sides:
            _reset(side)


def _reset(side: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # it may be gone already
        side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    side.transport.abort()


class FaultProxy:
    """Listens on a loopback port and passes everything on to a target, through whatever weather there is.

    ```python
    async with FaultProxy("127.0.0.1:6379") as proxy:
        ...  # connect to 127.0.0.1:{proxy.port}
        proxy.set(Weather(fault="half_open"))
    ```
    """

    def __init__(self, target: str) -> None:
        """`target` is `host:port` or `unix:/path`; it need not be there yet."""
        self.port = 0
        self._target = target
        self._weather = CLEAR
        self._changed = asyncio.Event()
        self._links: set[_Link] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._server.close()
        self.set(Weather(fault="reset"))
        if self._serving:
            await asyncio.wait(self._serving)

    def __len__(self) -> int:
        """How many connections are open."""
        return len(self._links)

    def set(self, weather: Weather) -> None:
        """Changes the weather at once, for open connections too."""
        self._weather = weather
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        for link in list(self._links):
            if weather.fault == "drop":
                link.close()
            elif weather.fault == "reset" or (link.lost and weather.fault != "half_open"):
                link.reset()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._weather.fault == "drop":
            writer.close()
            return
        try:
            if self._weather.fault == "reset":
                raise ConnectionResetError
            far_reader, far_writer = await self._connect()
        except OSError:
            _reset(writer)
            return
        link = _Link(writer, far_writer)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pump(link, reader, far_writer))
                ways.create_task(self._pump(link, far_reader, writer))
            link.close()
        except* OSError:
            link.reset()
        finally:
            self._links.discard(link)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._target.startswith("unix:"):
            return await asyncio.open_unix_connection(self._target.removeprefix("unix:"))
        host, _, port = self._target.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            speed = self._weather.bytes_per_s
            chunk = await reader.read(max(1, int(speed * _THROTTLE_S)) if speed else _CHUNK)
            await self._pause(self._weather.takes(len(chunk)))
            while self._weather.fault == "freeze":
                await self._changed.wait()
            if self._weather.fault == "half_open":
                link.lost = True
            if link.lost:
                if not chunk:
                    return
                continue
            if not chunk:
                writer.write_eof()
                return
            writer.write(chunk)
            await writer.drain()

    async def _pause(self, seconds: float) -> None:
        """So many seconds, or until the weather changes."""
        if seconds:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
