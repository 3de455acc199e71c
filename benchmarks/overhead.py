"""(b) What Ringback adds to a call: until the callback has arrived, and until the first text arrives over SSE."""

from benchmarks import upstream
from benchmarks.bench import Bench
from benchmarks.callers import Batch
from benchmarks.figures import Row, in_ms

HOW = (
    "Each of N callers calls again as soon as it has its result. Direct: the same upstream, streamed, same client.",
    "paced: 200 ms to the first token, the whole in 500 ms. instant: no delay at all, so that many callers wait for",
    "the machine, not for the model. Overhead: p50 less p50, p99 less p99.",
)

_CALLBACK_P50, _CALLBACK_P99 = 8.0, 20.0
_FIRST_P50 = {1: 8.0, 50: 25.0}


async def measure(bench: Bench) -> list[Row]:
    """Direct, called back and streamed take turns, for each upstream and number of callers."""
    rows: list[Row] = []
    for model, seconds in ((upstream.PACED, bench.scale.paced_s), (upstream.INSTANT, bench.scale.instant_s)):
        for callers in bench.scale.callers:
            rows += await _compare(bench, model, callers, seconds)
    return rows


async def _compare(bench: Bench, model: str, callers: int, seconds: float) -> list[Row]:
    direct: list[Batch] = []
    called_back: list[Batch] = []
    streamed: list[Batch] = []
    kinds = (
        (direct, bench.callers.direct(model)),
        (called_back, bench.callers.called_back(model)),
        (streamed, bench.callers.streamed(model)),
    )
    # Callers that all begin at the same moment would stay together for the whole batch.
    spread_s = 0.5 if model == upstream.PACED and callers > 1 else 0.0
    for _ in range(bench.scale.rounds):
        for batches, call in kinds:
            batches.append(await bench.batch(call, callers=callers, seconds=seconds, spread_s=spread_s))
    low = callers == 1
    # More callers than one on an instant upstream are a queue for the machine, as long as there are callers.
    queued = model == upstream.INSTANT and not low
    return [
        *in_ms(
            f"{model}, {callers} at once: callback",
            [[timing.whole for timing in batch.timings] for batch in called_back],
            [[timing.whole for timing in batch.timings] for batch in direct],
            p50=_CALLBACK_P50 if low else None,
            p99=_CALLBACK_P99 if low else None,
        ),
        *in_ms(
            f"{model}, {callers} at once: first SSE delta",
            [[timing.first for timing in batch.timings] for batch in streamed],
            [[timing.first for timing in batch.timings] for batch in direct],
            p50=None if queued else _FIRST_P50.get(callers),
        ),
    ]
