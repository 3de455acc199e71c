"""Tells a running job's events to its log, in order, under its fence: the first text at once, then coalesced.

What carries sound or ends a sentence is not held back.
"""

import asyncio
from collections.abc import Iterable
from itertools import groupby
from types import TracebackType

import msgspec

from jobs import event
from jobs.event import Event
from jobs.model import ModelCall
from jobs.store.jobs import Claim, JobStore
from workers.persistence import persist

COALESCE_S = 0.02
"""Text that comes within so many seconds of the last write goes into one event,"""
_UNHURRIED = 1_000
"""and within more, in proportion, from this event on: a log that keeps 10,000 then lasts for a quarter of an hour."""


class Narrator:
    """The one writer of a running job's event log. Use as an async context manager around the run."""

    def __init__(self, store: JobStore, claim: Claim) -> None:
        """`claim` gives the fence and the id of the last event."""
        self.target = claim.target
        """`provider/model` asked now."""
        self._store = store
        self._claim = claim
        self._last = claim.last_event
        self._recorded = claim.target
        self._buffer: list[str | Event] = []
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._closing = False
        self._writer: asyncio.Task[None] | None = None

    def text(self, delta: str) -> None:
        """More of the answer."""
        self._buffer.append(delta)
        self._wake.set()

    def ask(self, target: str) -> None:
        """Another target is asked now."""
        self.target = target
        self._wake.set()

    def reset(self, reason: str, target: str) -> None:
        """The text so far is void; `target` starts again. Text that was not written yet never will be."""
        self._buffer = [item for item in self._buffer if not isinstance(item, str)]
        self._buffer.append(event.stream_reset(reason, target))
        self.target = target
        self._wake.set()

    def restart(self, reason: str, target: str, from_index: int) -> None:
        """As `reset`, but what was said up to the sentence `from_index` stands, and was told or will be."""
        self._buffer.append(event.stream_reset(reason, target, from_index=from_index))
        self.target = target
        self._wake.set()

    def tell(self, told: Event, *, at_once: bool = True) -> None:
        """Any other event, in order with the text before it; somebody may be waiting for it (`at_once`)."""
        self._buffer.append(told)
        if at_once:
            self._hurry.set()
        self._wake.set()

    def usage(self, stage: str, call: ModelCall) -> None:
        """What one call to a model consumed, whatever became of it."""
        told = {"model": call.model, "outcome": call.outcome, "estimated": call.estimated, "cost_usd": call.cost_usd}
        self._buffer.append(event.make("usage", stage=stage, **told, **msgspec.to_builtins(call.usage)))
        self._wake.set()

    def rest(self) -> list[Event]:
        """Takes what has not been written yet, for whoever ends the job to write along with the end."""
        buffer, self._buffer = self._buffer, []
        return _coalesced(buffer)

    async def __aenter__(self) -> "Narrator":
        """Starts writing."""
        self._writer = asyncio.create_task(self._write_all())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Writes what is left, unless the run was cancelled. Raises `errors.StaleFence` if another holds the job."""
        assert self._writer is not None  # noqa: S101 - set on entry
        if isinstance(error, asyncio.CancelledError):
            self._writer.cancel()
        self._closing = True
        self._hurry.set()
        self._wake.set()
        try:
            await self._writer
        except asyncio.CancelledError:
            if not isinstance(error, asyncio.CancelledError):
                raise

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        written = 0.0
        while True:
            await self._wake.wait()
            # The first text is written at once; later text waits until a little more has gathered.
            pause = written + COALESCE_S * max(1.0, self._last / _UNHURRIED) - loop.time()
            if pause > 0:
                await self._gather(pause)
            self._wake.clear()
            self._hurry.clear()
            closing = self._closing
            await self._write()
            written = loop.time()
            if closing:
                return

    async def _gather(self, pause: float) -> None:
        """Waits so many seconds, or until something must not wait, or nothing more will come."""
        try:
            async with asyncio.timeout(pause):
                await self._hurry.wait()
        except TimeoutError:
            return

    async def _write(self) -> None:
        batch, last, target = self.rest(), self._last, self.target
        change = target if target != self._recorded else ""
        if not batch and not change:
            return
        self._last = await persist(lambda: self._store.append(self._claim, batch, last_event=last, target=change))
        self._recorded = target


def _coalesced(buffer: Iterable[str | Event]) -> list[Event]:
    batch: list[Event] = []
    for is_text, items in groupby(buffer, key=lambda item: isinstance(item, str)):
        if is_text:
            batch.append(event.text_delta("".join(item for item in items if isinstance(item, str))))
        else:
            batch.extend(item for item in items if isinstance(item, Event))
    return batch
