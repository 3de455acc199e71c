"""(c) Whole jobs a second, from submit to callback received: as fast as they go, and held up by a slow upstream."""

import asyncio
import time

import msgspec

from benchmarks import upstream
from benchmarks.bench import Bench
from benchmarks.callers import Call
from benchmarks.figures import Row, Target, median

HOW = (
    "Closed loop: a caller submits its next job when the callback of the one before has arrived.",
    "In flight: requests that the upstream holds, as it counts them itself.",
    "CPU: of each role for one job, all in all, at that load.",
)

_JOBS_S, _SLOW_JOBS_S, _IN_FLIGHT = 250.0, 190.0, 200.0
_SAMPLE_S = 0.1


async def measure(bench: Bench) -> list[Row]:
    """Direct and through Ringback take turns, for each upstream."""
    at_once, in_flight = bench.scale.at_once, bench.scale.in_flight
    fast = await _compare(bench, upstream.INSTANT, callers=at_once)
    slow = await _compare(bench, upstream.SLOW, callers=in_flight)
    cpu = {role: median(load.cpu_ms[role] for load in fast.ours) for role in bench.system.pids}
    return [
        _rate(f"instant, {at_once} callers: jobs", fast, _JOBS_S),
        *(Row(name=f"instant: CPU of the {role} for a job", value=cpu[role], unit="ms") for role in cpu),
        _rate(f"1 s, {in_flight} callers: jobs", slow, _SLOW_JOBS_S),
        Row(
            name=f"1 s, {in_flight} callers: in flight",
            value=median(load.held for load in slow.ours),
            unit="",
            direct=median(load.held for load in slow.direct),
            additive=False,
            target=Target(at_least=_IN_FLIGHT),
        ),
    ]


def _rate(name: str, compared: "_Comparison", least: float) -> Row:
    return Row(
        name=name,
        value=median(load.rate for load in compared.ours),
        unit="/s",
        direct=median(load.rate for load in compared.direct),
        additive=False,
        target=Target(at_least=least),
    )


class _Load(msgspec.Struct, frozen=True, kw_only=True):
    rate: float
    """Calls a second."""
    held: float
    """Requests at the upstream, median over time."""
    cpu_ms: dict[str, float]
    """Of each role for one job."""


class _Comparison(msgspec.Struct, frozen=True, kw_only=True):
    ours: list[_Load]
    direct: list[_Load]


async def _compare(bench: Bench, model: str, *, callers: int) -> _Comparison:
    found = _Comparison(ours=[], direct=[])
    for _ in range(bench.scale.rounds):
        found.direct.append(await _load(bench, bench.callers.direct(model), callers))
        found.ours.append(await _load(bench, bench.callers.called_back(model), callers))
    return found


async def _load(bench: Bench, call: Call, callers: int) -> _Load:
    ramp_s, seconds = bench.scale.ramp_s, bench.scale.ramp_s + bench.scale.throughput_s
    before = bench.system.cpu_s()
    sampling = asyncio.create_task(_held(bench, ramp_s, seconds))
    # Callers that begin within half of the ramp have all come round once when it is over.
    batch = await bench.batch(call, callers=callers, seconds=seconds, spread_s=ramp_s / 2)
    held = await sampling
    after = bench.system.cpu_s()
    jobs = max(1, len(batch.timings))
    return _Load(
        rate=batch.rate(after_s=ramp_s),
        held=median(held),
        cpu_ms={role: (after[role] - before[role]) / jobs * 1000 for role in after},
    )


async def _held(bench: Bench, ramp_s: float, seconds: float) -> list[int]:
    """What the upstream holds, again and again, from the end of the ramp on."""
    end = time.monotonic() + seconds
    found: list[int] = []
    await asyncio.sleep(ramp_s)
    while time.monotonic() < end:
        found.append(await bench.callers.held())
        await asyncio.sleep(_SAMPLE_S)
    return found
