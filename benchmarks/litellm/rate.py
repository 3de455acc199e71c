"""(c) Whole answers a second, as fast as they go on an instant upstream, and the CPU that each takes."""

import msgspec

from benchmarks import upstream
from benchmarks.callers import closed_loop
from benchmarks.figures import Target, median
from benchmarks.litellm.contrast import Contrast
from benchmarks.litellm.sides import SIDES, Bench, Name

HOW = (
    "Not streamed, instant upstream, closed loop, until the last answer. best: each gateway's best number of callers.",
    "CPU: of all processes of a gateway for one request. Upstream and load generator use the same cores: see direct.",
)

_RATE = Target(at_least=3.0)


class _Load(msgspec.Struct, frozen=True, kw_only=True):
    rate: float
    """Requests a second."""
    cpu_ms: float
    """For one request."""


async def measure(bench: Bench) -> list[Contrast]:
    """The sides take turns, with each number of callers."""
    found: dict[int, dict[Name, list[_Load]]] = {}
    for callers in bench.scale.at_once:
        found[callers] = {side: [] for side in SIDES}
        async for side in bench.turns():
            found[callers][side].append(await _load(bench, side, callers))
    rates = {callers: _medians(sides) for callers, sides in found.items()}
    best = {side: max(of[side] for of in rates.values()) for side in SIDES}
    busiest = found[bench.scale.at_once[-1]]
    cpu = {side: median(load.cpu_ms for load in loads) for side, loads in busiest.items()}
    return [
        *(_row(f"{callers} callers", of) for callers, of in rates.items()),
        _row("best", best, _RATE),
        Contrast(name="CPU for a request", unit="ms", litellm=cpu["litellm"], ringback=cpu["ringback"]),
    ]


def _medians(sides: dict[Name, list[_Load]]) -> dict[Name, float]:
    return {side: median(load.rate for load in loads) for side, loads in sides.items()}


def _row(name: str, of: dict[Name, float], target: Target | None = None) -> Contrast:
    return Contrast(
        name=name,
        unit="/s",
        direct=of["direct"],
        litellm=of["litellm"],
        ringback=of["ringback"],
        additive=False,
        target=target,
    )


async def _load(bench: Bench, side: Name, callers: int) -> _Load:
    before = bench.cpu_s(side)
    batch = await closed_loop(bench.whole(side, upstream.INSTANT), callers=callers, seconds=bench.scale.rate_s)
    used = bench.cpu_s(side) - before
    # To the end of the last: a gateway that answers in long waves would gain or lose one at the end of any other time.
    return _Load(rate=len(batch.ends) / max(batch.ends), cpu_ms=used / len(batch.ends) * 1000)
