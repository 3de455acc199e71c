"""Children for the supervisor to keep: tiny real processes that write down what happens to them."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ringback.supervisor import ChildSpec

_PROGRAM = """
import os, signal, sys, time
name, journal, deed = sys.argv[1:4]

def note(word):
    with open(journal, "a") as file:
        file.write(f"{name} {word} {os.getpid()}\\n")

def leave(*_):
    note("asked")
    if deed != "deaf":
        time.sleep(0.05)
        note("left")
        sys.exit(0)

signal.signal(signal.SIGTERM, leave)
note("started")
if deed.isdigit():
    print("the last words of", name, flush=True)
    sys.exit(int(deed))
while True:
    time.sleep(60)
"""


class Journal:
    """What the children wrote down, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def lines(self) -> list[tuple[str, str, int]]:
        """Name, word and process id of each entry."""
        return [(name, word, int(pid)) for name, word, pid in map(str.split, self.path.read_text().splitlines())]

    def words(self, *kinds: str) -> list[str]:
        """`name word` of each entry, only those kinds of words if any are given."""
        return [f"{name} {word}" for name, word, _ in self.lines() if not kinds or word in kinds]

    def pids(self, name: str) -> list[int]:
        """The process ids under which `name` has started, in order."""
        return [pid for entry, word, pid in self.lines() if entry == name and word == "started"]

    def child(self, name: str, deed: str = "stay", *, stop_s: float = 5.0, log: Path | None = None) -> ChildSpec:
        """A child that stays until asked to leave (`stay`), stays even then (`deaf`), or exits at once with a code."""
        argv = (sys.executable, "-I", "-S", "-c", _PROGRAM, name, str(self.path), deed)
        return ChildSpec(name=name, argv=argv, env=os.environ, stop_s=stop_s, log=log)


async def until(condition: Callable[[], bool]) -> None:
    """Waits for `condition`, while the loop goes on."""
    await asyncio.to_thread(wait_until, condition)


def wait_until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Waits for `condition`, without a loop."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether that process exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def kill(pid: int) -> None:
    """As the kernel's out-of-memory killer would."""
    os.kill(pid, signal.SIGKILL)
