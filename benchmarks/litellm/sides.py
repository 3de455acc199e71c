"""The three sides of a comparison, and who calls them: the OpenAI protocol, the same client and the same bytes for all.

`direct` is the upstream itself: what it takes is not of any gateway.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping
from typing import Literal

import aiohttp
import msgspec

from benchmarks import upstream, usage
from benchmarks.callers import FIRST_TOKEN, PROMPT, Batch, Call, Timing, closed_loop, expect, until
from benchmarks.children import Failed
from benchmarks.litellm.proxy import Proxy
from benchmarks.litellm.scale import Scale
from benchmarks.system import System

Name = Literal["direct", "litellm", "ringback"]
Kind = Literal["whole", "streamed"]
SIDES: tuple[Name, ...] = ("direct", "litellm", "ringback")
GATEWAYS: tuple[Name, ...] = ("litellm", "ringback")


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Resident memory of what runs on one side, in MiB."""

    resident: float
    share: float
    """Proportional: pages shared between processes divided among them."""

    @classmethod
    def of(cls, pids: list[int]) -> "Memory":
        """Of these processes together; nan where it cannot be told."""
        found = [usage.resident(pid) for pid in pids]
        return cls(resident=sum(rss for rss, _ in found), share=sum(share for _, share in found))


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """Both gateways, running, and whoever calls them."""

    scale: Scale
    upstream_url: str
    proxy: Proxy
    system: System
    session: aiohttp.ClientSession
    starts: Mapping[Name, list[float]] = {}
    """Seconds that each gateway took until it was ready, each time."""
    at_rest: Mapping[str, Memory] = {}
    """Of each gateway, and of each of Ringback's roles, before the first request."""

    def call(self, kind: Kind, side: Name, model: str) -> Call:
        """Asks for an answer of that kind."""
        return self.whole(side, model) if kind == "whole" else self.streamed(side, model)

    def whole(self, side: Name, model: str) -> Call:
        """Asks for an answer that is not streamed."""
        body = _body(side, model, stream=False)
        expected = upstream.ANSWER.encode()

        async def call(began: float) -> Timing:
            async with self.session.post(self._url(side), data=body) as response:
                await expect(response, 200)
                answer = await response.read()
            whole = time.monotonic() - began
            if expected not in answer:
                raise Failed(f"{side} answered {answer[:300].decode(errors='replace')}")
            return Timing(whole=whole)

        return call

    def streamed(self, side: Name, model: str) -> Call:
        """Asks for a streamed answer."""
        body = _body(side, model, stream=True)

        async def call(began: float) -> Timing:
            async with self.session.post(self._url(side), data=body) as response:
                await expect(response, 200)
                first = await until(response, FIRST_TOKEN)
            return Timing(first=first - began, whole=time.monotonic() - began)

        return call

    async def turns(self) -> AsyncIterator[Name]:
        """Every side in every round, each after a breath; who begins changes from round to round."""
        for turn in range(self.scale.rounds):
            first = turn % len(SIDES)
            for side in (*SIDES[first:], *SIDES[:first]):
                await asyncio.sleep(self.scale.breath_s)
                yield side

    async def batches(self, kind: Kind, model: str, *, callers: int, seconds: float) -> dict[Name, list[Batch]]:
        """A closed loop of such calls on each side in each round."""
        # Callers that all begin at the same moment would stay together for the whole batch.
        spread_s = 0.5 if model != upstream.INSTANT and callers > 1 else 0.0
        found: dict[Name, list[Batch]] = {side: [] for side in SIDES}
        async for side in self.turns():
            call = self.call(kind, side, model)
            found[side].append(await closed_loop(call, callers=callers, seconds=seconds, spread_s=spread_s))
        return found

    def cpu_s(self, side: Name) -> float:
        """CPU time that all processes of that gateway have used so far, in seconds."""
        if side == "direct":
            return math.nan
        return sum(usage.cpu_s(pid) for pid in self._pids(side))

    def memory(self) -> dict[str, Memory]:
        """Of each gateway and of each of Ringback's roles, now."""
        whole = {side: Memory.of(self._pids(side)) for side in GATEWAYS}
        return whole | {role: Memory.of([pid]) for role, pid in self.system.pids.items()}

    def _pids(self, side: Name) -> list[int]:
        return list(self.system.pids.values()) if side == "ringback" else usage.tree(self.proxy.pid)

    def _url(self, side: Name) -> str:
        base = {"direct": self.upstream_url, "litellm": self.proxy.url, "ringback": self.system.url}[side]
        return f"{base}/v1/chat/completions"


def _body(side: Name, model: str, *, stream: bool) -> bytes:
    """The request; both gateways are sent the same."""
    known = model if side == "direct" else f"openai/{model}"
    document = {"model": known, "messages": [{"role": "user", "content": PROMPT}], "stream": stream}
    return msgspec.json.encode(document)
