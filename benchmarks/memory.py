"""(e) Resident memory of each role: just started, and after everything that this run has done to it."""

from benchmarks import usage
from benchmarks.bench import Bench
from benchmarks.figures import Row, Target

HOW = (
    "Resident set size; after it, as a note, the proportional share, which divides pages shared with other processes.",
    "At rest: ready, before the first job. After load: at the end of this run.",
)

_AT_REST = {"gateway": 90.0, "worker": 150.0}


async def measure(bench: Bench) -> list[Row]:
    """Reads it."""
    rows: list[Row] = []
    for role, pid in bench.system.pids.items():
        rows.append(_row(f"{role}, at rest", bench.at_rest[role], _AT_REST.get(role)))
        rows.append(_row(f"{role}, after load", usage.resident(pid), None))
    return rows


def _row(name: str, resident: tuple[float, float], limit: float | None) -> Row:
    rss, pss = resident
    target = None if limit is None else Target(at_most=limit)
    return Row(name=name, value=rss, unit="MiB", target=target, note=f"share {pss:.1f}")
