"""The load generator: calls made directly to the upstream and through Ringback, with one and the same HTTP client."""

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import aiohttp
import msgspec

from benchmarks.children import Failed
from benchmarks.inbox import Inbox

PROMPT = "Say something about a quick brown fox."
_LIMIT_S = 30.0
FIRST_TOKEN = re.compile(rb'"content": ?"[^"]')
"""In a streamed chat completion."""
_FIRST_DELTA = re.compile(rb"event: text\.delta\ndata: .+\n\n")
_SUCCEEDED = b"event: job.succeeded\n"


class Timing(NamedTuple):
    """One call: seconds from its beginning; nan for what it does not have."""

    accepted: float = math.nan
    """To the 202."""
    first: float = math.nan
    """To the first text."""
    whole: float = math.nan
    """To the whole result."""


Call = Callable[[float], Awaitable[Timing]]
"""Makes one call that began, or should have begun, at that `time.monotonic()`."""


class Batch(NamedTuple):
    """Calls that were made together."""

    timings: Sequence[Timing]
    ends: Sequence[float]
    """When each ended, in seconds from the beginning of the batch."""
    seconds: float
    """How long new calls were made."""

    def rate(self, *, after_s: float = 0.0) -> float:
        """Calls that ended a second, not counting the first `after_s` seconds."""
        return sum(after_s <= end < self.seconds for end in self.ends) / (self.seconds - after_s)


class Callers:
    """Whoever calls. Use as an async context manager."""

    def __init__(self, upstream_url: str, gateway_url: str) -> None:
        """Base URLs, without a slash at the end."""
        self._upstream = upstream_url
        self._gateway = gateway_url
        self._inbox = Inbox()

    async def __aenter__(self) -> "Callers":
        """Opens the HTTP client and the inbox for callbacks."""
        self._session = opened_session()
        await self._inbox.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes both."""
        await self._session.close()
        await self._inbox.close()

    def direct(self, model: str) -> Call:
        """Asks the upstream itself, streamed."""
        body = _json(model=model, messages=[{"role": "user", "content": PROMPT}], stream=True)
        url = f"{self._upstream}/v1/chat/completions"

        async def call(began: float) -> Timing:
            async with self._session.post(url, data=body) as response:
                await expect(response, 200)
                first = await until(response, FIRST_TOKEN)
            return Timing(first=first - began, whole=time.monotonic() - began)

        return call

    def called_back(self, model: str) -> Call:
        """Submits a job and waits for its callback."""

        async def call(began: float) -> Timing:
            url, arrival = self._inbox.expect()
            await self._submit(model, callback={"url": url})
            accepted = time.monotonic()
            try:
                async with asyncio.timeout(_LIMIT_S):
                    return Timing(accepted=accepted - began, whole=await arrival - began)
            except TimeoutError:
                raise Failed(f"no callback within {_LIMIT_S:g} s of a submission") from None

        return call

    def streamed(self, model: str, *, fallbacks: Sequence[str] = ()) -> Call:
        """Submits a job and follows its events."""
        others = [f"openai/{fallback}" for fallback in fallbacks]

        async def call(began: float) -> Timing:
            job_id = await self._submit(model, fallbacks=others)
            accepted = time.monotonic()
            async with self._session.get(f"{self._gateway}/v1/jobs/{job_id}/events") as response:
                await expect(response, 200)
                first = await until(response, _FIRST_DELTA, last=_SUCCEEDED)
            return Timing(accepted=accepted - began, first=first - began, whole=time.monotonic() - began)

        return call

    async def held(self) -> int:
        """How many requests the upstream is answering right now."""
        async with self._session.get(self._upstream) as response:
            return int(await response.read())

    async def _submit(self, model: str, **more: Any) -> str:
        body = _json(type="generate", input={"prompt": PROMPT}, model=f"openai/{model}", **more)
        async with self._session.post(f"{self._gateway}/v1/jobs", data=body) as response:
            await expect(response, 202)
            await response.read()
            return response.headers["location"].rpartition("/")[2]


def opened_session() -> aiohttp.ClientSession:
    """The one HTTP client, without a limit of connections; to be closed."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60.0),
        timeout=aiohttp.ClientTimeout(total=_LIMIT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"content-type": "application/json", "accept-encoding": "identity"},
        auto_decompress=False,
    )


async def closed_loop(call: Call, *, callers: int, seconds: float, spread_s: float = 0.0) -> Batch:
    """So many callers, each of whom calls again as soon as it has its result, for so many seconds.

    `spread_s`: over how many seconds their beginnings are spread.
    """
    began = time.monotonic()
    timings: list[Timing] = []
    ends: list[float] = []

    async def caller(number: int) -> None:
        await asyncio.sleep(spread_s * number / callers)
        while (now := time.monotonic()) < began + seconds:
            timings.append(await call(now))
            ends.append(time.monotonic() - began)

    async with asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(caller(number))
    return Batch(timings, ends, seconds)


async def open_loop(call: Call, *, rate: float, seconds: float) -> Batch:
    """Calls at a steady rate, whatever becomes of those before: a slow answer delays no later call.

    Times count from when a call was due, so a late generator cannot make them look better.
    """
    began = time.monotonic()
    timings: list[Timing] = []
    ends: list[float] = []

    async def make(due: float) -> None:
        timings.append(await call(due))
        ends.append(time.monotonic() - began)

    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(make(due))
    return Batch(timings, ends, seconds)


def _json(**fields: Any) -> bytes:
    return msgspec.json.encode(fields)


async def expect(response: aiohttp.ClientResponse, status: int) -> None:
    """Raises `Failed` with the beginning of the answer if it has another status."""
    if response.status != status:
        raise Failed(f"{response.method} {response.url.path}: {response.status} {(await response.text())[:300]}")


async def until(response: aiohttp.ClientResponse, first: re.Pattern[bytes], *, last: bytes = b"[DONE]") -> float:
    """Reads the whole answer, which must hold `last`; when what is looked for `first` had come."""
    seen, at = b"", math.nan
    async for chunk in response.content.iter_any():
        seen += chunk
        if math.isnan(at) and first.search(seen):
            at = time.monotonic()
    if math.isnan(at) or last not in seen:
        raise Failed(f"{response.url.path} ended with {seen[-300:].decode(errors='replace')}")
    return at
