"""(a) What each gateway adds to a whole answer, on an instant upstream and on one that takes half a second."""

from benchmarks import upstream
from benchmarks.figures import Target
from benchmarks.litellm.contrast import Contrast, in_ms
from benchmarks.litellm.sides import SIDES, Bench

HOW = (
    "Not streamed. Each of N callers calls again as soon as it has its answer. adds: more than a direct call, p50 less",
    "p50 and p99 less p99. ratio: what Ringback adds by what LiteLLM adds. instant: no delay, so many callers wait for",
    "the machine; half: 500 ms, so that calls overlap as on a model. n: of direct, LiteLLM, Ringback.",
)

_P50 = {1: Target(at_most=1.0), 50: Target(at_most=1 / 3)}
"""What the ratio of the medians is to reach, by callers."""


async def measure(bench: Bench) -> list[Contrast]:
    """For each upstream and number of callers."""
    rows: list[Contrast] = []
    for model, batches_s in ((upstream.INSTANT, bench.scale.instant_s), (upstream.HALF, bench.scale.half_s)):
        for callers, seconds in batches_s.items():
            found = await bench.batches("whole", model, callers=callers, seconds=seconds)
            samples = {side: [[timing.whole for timing in batch.timings] for batch in found[side]] for side in SIDES}
            rows += in_ms(f"{model}, {callers} at once", samples, p50=_P50.get(callers))
    return rows
