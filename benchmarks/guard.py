"""(g) What guarding costs a callback: the guarded session against a plain one, posting to the same loopback server."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import aiohttp

from benchmarks.figures import Row, in_ms
from benchmarks.inbox import Inbox
from benchmarks.scale import Scale
from jobs.addresses import AddressPolicy
from jobs.settings import Settings
from workers.destinations.guard import guarded_session

HOW = (
    "One POST of 1 KiB at a time, guarded and plain in turns. new: each on a connection of its own, to a name that is",
    "looked up for it; kept: all on one connection.",
)

_BODY = b'{"type":"job.succeeded"' + b" " * 1000 + b"}"
_LIMIT_MS = 1.0
_ALLOW = ("127.0.0.0/8", "::1")

Way = TypeVar("Way")
Opener = Callable[[], aiohttp.ClientSession]


async def measure(scale: Scale) -> list[Row]:
    """Pairs of posts, for as long as a batch to an instant upstream takes."""
    policy = AddressPolicy.of(Settings(callback_allow=_ALLOW))
    openers: tuple[Opener, Opener] = (lambda: guarded_session(policy, total_s=20), aiohttp.ClientSession)
    inbox = Inbox()
    await inbox.start()
    try:
        new = [await _pairs(partial(_post_anew, inbox), openers, scale.instant_s) for _ in range(scale.rounds)]
        async with openers[0]() as guarded, openers[1]() as plain:
            kept = [await _pairs(partial(_post, inbox), (guarded, plain), scale.instant_s) for _ in range(scale.rounds)]
    finally:
        await inbox.close()
    return [
        *in_ms("new connection", [ours for ours, _ in new], [direct for _, direct in new], p50=_LIMIT_MS),
        *in_ms("kept connection", [ours for ours, _ in kept], [direct for _, direct in kept], p50=_LIMIT_MS),
    ]


async def _pairs(
    post: Callable[[Way], Awaitable[float]], ways: tuple[Way, Way], seconds: float
) -> tuple[list[float], list[float]]:
    """The seconds that each post took, for each of two ways; which goes first alternates."""
    taken: tuple[list[float], list[float]] = ([], [])
    ends = time.monotonic() + seconds
    for turn in itertools.count():
        if turn > 1 and time.monotonic() > ends:
            break
        for which in (turn % 2, 1 - turn % 2):
            taken[which].append(await post(ways[which]))
    return taken


async def _post_anew(inbox: Inbox, opened: Opener) -> float:
    async with opened() as session:
        return await _post(inbox, session, host="localhost")


async def _post(inbox: Inbox, session: aiohttp.ClientSession, host: str = "127.0.0.1") -> float:
    url, arrived = inbox.expect()
    began = time.perf_counter()
    async with session.post(url.replace("127.0.0.1", host), data=_BODY) as answer:
        await answer.read()
    took = time.perf_counter() - began
    async with asyncio.timeout(20):
        await arrived
    return took
