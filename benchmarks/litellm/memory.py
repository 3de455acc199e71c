"""(d) Resident memory of each gateway, all its processes: just started, and after everything that this run has done."""

from benchmarks.litellm.contrast import Contrast
from benchmarks.litellm.sides import Bench

HOW = (
    "Resident set size, summed over all processes; the note has the proportional shares of LiteLLM and Ringback, which",
    "count shared pages once. After load: Ringback's store then holds a record of every request of this run.",
)


async def measure(bench: Bench) -> list[Contrast]:
    """Reads it."""
    rows: list[Contrast] = []
    for when, memory in (("at rest", bench.at_rest), ("after load", bench.memory())):
        theirs, ours = memory["litellm"], memory["ringback"]
        rows.append(
            Contrast(
                name=f"all, {when}",
                unit="MiB",
                litellm=theirs.resident,
                ringback=ours.resident,
                note=f"shares {theirs.share:.0f}, {ours.share:.0f}",
            )
        )
        rows += [
            Contrast(name=f"  {role}, {when}", unit="MiB", ringback=memory[role].resident) for role in bench.system.pids
        ]
    return rows
