"""(f) From `ringback up` to its ready line, with an empty data directory."""

from benchmarks import system
from benchmarks.figures import Row, Target, median
from benchmarks.scale import Scale

HOW = ("Median; a first start, not counted, leaves its modules compiled and in the file cache.",)

_LIMIT_S = 4.0


async def measure(scale: Scale, upstream_url: str) -> list[Row]:
    """Starts and stops it again and again."""
    seconds: list[float] = []
    for _ in range(scale.cold_starts + scale.starts):
        async with system.running(upstream_url) as started:
            seconds.append(started.ready_s)
    counted = seconds[scale.cold_starts :]
    note = f"{min(counted):.2f} to {max(counted):.2f}, n={len(counted)}"
    return [Row(name="to ready", value=median(counted), unit="s", target=Target(at_most=_LIMIT_S), note=note)]
