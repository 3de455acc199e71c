"""Follows the events of many jobs over SSE, as a process of its own, at the least cost for each event."""

import asyncio
import re
import time
from array import array
from typing import cast
from urllib.parse import urlsplit

import msgspec

from benchmarks.children import Failed, Parent, serve
from benchmarks.figures import percentile
from benchmarks.streams import Followed, Following

_EVENT = re.compile(rb"at=(\d+);n=(\d+);")
_LAST = b"\nevent: job.succeeded\n"
_WHOLE = b"\n\n\r\n"
"""Ends an event that is the last of its HTTP chunk."""
_AT_ONCE = 50


class _Stream(asyncio.Protocol):
    """One SSE connection."""

    def __init__(self, request: bytes, late: "array[float]") -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._received = 0
        self._gap = False
        self._request = request
        self._late = late
        self._rest = b""

    def is_whole(self, events: int) -> bool:
        """Whether it ended after so many events, in order."""
        ended = self.ended.done() and self.ended.exception() is None
        return ended and self._received == events and not self._gap

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # By duck typing only: uvloop's transports are not instances of asyncio's classes.
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if not data.endswith(_WHOLE):
            cut = data.rfind(b"\n\n") + 1
            self._rest, data = data[cut:], data[:cut]
        for at, number in _EVENT.findall(data):
            self._late.append((now - int(at)) / 1e6)
            if int(number) != self._received:
                self._gap = True
            self._received += 1
        if not self.opened.done() and b"\nevent: " in data:
            self.opened.set_result(None)
        if _LAST in data and not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.opened, self.ended):
            if not future.done():
                future.set_exception(Failed(f"a stream broke off after {self._received} events: {self._rest[:200]!r}"))


async def _open(following: Following, late: "array[float]") -> list[_Stream]:
    loop = asyncio.get_running_loop()
    place = urlsplit(following.gateway_url)
    host, port = place.hostname or "", place.port or 80
    streams: list[_Stream] = []

    async def open_one(job_id: str) -> _Stream:
        request = f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode()
        _, stream = await loop.create_connection(lambda: _Stream(request, late), host, port)
        await stream.opened
        return stream

    for start in range(0, len(following.job_ids), _AT_ONCE):
        streams += await asyncio.gather(*(open_one(job_id) for job_id in following.job_ids[start : start + _AT_ONCE]))
    return streams


async def _main(parent: Parent) -> None:
    following = msgspec.convert(await parent.read(), Following)
    late = array("d")
    async with asyncio.timeout(following.limit_s):
        streams = await _open(following, late)
    parent.tell(len(streams))
    ends = [stream.ended for stream in streams]
    await asyncio.wait(ends, timeout=following.limit_s)
    whole = sum(stream.is_whole(following.per_stream) for stream in streams)
    parent.tell(Followed(whole=whole, p50_ms=percentile(late, 0.5), p99_ms=percentile(late, 0.99)))
    await parent.read()


if __name__ == "__main__":
    serve(_main)
