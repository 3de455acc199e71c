"""Reads event streams as a browser does: the line format of the HTML standard, nothing of ours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec


class Event(msgspec.Struct, frozen=True):
    """One dispatched event."""

    id: int
    name: str
    raw: str
    """Its data, as they came."""

    @property
    def data(self) -> Any:
        """Its decoded data."""
        return msgspec.json.decode(self.raw)


class Refused(Exception):
    """The stream was not opened."""

    def __init__(self, status: int, code: str) -> None:
        self.status = status
        self.code = code
        super().__init__(f"{status} {code}")


class EventSource:
    """One open stream. Iterating gives its events until the server ends it."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.headers = answer.headers
        self.comments: list[str] = []
        self.retry_ms: int | None = None
        """Set when the server has told to reconnect."""

    async def __aiter__(self) -> AsyncIterator[Event]:
        fields: dict[str, list[str]] = {}
        async for raw in self._answer.content:
            line = raw.decode().rstrip("\n")
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                if "data" in fields:
                    yield Event(int(fields["id"][-1]), fields["event"][-1], "\n".join(fields["data"]))
                fields = {}
            elif not name:
                self.comments.append(value)
            elif name == "retry":
                self.retry_ms = int(value)
            else:
                fields.setdefault(name, []).append(value)

    async def rest(self) -> list[Event]:
        """Every event until the server ends the stream."""
        return [event async for event in self]


@asynccontextmanager
async def opened(url: str, last: int | None = None, *, by: str = "header") -> AsyncIterator[EventSource]:
    """An open stream of `url`, resumed after the event `last`. Raises `Refused`."""
    headers = {"Last-Event-ID": str(last)} if last is not None and by == "header" else {}
    params = {"last_event_id": str(last)} if last is not None and by == "query" else {}
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
    async with (
        aiohttp.ClientSession(timeout=timeout, read_bufsize=2**24) as session,
        session.get(url, headers=headers, params=params) as answer,
    ):
        if answer.status != 200:
            raise Refused(answer.status, msgspec.json.decode(await answer.read())["code"])
        yield EventSource(answer)


async def read(url: str, last: int | None = None, *, by: str = "header") -> list[Event]:
    """The whole stream, until the server ends it."""
    async with asyncio.timeout(60), opened(url, last, by=by) as source:
        return await source.rest()


def ids(events: list[Event]) -> list[int]:
    """The ids of the events."""
    return [event.id for event in events]


def text(events: list[Event]) -> str:
    """The answer that the deltas add up to."""
    so_far = ""
    for event in events:
        if event.name == "stream.reset":
            so_far = ""
        elif event.name == "text.delta":
            so_far += event.data["text"]
    return so_far
