"""What every measurement is given."""

import asyncio

import msgspec

from benchmarks.callers import Batch, Call, Callers, closed_loop
from benchmarks.scale import Scale
from benchmarks.system import System


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """A running Ringback, its upstream, and whoever calls them."""

    scale: Scale
    upstream_url: str
    system: System
    callers: Callers
    at_rest: dict[str, tuple[float, float]]
    """Memory of each role before the first job, as `usage.resident` gives it."""

    async def batch(self, call: Call, *, callers: int, seconds: float, spread_s: float = 0.0) -> Batch:
        """A closed loop, after a breath."""
        await asyncio.sleep(self.scale.breath_s)
        return await closed_loop(call, callers=callers, seconds=seconds, spread_s=spread_s)
