"""(b) What each gateway adds until the first text of a streamed answer."""

from benchmarks import upstream
from benchmarks.litellm.contrast import Contrast, in_ms
from benchmarks.litellm.sides import SIDES, Bench

HOW = (
    "As (a), streamed, to the first piece of text. paced: 200 ms to the first of 13 pieces, the whole in 500 ms.",
    "instant: one caller only; many would be a queue for the machine.",
)


async def measure(bench: Bench) -> list[Contrast]:
    """For each number of callers; one caller also on the instant upstream."""
    loads = [(upstream.INSTANT, 1, bench.scale.instant_s[1])]
    loads += [(upstream.PACED, callers, seconds) for callers, seconds in bench.scale.paced_s.items()]
    rows: list[Contrast] = []
    for model, callers, seconds in loads:
        found = await bench.batches("streamed", model, callers=callers, seconds=seconds)
        samples = {side: [[timing.first for timing in batch.timings] for batch in found[side]] for side in SIDES}
        rows += in_ms(f"{model}, {callers} at once", samples)
    return rows
