"""Processes beside this one that take part in a measurement; they are told and tell in lines of JSON."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from jobs.process import settle

_LINE_LIMIT = 4 * 1024 * 1024
_STOP_S = 40.0
_STRANGE = ("RINGBACK_", "AWS_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "OTEL_")


class Failed(Exception):
    """Something under measurement did not do what is measured."""


FAILURES = (Failed, aiohttp.ClientError, OSError, TimeoutError)
"""Whatever makes a measurement impossible."""


def reason(failure: BaseException) -> str:
    """The first of what may be a group of a group of failures; callers mostly fail all alike."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return f"{type(failure).__name__}: {failure}"


def environment(**added: str) -> dict[str, str]:
    """This process's environment without what would change the measurement, and with `added`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        # Without bytecode every start and every lazy import would compile its modules again.
        if not name.startswith(_STRANGE) and not name.lower().endswith("_proxy") and name != "PYTHONDONTWRITEBYTECODE"
    }
    return kept | added


@asynccontextmanager
async def process(
    *argv: str, env: Mapping[str, str], cwd: Path | None = None, errors_to: Path | None = None
) -> AsyncIterator[Process]:
    """A running process with pipes for stdin and stdout; it is told to stop at the end, and killed if it does not.

    `errors_to`: the file that gets its stderr, which else is ours.
    """
    sink = errors_to.open("ab") if errors_to else None
    try:
        started = await asyncio.create_subprocess_exec(
            *argv, env=dict(env), cwd=cwd, stdin=PIPE, stdout=PIPE, stderr=sink, limit=_LINE_LIMIT
        )
    finally:
        if sink:
            sink.close()
    try:
        yield started
    finally:
        await _stop(started)


async def _stop(running: Process) -> None:
    if running.returncode is None:
        running.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_S):
            await running.communicate()
    except TimeoutError:
        running.kill()
        await running.communicate()


async def line(running: Process, *, limit_s: float) -> str:
    """The next line of its stdout. Raises `Failed` if none comes within `limit_s` seconds."""
    assert running.stdout is not None
    try:
        async with asyncio.timeout(limit_s):
            raw = await running.stdout.readline()
    except TimeoutError:
        raise Failed(f"process {running.pid} said nothing for {limit_s:g} s") from None
    if not raw:
        raise Failed(f"process {running.pid} ended")
    return raw.decode().rstrip("\n")


class Child:
    """A module of this package as a process of its own."""

    def __init__(self, running: Process) -> None:
        """See `child`."""
        self.pid = running.pid
        self._process = running

    async def ask(self, told: Any, *, limit_s: float = 60.0) -> Any:
        """Tells it something and reads its answer. Raises `Failed` if none comes within `limit_s` seconds."""
        self.tell(told)
        return await self.read(limit_s=limit_s)

    def tell(self, told: Any) -> None:
        """Tells it something."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(told) + b"\n")

    async def read(self, *, limit_s: float = 60.0) -> Any:
        """The next thing that it tells. Raises `Failed` if there is none within `limit_s` seconds."""
        return msgspec.json.decode(await line(self._process, limit_s=limit_s))


@asynccontextmanager
async def child(module: str) -> AsyncIterator[Child]:
    """`python -m benchmarks.<module>`, running."""
    root = Path(__file__).resolve().parent.parent
    async with process(sys.executable, "-m", f"benchmarks.{module}", env=environment(), cwd=root) as running:
        yield Child(running)


class Parent:
    """The other end, inside the child. A child whose parent is gone reads the end of its input and ends."""

    async def read(self) -> Any:
        """What the parent tells next. Raises `EOFError` when it is gone."""
        raw = await asyncio.to_thread(sys.stdin.buffer.readline)
        if not raw:
            raise EOFError
        return msgspec.json.decode(raw)

    def tell(self, told: Any) -> None:
        """Answers."""
        sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
        sys.stdout.buffer.flush()


def serve(main: Callable[[Parent], Any]) -> None:
    """Runs `main`, a coroutine function, in a fast loop until it returns or the parent is gone."""
    import uvloop

    try:
        settle()  # what the garbage collector held up here would look like the gateway's doing
        uvloop.run(main(Parent()))
    except EOFError:
        return
