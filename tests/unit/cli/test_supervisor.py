"""The supervisor with real, tiny children."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringback.supervisor import MISCONFIGURED, CannotStart, ChildSpec, Pace, Supervisor
from tests.unit.cli.children import Journal, alive, kill, until, wait_until

ROOT = Path(__file__).parents[3]
FAST = Pace(first_s=0.01, longest_s=0.02, tries=3)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Gives the test run its own signal handlers back."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


class Run:
    """A supervisor at work in this process."""

    def __init__(self, *specs: ChildSpec, ready: bool = True, pace: Pace = FAST) -> None:
        self.said: list[str] = []
        self.ready = asyncio.Event()
        if ready:
            self.ready.set()
        supervisor = Supervisor(specs, running=self._running, say=self.said.append, pace=pace)
        self.task = asyncio.create_task(supervisor.run())

    async def _running(self) -> None:
        await self.ready.wait()

    async def end(self) -> int:
        async with asyncio.timeout(30):
            return await self.task


async def test_stops_in_order_from_the_last_to_the_first_and_returns_0(journal: Journal) -> None:
    run = Run(journal.child("store"), journal.child("worker"), journal.child("gateway"))
    await until(lambda: len(journal.words("started")) == 3)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await run.end() == 0
    assert journal.words("asked", "left") == [
        "gateway asked", "gateway left", "worker asked", "worker left", "store asked", "store left",
    ]  # fmt: skip
    assert run.said == []
    assert not any(alive(pid) for _, _, pid in journal.lines())


async def test_a_child_that_is_killed_is_started_again_and_the_others_stay(journal: Journal) -> None:
    run = Run(journal.child("store"), journal.child("worker"))
    await until(lambda: len(journal.words("started")) == 2)
    for times in range(1, 6):  # more often than FAST.tries: all have run, so there is no giving up
        kill(journal.pids("worker")[-1])
        await until(lambda times=times: len(journal.pids("worker")) == times + 1)  # type: ignore[misc]
    os.kill(os.getpid(), signal.SIGINT)
    assert await run.end() == 0
    assert len(journal.pids("store")) == 1
    assert run.said[0] == "worker ended unexpectedly, killed by SIGKILL; starting it again in 0.0 s"
    assert len(run.said) == 5


async def test_a_child_that_never_comes_up_stops_everything_and_says_why(journal: Journal, tmp_path: Path) -> None:
    log = tmp_path / "log"
    run = Run(journal.child("store"), journal.child("worker", "3", log=log), ready=False)
    with pytest.raises(CannotStart) as failure:
        await run.end()
    assert failure.value.detail == (
        f"worker ended 3 times without starting up, exit code 3; {log} ends with: the last words of worker"
    )
    assert len(journal.pids("worker")) == 3
    assert journal.words("left") == ["store left"]


async def test_a_misconfigured_child_is_not_tried_again(journal: Journal) -> None:
    run = Run(journal.child("store"), journal.child("worker", str(MISCONFIGURED)), ready=False)
    with pytest.raises(CannotStart, match="worker cannot run with this configuration"):
        await run.end()
    assert len(journal.pids("worker")) == 1
    assert not any(alive(pid) for _, _, pid in journal.lines())


async def test_a_command_that_does_not_exist_stops_everything(journal: Journal) -> None:
    missing = ChildSpec(name="valkey", argv=("/nowhere/valkey-server",), env={}, stop_s=1)
    with pytest.raises(CannotStart, match=r"valkey cannot be started: .*nowhere"):
        await Run(missing, journal.child("worker")).end()
    assert not any(alive(pid) for _, _, pid in journal.lines())


async def test_a_child_that_does_not_stop_in_time_is_killed(journal: Journal) -> None:
    run = Run(journal.child("store"), journal.child("worker", "deaf", stop_s=0.2))
    await until(lambda: len(journal.words("started")) == 2)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await run.end() == 0
    assert run.said == ["worker did not stop within 0.2 s and was killed"]
    assert journal.words("left") == ["store left"]
    assert not any(alive(pid) for _, _, pid in journal.lines())


async def test_a_second_signal_kills_at_once(journal: Journal) -> None:
    run = Run(journal.child("store"), journal.child("worker", "deaf", stop_s=600))
    await until(lambda: len(journal.words("started")) == 2)
    os.kill(os.getpid(), signal.SIGINT)
    await until(lambda: "worker asked" in journal.words())
    os.kill(os.getpid(), signal.SIGINT)
    assert await run.end() == 128 + signal.SIGINT
    assert not any(alive(pid) for _, _, pid in journal.lines())


async def test_nothing_is_started_again_while_stopping(journal: Journal) -> None:
    run = Run(journal.child("store"), journal.child("worker", "deaf", stop_s=600))
    await until(lambda: len(journal.words("started")) == 2)
    os.kill(os.getpid(), signal.SIGTERM)
    await until(lambda: "worker asked" in journal.words())
    kill(journal.pids("worker")[0])
    assert await run.end() == 0
    assert len(journal.pids("worker")) == 1


async def test_children_are_out_of_reach_of_the_terminals_ctrl_c(journal: Journal) -> None:
    run = Run(journal.child("worker"))
    await until(lambda: len(journal.words("started")) == 1)
    assert os.getsid(journal.pids("worker")[0]) == journal.pids("worker")[0] != os.getsid(0)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await run.end() == 0


def test_pauses_grow_to_a_limit() -> None:
    assert [Pace().pause(deaths) for deaths in range(1, 8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


async def test_pauses_start_over_after_a_time_of_health(journal: Journal) -> None:
    run = Run(journal.child("worker"), pace=Pace(first_s=0.1, longest_s=60, healthy_s=0.0))
    for times in range(1, 4):
        await until(lambda times=times: len(journal.pids("worker")) == times)  # type: ignore[misc]
        kill(journal.pids("worker")[-1])
    await until(lambda: len(journal.pids("worker")) == 4)
    assert all(line.endswith("in 0.1 s") for line in run.said)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await run.end() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's end")
def test_a_supervisor_that_is_killed_takes_its_children_along(journal: Journal) -> None:
    program = f"""
import asyncio
from pathlib import Path
from ringback.supervisor import Supervisor
from tests.unit.cli.children import Journal

async def main():
    journal = Journal(Path({str(journal.path)!r}))
    children = [journal.child("store", "deaf"), journal.child("worker")]
    await Supervisor(children, running=asyncio.Event().wait, say=print).run()

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) as supervisor:
        wait_until(lambda: len(journal.words("started")) == 2)
        supervisor.kill()
    wait_until(lambda: not any(alive(pid) for _, _, pid in journal.lines()))
