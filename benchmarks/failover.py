"""(h) What it costs when the first target refuses: until the first text of the next one, over SSE."""

from benchmarks import upstream
from benchmarks.bench import Bench
from benchmarks.callers import Batch
from benchmarks.figures import Row, in_ms

HOW = (
    "Each of N callers streams again as soon as it has its result. Direct: the same job whose first target answers.",
    "The overhead is the refused call itself (an instant 403) and the way to the next target.",
)
_P50 = _P99 = 20.0


async def measure(bench: Bench) -> list[Row]:
    """Both take turns, for each number of callers."""
    rows: list[Row] = []
    plain = bench.callers.streamed(upstream.PACED)
    refused = bench.callers.streamed(upstream.REFUSING, fallbacks=(upstream.PACED,))
    for callers in bench.scale.callers:
        with_refusal: list[Batch] = []
        without: list[Batch] = []
        for _ in range(bench.scale.rounds):
            for batches, call in ((with_refusal, refused), (without, plain)):
                batches.append(
                    await bench.batch(call, callers=callers, seconds=bench.scale.paced_s, spread_s=0.5 * (callers > 1))
                )
        rows += in_ms(
            f"{callers} at once: first SSE delta of the next target",
            [[timing.first for timing in batch.timings] for batch in with_refusal],
            [[timing.first for timing in batch.timings] for batch in without],
            p50=_P50,
            p99=_P99 if callers == 1 else None,
        )
    return rows
