"""Keeps child processes running: starts them together, starts again those that die, stops them in order.

Each child leads a session of its own, so a Ctrl-C in the terminal reaches only the supervisor, which decides who
stops when. A supervisor that is killed takes its children along (Linux; elsewhere they go on until stopped).
"""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from jobs import errors

MISCONFIGURED = os.EX_CONFIG
"""Exit code of a child that has said why it cannot run; before everything ran once, trying again is pointless."""

_PR_SET_PDEATHSIG = 1


class CannotStart(errors.RingbackError):
    """A child process cannot be started."""

    code = "cannot_start"


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A process to keep running."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    stop_s: float
    """How long it may take to end after SIGTERM before it is killed."""
    keep_fds: tuple[int, ...] = ()
    """Open files that it inherits."""
    log: Path | None = None
    """Where its output goes; `None`: where ours goes."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How eagerly children that die are started again; seconds."""

    first_s: float = 0.2
    longest_s: float = 5.0
    healthy_s: float = 10.0
    """Having lived so long, a child starts over at `first_s`."""
    tries: int = 5
    """Deaths in a row that are too many before everything ran for the first time."""

    def pause(self, deaths: int) -> float:
        """How long to wait after so many deaths in a row."""
        return min(self.first_s * 2.0 ** (deaths - 1), self.longest_s)


class _Child:
    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self._process: subprocess.Popen[bytes] | None = None
        self._exit: asyncio.Future[int] | None = None

    async def live(self) -> int:
        """Starts the process and waits for its end: its exit code, or minus the signal that ended it."""
        self._process = _spawn(self.spec)
        self._exit = asyncio.get_running_loop().create_future()
        self.reap()
        return await asyncio.shield(self._exit)

    def reap(self) -> None:
        """Notices that the process has ended, if it has."""
        if self._process and self._exit and not self._exit.done():
            code = self._process.poll()
            if code is not None:
                self._exit.set_result(code)

    def send(self, signum: signal.Signals) -> "asyncio.Future[int] | None":
        """Signals the process; what to wait for, or `None` when it is not running."""
        self.reap()
        if not self._process or not self._exit or self._exit.done():
            return None
        if signum is signal.SIGKILL:
            os.killpg(self._process.pid, signum)
        else:
            self._process.send_signal(signum)
        return self._exit

    async def stop(self) -> bool:
        """Asks the process to end, kills it if it does not in time; whether it ended by itself."""
        ending = self.send(signal.SIGTERM)
        if ending is None:
            return True
        done, _ = await asyncio.wait([ending], timeout=self.spec.stop_s)
        if done:
            return True
        self.send(signal.SIGKILL)
        await ending
        return False


class Supervisor:
    """Runs children until it is told to stop by SIGTERM, SIGINT or SIGHUP."""

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        running: Callable[[], Awaitable[None]],
        say: Callable[[str], None],
        pace: Pace | None = None,
    ) -> None:
        """`specs` in the order of dependence: they are started together and stopped from the last to the first.

        `running` is called once and returns when everything runs for the first time; from then on children are
        started again without end. `say` is told what the operator should know.
        """
        self._children = [_Child(spec) for spec in specs]
        self._running = running
        self._say = say
        self._pace = pace or Pace()
        self._ran = False
        self._stop = asyncio.Event()
        self._killed_by = 0

    async def run(self) -> int:
        """Returns 0 after an ordered stop, 128 + signal when a second signal cut that short.

        Raises `CannotStart` after stopping the rest.
        """
        self._listen()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._keep(child)) for child in self._children]
                tasks.append(group.create_task(self._await_running()))
                await self._stop.wait()
                for task in tasks:
                    task.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            await self._stop_all()
        return 128 + self._killed_by if self._killed_by else 0

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signum is not signal.SIGHUP or signal.getsignal(signum) is not signal.SIG_IGN:  # left so by nohup
                loop.add_signal_handler(signum, self._told_to_stop, signum)

    def _reap(self) -> None:
        for child in self._children:
            child.reap()

    def _told_to_stop(self, signum: int) -> None:
        if not self._stop.is_set():
            self._stop.set()
            return
        self._killed_by = signum
        for child in self._children:
            child.send(signal.SIGKILL)

    async def _await_running(self) -> None:
        await self._running()
        self._ran = True

    async def _keep(self, child: _Child) -> None:
        loop = asyncio.get_running_loop()
        name = child.spec.name
        deaths = 0
        while True:
            started = loop.time()
            try:
                code = await child.live()
            except OSError as error:
                raise CannotStart(f"{name} cannot be started: {error}") from error
            if code == MISCONFIGURED and not self._ran:
                raise CannotStart(f"{name} cannot run with this configuration; the reason is above")
            deaths = 1 if loop.time() - started >= self._pace.healthy_s else deaths + 1
            if deaths >= self._pace.tries and not self._ran:
                raise CannotStart(f"{name} ended {deaths} times without starting up, {_end(code)}{_last_words(child)}")
            pause = self._pace.pause(deaths)
            self._say(f"{name} ended unexpectedly, {_end(code)}; starting it again in {pause:.1f} s")
            await asyncio.sleep(pause)

    async def _stop_all(self) -> None:
        for child in reversed(self._children):
            if not await child.stop():
                self._say(f"{child.spec.name} did not stop within {child.spec.stop_s:g} s and was killed")


def _spawn(spec: ChildSpec) -> "subprocess.Popen[bytes]":
    output = spec.log.open("ab") if spec.log else None
    try:
        return subprocess.Popen(  # noqa: S603 - our own commands
            spec.argv,
            env=dict(spec.env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            start_new_session=True,
            pass_fds=spec.keep_fds,
            preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - this process has no other thread
        )
    finally:
        if output:
            output.close()


def _end(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _last_words(child: _Child) -> str:
    """The last line that a child with a log of its own wrote there."""
    if not child.spec.log:
        return ""
    lines = child.spec.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"; {child.spec.log} ends with: {lines[-1]}" if lines else ""


def _die_with(parent: int) -> Callable[[], None] | None:
    """What a child does before it becomes its command, so that the kernel kills it when process `parent` ends."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before we arranged that
            os._exit(1)

    return arrange
