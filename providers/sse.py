"""Server-sent events, read incrementally: bytes in at any boundaries, the data of whole events out.

Source: WHATWG HTML, "Server-sent events". Only `data` matters here; other fields, comments, events without data and
those that are named as keep-alives are skipped: none of them can hold a part of an answer.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import aiohttp

from providers import errors
from providers.service import GRACE_S

BROKEN: Final = (aiohttp.ClientError, TimeoutError, OSError)
"""What aiohttp raises when a connection breaks."""
MAX_EVENT = 16 * 1024 * 1024
"""Bytes of one event; a server that sends more without ending it is not sending events."""


_KEEP_ALIVES = frozenset({b"ping", b"heartbeat", b"keepalive", b"keep-alive"})


class EventTooLong(Exception):
    """An event passed `MAX_EVENT` bytes without an end."""


class EventReader:
    """Splits a stream into events. Works on bytes, so characters may be torn anywhere between two reads."""

    __slots__ = ("_data", "_idle", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._idle = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of each event that `chunk` completes; lines of one event are joined by a newline.

        Raises `EventTooLong`.
        """
        lines = (self._rest + chunk if self._rest else chunk).splitlines(keepends=True)
        # A last line without newline goes on in the next chunk; after a mere CR a LF may follow, which belongs to it.
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        if len(self._rest) > MAX_EVENT:
            raise EventTooLong
        events: list[bytes] = []
        data = self._data
        for raw in lines:
            line = raw.rstrip(b"\r\n")
            if line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line:
                if data and not self._idle and (event := data[0] if len(data) == 1 else b"\n".join(data)):
                    events.append(event)
                data.clear()
                self._idle = False
            elif line == b"data":
                data.append(b"")
            elif line.startswith(b"event:"):
                self._idle = line[6:].strip() in _KEEP_ALIVES
        return events

    def end(self) -> list[bytes]:
        """The data of an event that the stream's end cut off before its empty line."""
        return self.feed(b"\n\n")


class Events:
    """The data of a response's events, as they come."""

    __slots__ = ("_broken", "_content", "_provider", "_reader", "_ready", "_until")

    def __init__(
        self,
        content: aiohttp.StreamReader,
        provider: str,
        broken: Callable[[aiohttp.ClientError | OSError], errors.ProviderError],
    ) -> None:
        """`broken` says which error a broken connection is."""
        self._content = content
        self._provider = provider
        self._broken = broken
        self._reader = EventReader()
        self._ready: deque[bytes] = deque()
        self._until: float | None = None

    def limit(self, *, complete: bool) -> None:
        """Once the answer is complete, only what comes within `GRACE_S` is still read, and a break is an end."""
        if not complete:
            self._until = None
        elif self._until is None:
            self._until = asyncio.get_running_loop().time() + GRACE_S

    def __aiter__(self) -> "Events":
        return self

    async def __anext__(self) -> bytes:
        while not self._ready:
            try:
                if self._until is None:
                    chunk = await self._content.readany()
                else:
                    async with asyncio.timeout_at(self._until):
                        chunk = await self._content.readany()
                self._ready.extend(self._reader.feed(chunk) if chunk else self._reader.end())
            except BROKEN as error:
                if self._until is not None:
                    raise StopAsyncIteration from error
                raise self._broken(error) from error
            except EventTooLong as error:
                raise errors.MalformedAnswer("an event without an end", provider=self._provider) from error
            if not chunk and not self._ready:
                raise StopAsyncIteration
        return self._ready.popleft()
