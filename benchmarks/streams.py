"""(d) Streams held by one gateway: are all of them served in full, how late is each event, what does it cost."""

import math

import msgspec

from benchmarks.bench import Bench
from benchmarks.children import child
from benchmarks.figures import Row, Target, median

HOW = (
    "20 events/s on each stream, appended by a process that holds the jobs under real claims (jobs.store), so that the",
    "gateway and the store are all that is measured: worker and upstream idle. Late: from append to receipt.",
    "Served: streams that got every event in order, and the end.",
)

RATE = 20.0
_DELIVERY_P99 = {1000: 25.0}
_GRACE_S = 20.0


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the appender is told first."""

    store_url: str
    streams: int
    rate: float
    """Events a second on each."""
    per_stream: int
    """Events on each."""


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """What the appender did."""

    seconds: float
    """How long it took."""


class Following(msgspec.Struct, frozen=True, kw_only=True):
    """What the follower is told."""

    gateway_url: str
    job_ids: list[str]
    per_stream: int
    """Events to expect on each."""
    limit_s: float
    """After so many seconds it tells what has come until then."""


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """What the follower received."""

    whole: int
    """Streams that got every event in order, and the end."""
    p50_ms: float
    p99_ms: float


class _Run(msgspec.Struct, frozen=True, kw_only=True):
    rate: float
    """Events a second on each stream, as it really was."""
    followed: Followed
    cpu: dict[str, float]
    """Cores in use by each role."""


async def measure(bench: Bench) -> list[Row]:
    """All numbers of streams in each round."""
    runs: dict[int, list[_Run]] = {streams: [] for streams in bench.scale.streams}
    for _ in range(bench.scale.rounds):
        for streams, found in runs.items():
            found.append(await _run(bench, streams))
    return [row for streams, found in runs.items() for row in _rows(streams, found)]


async def _run(bench: Bench, streams: int) -> _Run:
    seconds = bench.scale.streams_s
    per_stream = int(RATE * seconds)
    async with child("appender") as appender, child("follower") as follower:
        told = Told(store_url=bench.system.store_url, streams=streams, rate=RATE, per_stream=per_stream)
        following = Following(
            gateway_url=bench.system.url,
            job_ids=await appender.ask(told),
            per_stream=per_stream,
            limit_s=seconds + _GRACE_S,
        )
        await follower.ask(following)
        before = bench.system.cpu_s()
        appended = msgspec.convert(await appender.ask("go"), Appended)
        after = bench.system.cpu_s()
        appender.tell("end")
        followed = msgspec.convert(await follower.read(), Followed)
    cpu = {role: (after[role] - before[role]) / appended.seconds for role in after}
    return _Run(rate=per_stream / appended.seconds, followed=followed, cpu=cpu)


def _rows(streams: int, runs: list[_Run]) -> list[Row]:
    name = f"{streams} streams"
    limit = _DELIVERY_P99.get(streams)
    rows = [
        Row(
            name=f"{name}: served",
            value=min(run.followed.whole for run in runs),
            unit="",
            target=Target(at_least=float(streams)),
            note=f"{median(run.rate for run in runs):.1f} events/s",
        ),
        Row(name=f"{name}: late, p50", value=median(run.followed.p50_ms for run in runs), unit="ms"),
        Row(
            name=f"{name}: late, p99",
            value=median(run.followed.p99_ms for run in runs),
            unit="ms",
            target=Target(at_most=limit) if limit else None,
        ),
    ]
    for role in ("gateway", "store"):
        used = median(run.cpu.get(role, math.nan) for run in runs)
        rows.append(Row(name=f"{name}: CPU of the {role}", value=used, unit="cores"))
    return rows
