"""Talking to a Ringback: sessions, turns, and what comes back."""

import asyncio
from typing import Any

import aiohttp
import msgspec

from tests.integration.gateway.eventsource import Event, EventSource
from tests.stack import request


def session(url: str, **fields: Any) -> str:
    """A new session's id."""
    reply = request(f"{url}/v1/sessions", method="POST", body=fields)
    assert reply.status == 201, reply.body
    made: str = reply.json["id"]
    return made


def history(url: str, session_id: str) -> list[tuple[str, str]]:
    """Who said what."""
    reply = request(f"{url}/v1/sessions/{session_id}/history")
    assert reply.status == 200, reply.body
    return [(item["role"], item["text"]) for item in reply.json["items"]]


class Turn:
    """A turn that is over, as it was streamed."""

    def __init__(self, events: list[Event], job_id: str) -> None:
        self.events = events
        self.job_id = job_id
        self.names = [event.name for event in events]
        self.job: dict[str, Any] = events[-1].data
        assert [event.id for event in events] == list(range(1, len(events) + 1))
        assert self.job["id"] == job_id

    def data(self, name: str) -> list[dict[str, Any]]:
        """The data of all events of that name."""
        return [event.data for event in self.events if event.name == name]

    @property
    def sentences(self) -> list[str]:
        """Those of the output."""
        return [sentence["text"].strip() for sentence in self.job["output"]["sentences"]]


async def take(
    url: str,
    session_id: str,
    *,
    by: str = "text",
    json: Any = None,
    data: Any = None,
    headers: dict[str, str] | None = None,
    params: dict[str, str] | None = None,
) -> Turn:
    """Takes a turn and streams it to its end."""
    timeout = aiohttp.ClientTimeout(total=60)
    sent = {"accept": "text/event-stream", **(headers or {})}
    async with (
        aiohttp.ClientSession(timeout=timeout, read_bufsize=2**24) as client,
        client.post(
            f"{url}/v1/sessions/{session_id}/{by}", json=json, data=data, headers=sent, params=params
        ) as answer,
    ):
        assert answer.status == 200, await answer.read()
        return Turn(await EventSource(answer).rest(), answer.headers["ringback-job-id"])


async def together(*turns: Any) -> list[Turn]:
    """Turns that are taken at the same time."""
    return list(await asyncio.gather(*turns))


def encoded(value: Any) -> bytes:
    """As it goes over the wire."""
    return msgspec.json.encode(value)
