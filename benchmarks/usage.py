"""What processes consume, as Linux tells it in /proc; elsewhere there are no such numbers (nan)."""

import math
import os
import re
from pathlib import Path

_MIB = 1024.0
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU time that the process has used so far, all threads, in seconds."""
    text = _read(pid, "stat")
    if not text:
        return math.nan
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def busy_s() -> float:
    """CPU time that all processes of the machine have used so far, in seconds."""
    try:
        first = Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0]
    except OSError:
        return math.nan
    user, nice, system, _, _, irq, softirq, steal = (int(field) for field in first.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS


def ours_s() -> float:
    """Of that, what this process and all that it started and that has ended since have used."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def resident(pid: int) -> tuple[float, float]:
    """Its resident memory, and its proportional share of that (shared pages divided among their users); MiB."""
    return _kib(_read(pid, "status"), "VmRSS") / _MIB, _kib(_read(pid, "smaps_rollup"), "Pss") / _MIB


def children(pid: int) -> dict[int, list[str]]:
    """The processes that it started, with their command lines."""
    listed = _read(pid, f"task/{pid}/children")
    return {int(child): _read(int(child), "cmdline").split("\0") for child in listed.split()}


def _kib(text: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return float(found[1]) if found else math.nan


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
