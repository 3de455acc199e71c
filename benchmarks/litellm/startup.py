"""(e) From the start of each gateway until it says that it is ready."""

from benchmarks.figures import median
from benchmarks.litellm.contrast import Contrast
from benchmarks.litellm.sides import Bench

HOW = (
    "Median; modules compiled, files cached. LiteLLM: its own readiness, asked for every 20 ms. Ringback: its ready",
    "line, with an empty data directory. One after the other, before any load.",
)


async def measure(bench: Bench) -> list[Contrast]:
    """Looks at how long they took."""
    theirs, ours = bench.starts["litellm"], bench.starts["ringback"]
    note = f"{_span(theirs)}; {_span(ours)}; n={len(ours)}"
    return [Contrast(name="to ready", unit="s", litellm=median(theirs), ringback=median(ours), note=note)]


def _span(seconds: list[float]) -> str:
    return f"{min(seconds):.1f} to {max(seconds):.1f}"
