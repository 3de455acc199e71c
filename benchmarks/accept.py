"""(a) How long `POST /v1/jobs` takes to answer 202: one job at a time, and at 100 jobs a second."""

import asyncio

from benchmarks import upstream
from benchmarks.bench import Bench
from benchmarks.callers import Batch, open_loop
from benchmarks.figures import Row, in_ms

RATE = 100.0
HOW = (
    "The whole job runs each time, callback included, on an upstream that answers at once.",
    "One at a time: the next job is submitted when the one before has called back. At 100/s: whatever happens.",
    "Direct: the whole call to that upstream, one at a time.",
)


async def measure(bench: Bench) -> list[Row]:
    """Direct calls, jobs one at a time and jobs at a steady rate take turns."""
    direct: list[Batch] = []
    single: list[Batch] = []
    steady: list[Batch] = []
    for _ in range(bench.scale.rounds):
        direct.append(
            await bench.batch(bench.callers.direct(upstream.INSTANT), callers=1, seconds=bench.scale.instant_s)
        )
        call = bench.callers.called_back(upstream.INSTANT)
        single.append(await bench.batch(call, callers=1, seconds=bench.scale.instant_s))
        await asyncio.sleep(bench.scale.breath_s)
        steady.append(await open_loop(call, rate=RATE, seconds=bench.scale.paced_s))
    beside = [[timing.whole for timing in batch.timings] for batch in direct]

    def rows(name: str, batches: list[Batch]) -> list[Row]:
        accepted = [[timing.accepted for timing in batch.timings] for batch in batches]
        return in_ms(name, accepted, beside, additive=False)

    return [*rows("202, one at a time", single), *rows(f"202, at {RATE:g}/s", steady)]
