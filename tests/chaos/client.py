"""Good clients: they submit under an idempotency key until they know, and follow streams across every break."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec

from jobs.event import TERMINAL_NAMES
from tests.integration.gateway.eventsource import EventSource

TIMEOUT = aiohttp.ClientTimeout(total=6)
_SILENCE_S = 6.0
"""A stream that is silent for so long is opened again."""


class Told:
    """What one client was told of its job."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ids: set[str] = set()
        """Of the job, by each 202."""
        self.requests = 0
        self.streams = 0
        """How often the stream was opened."""
        self.events: list[tuple[str, str]] = []
        """Names and raw data, in the order in which they came."""
        self.cancelled = False
        """The wish to cancel was taken, or came too late."""
        self.complaints: list[str] = []
        """Whatever no client should ever see."""

    @property
    def job_id(self) -> str:
        """The first of `ids`; there should be no other."""
        return min(self.ids)


class Client:
    """Talks to whichever gateway answers."""

    def __init__(self, session: aiohttp.ClientSession, urls: Sequence[str], seed: str) -> None:
        self._session = session
        self._urls = urls
        self._random = random.Random(seed)

    async def submit(self, told: Told, body: dict[str, Any], key: str) -> None:
        """Submits until there is a 202; now and then once more, as one does who did not get it."""
        accepted = 1 + (self._random.random() < 0.2)
        while accepted:
            told.requests += 1
            answer = await self._post("/v1/jobs", msgspec.json.encode(body), {"idempotency-key": key})
            if answer is not None and answer[0] == 202:
                told.ids.add(answer[1]["id"])
                accepted -= 1
            elif answer is not None and answer[0] not in (429, 503):
                told.complaints.append(f"submit: {answer}")
                return

    async def cancel(self, told: Told) -> None:
        """Asks to cancel until there is an answer."""
        while True:
            answer = await self._post(f"/v1/jobs/{told.job_id}/cancel", b"", {})
            if answer is not None and answer[0] in (202, 409):
                told.cancelled = True
                return
            if answer is not None and answer[0] != 503:
                told.complaints.append(f"cancel: {answer}")
                return

    async def _post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any] | None:
        """Status and document; `None` after a pause if there was no answer, or none for now."""
        url = self._random.choice(self._urls) + path
        headers = {"content-type": "application/json", **headers}
        try:
            async with self._session.post(url, data=body, headers=headers, timeout=TIMEOUT) as answer:
                document = msgspec.json.decode(await answer.read())
                if answer.status in (429, 503):
                    await asyncio.sleep(
                        min(float(answer.headers.get("retry-after", "1")), 2.0) * self._random.uniform(0.5, 1)
                    )
                return answer.status, document
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            await asyncio.sleep(self._random.uniform(0.05, 0.5))
            return None

    async def follow(self, told: Told) -> None:
        """Reads the job's stream to its end, from wherever it broke off."""
        while not (told.events and told.events[-1][0] in TERMINAL_NAMES) and not told.complaints:
            try:
                await self._stream(told)
            except (aiohttp.ClientError, TimeoutError, ConnectionError):
                await asyncio.sleep(self._random.uniform(0.05, 0.5))

    async def _stream(self, told: Told) -> None:
        last = len(told.events)
        headers = {"last-event-id": str(last)} if last else {}
        url = f"{self._random.choice(self._urls)}/v1/jobs/{told.job_id}/events"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=2, sock_read=_SILENCE_S)
        told.streams += 1
        async with self._session.get(url, headers=headers, timeout=timeout) as answer:
            if answer.status == 503:
                await asyncio.sleep(0.3)
            elif answer.status != 200:
                told.complaints.append(f"stream after {last}: {answer.status} {await answer.text()}")
            else:
                async for event in EventSource(answer):
                    if event.id != len(told.events) + 1:
                        told.complaints.append(f"stream: event {event.id} came after {len(told.events)}")
                        return
                    told.events.append((event.name, event.raw))
