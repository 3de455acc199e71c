"""Live events: one wire from the store to this process, fanned out to the streams that it serves."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from redis.exceptions import RedisError

from jobs import errors
from jobs.event import TERMINAL_NAMES, LoggedEvent
from jobs.store.events import EventLog, Pushed

HEARTBEAT_S = 15.0
HEARTBEAT = b": keep-alive\n\n"
RECONNECT = b"retry: 500\n: reconnect\n\n"
"""Tells the client that the stream goes on elsewhere: come back with the last id."""
QUEUE_BYTES = 1024 * 1024
"""Events that wait for a slow consumer may take so much memory; then its stream is cut."""
STUCK_S = 30.0
"""A consumer that has not read anything for so long while something waits for it is cut off."""
_TICK_S = 1.0
_SILENCE_S = 10.0
_READ = 500
_log = structlog.get_logger(__name__)


class Subscription:
    """What one stream has yet to send. Live while it has every event so far; otherwise it catches up from the log."""

    def __init__(self, job_id: str, last: int, *, live: bool) -> None:
        """`last` is the id of the last event that the consumer has; `live`: there is no other so far."""
        self.job_id = job_id
        self.last = last
        self.live = live
        self.ended = False
        """The terminal event is queued or sent: nothing will follow."""
        self.cut = False
        """The stream must end with a hint to reconnect."""
        self.task: asyncio.Task[object] | None = None
        self.sending_since: float | None = None
        self._frames: deque[bytes] = deque()
        self._size = 0
        self._newest = last
        self._spoke = time.monotonic()
        self._wake = asyncio.Event()

    def push(self, pushed: Pushed) -> None:
        """An event came over the wire."""
        self._newest = max(self._newest, pushed.id)
        if self.live and pushed.id == self.last + 1:
            self._queue(pushed.id, pushed.frame, pushed.name in TERMINAL_NAMES)
        elif pushed.id > self.last:
            self.fall_behind()

    def fall_behind(self) -> None:
        """Something may have been missed."""
        self.live = False
        self._wake.set()

    def finish(self) -> None:
        """Ends the stream with a hint to reconnect."""
        self.cut = True
        self._wake.set()

    def beat(self, now: float) -> None:
        """Keeps an idle stream alive, and cuts off a consumer that does not read."""
        if self.sending_since is not None:
            if now - self.sending_since > STUCK_S and self.task is not None:
                self.cut = True
                self.task.cancel()
        elif now - self._spoke >= HEARTBEAT_S and not self._frames:
            self._frames.append(HEARTBEAT)
            self._spoke = now
            self._wake.set()

    def _queue(self, id_: int, frame: bytes, terminal: bool) -> None:
        self.last = id_
        self.ended = self.ended or terminal
        self._frames.append(frame)
        self._size += len(frame)
        if self._size > QUEUE_BYTES and self.sending_since is not None:
            # The consumer is slower than the job: it gets what it has got and comes back for the rest.
            self._frames.clear()
            self.finish()
        self._wake.set()

    async def catch_up(self, log: EventLog) -> None:
        """Queues what the log has after `last`.

        Raises `errors.EventsGone` if some of that is no longer kept, `errors.StoreUnavailable`.
        """
        while True:
            found = await log.read(self.job_id, self.last, limit=_READ)
            if found and found[0].id != self.last + 1:
                raise errors.EventsGone
            self._queue_all(found)
            if len(found) < _READ and self.last >= self._newest:
                self.live = True
                return
            if not found:
                raise errors.EventsGone

    def _queue_all(self, found: list[LoggedEvent]) -> None:
        for event in found:
            self._queue(event.id, event.frame(), event.terminal)

    async def wait(self) -> None:
        """Until there is something to send, to catch up on, or the stream must end."""
        await self._wake.wait()
        self._wake.clear()

    def take(self) -> bytes:
        """Everything that waits to be sent, as one chunk; empty if nothing does."""
        chunk = b"".join(self._frames)
        self._frames.clear()
        self._size = 0
        if chunk:
            self._spoke = time.monotonic()
        return chunk


class Hub:
    """All subscriptions of this gateway process."""

    def __init__(self, log: EventLog, gateway_id: str) -> None:
        """`gateway_id` is unique to the process."""
        self.gateway_id = gateway_id
        self.draining = False
        self._log = log
        self._subscriptions: dict[str, set[Subscription]] = {}
        self._unwatching: set[asyncio.Task[None]] = set()
        self._heard = time.monotonic()
        self._wire: asyncio.Task[None] | None = None

    @contextmanager
    def subscribe(self, job_id: str, last: int, *, live: bool = False) -> Iterator[Subscription]:
        """A subscription to a job's events after `last`, local so far: the job must be watched too (`watch`).

        `live`: the job is not yet accepted, so there is nothing to catch up on.
        """
        subscription = Subscription(job_id, last, live=live)
        self._subscriptions.setdefault(job_id, set()).add(subscription)
        if self.draining:
            subscription.finish()
        try:
            yield subscription
        finally:
            subscribers = self._subscriptions[job_id]
            subscribers.discard(subscription)
            if not subscribers:
                del self._subscriptions[job_id]
                task = asyncio.create_task(self._unwatch(job_id, ended=subscription.ended))
                self._unwatching.add(task)
                task.add_done_callback(self._unwatching.discard)

    async def watch(self, subscription: Subscription) -> None:
        """Has the job's events pushed here and catches up; from then on the subscription is live.

        Raises `errors.EventsGone` and `errors.StoreUnavailable`.
        """
        await self._log.watch([subscription.job_id], self.gateway_id)
        await subscription.catch_up(self._log)

    async def catch_up(self, subscription: Subscription) -> None:
        """Reads what the subscription has missed. Raises as `watch` does."""
        await subscription.catch_up(self._log)

    async def _unwatch(self, job_id: str, *, ended: bool) -> None:
        # Of an ended job nothing will be pushed, and its watchers expire.
        if ended or job_id in self._subscriptions:
            return
        try:
            await self._log.unwatch(job_id, self.gateway_id)
        except errors.StoreUnavailable:
            _log.debug("not_unwatched", job_id=job_id)

    async def run(self) -> None:
        """Listens to the wire and keeps streams alive, for ever; reconnects and fills the gaps by itself."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tick())
            while True:
                self._wire = tasks.create_task(self._listen())
                await asyncio.wait([self._wire])
                if not self._wire.cancelled():
                    await self._wire
                await asyncio.sleep(0.5)

    async def _listen(self) -> None:
        try:
            async with self._log.wire(self.gateway_id) as pushed:
                self._heard = time.monotonic()
                if self._subscriptions:
                    await self._log.watch(list(self._subscriptions), self.gateway_id)
                    self._all_fall_behind()
                async for event in pushed:
                    self._heard = time.monotonic()
                    for subscription in self._subscriptions.get(event.job_id, ()):
                        subscription.push(event)
        except (RedisError, OSError, errors.StoreUnavailable) as error:
            _log.warning("wire_lost", error=type(error).__name__)

    def _all_fall_behind(self) -> None:
        for subscription in self._all():
            subscription.fall_behind()

    def _all(self) -> list[Subscription]:
        return [subscription for subscribers in self._subscriptions.values() for subscription in subscribers]

    async def _tick(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            for subscription in self._all():
                subscription.beat(now)
            ticks += 1
            if ticks % 3 == 0:
                await self._check_wire(now)

    async def _check_wire(self, now: float) -> None:
        """A connection that looks alive but carries nothing would starve every stream: echo something over it."""
        try:
            await self._log.echo(self.gateway_id)
        except errors.StoreUnavailable:
            return
        if now - self._heard > _SILENCE_S and self._wire is not None:
            _log.warning("wire_silent", seconds=round(now - self._heard))
            self._wire.cancel()

    def drain(self) -> None:
        """Ends every stream with a hint to reconnect; new ones get the same at once."""
        self.draining = True
        for subscription in self._all():
            subscription.finish()
