"""What processes consume, as Linux tells it in /proc; elsewhere there are no such numbers (nan)."""

import math
import os
import platform
import re
import time
from pathlib import Path
from typing import Any

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


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    return [pid, *(descendant for child in children(pid) for descendant in tree(child))]


def machine() -> dict[str, Any]:
    """On what this runs, in general terms."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


class Watch:
    """Looks at the whole machine while something is measured."""

    def __init__(self) -> None:
        """Begins."""
        self._began, self._busy, self._ours = time.monotonic(), busy_s(), ours_s()

    @property
    def seconds(self) -> float:
        """For how long it has looked."""
        return time.monotonic() - self._began

    @property
    def others(self) -> float:
        """The share (0 to 1) of the machine's CPU that has gone to other work; ours counts once it has ended."""
        work = busy_s() - self._busy - (ours_s() - self._ours)
        return work / (self.seconds * (os.cpu_count() or 1))


def _kib(text: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return float(found[1]) if found else math.nan


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
