"""The processes that engines run in: started when first needed, kept, and killed when their answer is not wanted."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterable

from speech import errors
from speech.offline import frames
from speech.offline.frames import Frame

START_S = 60.0
"""Loading takes about a second; on a machine that is very busy, longer."""


class Engine:
    """One kind of engine, in up to `processes` processes, each answering one request at a time."""

    def __init__(self, module: str, *, provider: str, processes: int) -> None:
        """`module` is what `python -m` runs."""
        self._module, self._provider = module, provider
        self._idle: list[Process] = []
        self._turns = asyncio.Semaphore(processes)
        self._starting = asyncio.Lock()
        self._running: set[Process] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def answer(self, request: AsyncIterable[Frame]) -> AsyncGenerator[Frame, None]:
        """The results for a request, whose last frame has `last`; both may go on at the same time.

        Raises what `request` raises, `errors.EngineMissing`, and `errors.Unavailable` if the process dies.
        """
        async with self._turns:
            process = self._resting() or await self._begun()
            sending = asyncio.create_task(_send(process, request))
            try:
                while (frame := await self._received(process, sending)) is not None:
                    yield frame
                await sending
                if not self._closed:
                    self._idle.append(process)
            finally:
                if not sending.cancel() and not sending.cancelled():
                    sending.exception()  # is known, or what broke off first matters more
                if process not in self._idle:
                    self._kill(process)

    async def warm_up(self) -> None:
        """Starts a process that waits for the first request, unless there is one. Raises as `answer` does."""
        if not self._running:
            self._idle.append(await self._begun())

    async def aclose(self) -> None:
        """Ends all processes."""
        self._closed = True
        self._idle.clear()
        for process in tuple(self._running):
            self._kill(process)
        if self._ending:
            await asyncio.wait(tuple(self._ending))

    def _resting(self) -> Process | None:
        """One that waits for work and has not died meanwhile."""
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
            self._kill(process)
        return None

    async def _begun(self) -> Process:
        """A process of its own; or the one that was being started when nobody had asked yet."""
        async with self._starting:
            return self._resting() or await self._started()

    async def _started(self) -> Process:
        if self._closed:
            raise errors.Unavailable("the engine was closed", provider=self._provider)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._module, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
        )
        self._running.add(process)
        try:
            async with asyncio.timeout(START_S):
                first = await _read(process)
        except TimeoutError:
            self._kill(process)
            raise errors.Unavailable(
                "the offline speech engine did not start in time", provider=self._provider
            ) from None
        except BaseException:
            self._kill(process)
            raise
        if first is None or "missing" in first:
            self._kill(process)
            raise errors.EngineMissing(
                None if first is not None else "the offline speech engine cannot be started", provider=self._provider
            )
        return process

    async def _received(self, process: Process, sending: asyncio.Task[None]) -> Frame | None:
        reading = asyncio.ensure_future(_read(process))
        try:
            if not sending.done():
                await asyncio.wait((reading, sending), return_when=asyncio.FIRST_COMPLETED)
                if sending.done() and not reading.done():
                    sending.result()  # nothing more comes if the request broke off
            frame = await reading
        finally:
            reading.cancel()
        if frame is None:
            raise errors.Unavailable("the offline speech engine ended unexpectedly", provider=self._provider)
        return None if "end" in frame else frame

    def _kill(self, process: Process) -> None:
        self._running.discard(process)
        if process.returncode is None:
            process.kill()
        ending = asyncio.create_task(_ended(process))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)


async def _ended(process: Process) -> None:
    """Returns when the process is gone and its pipes are closed."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    while await process.stdout.read(65_536):
        pass
    await process.wait()


async def _send(process: Process, request: AsyncIterable[Frame]) -> None:
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    async for frame in request:
        try:
            process.stdin.write(frames.packed(frame))
            await process.stdin.drain()
        except ConnectionError:
            return  # it is dead, which reading from it tells better


async def _read(process: Process) -> Frame | None:
    """The next frame; `None` when the process has ended."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    try:
        head = await process.stdout.readexactly(frames.HEAD)
        return frames.unpacked(await process.stdout.readexactly(frames.length(head)))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
