"""Live events: one wire from the store to this process, fanned out to the streams that it serves."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from redis.exceptions import RedisError

from jobs import errors
from jobs.event import TERMINAL_NAMES
from jobs.store.events import EventLog, Pushed

HEARTBEAT_S = 15.0
HEARTBEAT = b": keep-alive\n\n"
RECONNECT = b"retry: 500\n: reconnect\n\n"
"""Tells the client that the stream goes on elsewhere: come back with the last id."""
QUEUE_BYTES = 1024 * 1024
"""So much may wait in memory for a slow consumer; what comes then it gets from the log, at its own pace."""
RENEW_S = 900.0
"""How often all watches are renewed, and all logs looked at, whatever may have gone unnoticed."""
_TICK_S = 1.0
_ECHO_S = 3.0
_SILENCE_S = 10.0
_PAGE = 64
_log = structlog.get_logger(__name__)


class Subscription:
    """What one stream has yet to send. Live while it has every event so far; otherwise it catches up from the log."""

    def __init__(self, job_id: str, last: int, newest: int, *, live: bool) -> None:
        """`last` and `newest` are the ids of the last event that the consumer has and of the last that is known."""
        self.job_id = job_id
        self.last = last
        self.live = live
        self.ended = False
        """The terminal event is queued or sent: nothing will follow."""
        self.cut = False
        """The stream must end with a hint to reconnect."""
        self.patient = False
        """The client cannot come back for the rest: when the process drains, the stream has time to end by itself."""
        self.write_now: Callable[[bytes], bool] | None = None
        """Sends a frame past the waiting task, if that can be done at once."""
        self._frames: deque[bytes] = deque()
        self._size = 0
        self._newest = newest
        self._spoke = time.monotonic()
        self._awake = False
        self._waiter: asyncio.Future[None] | None = None

    def push(self, pushed: Pushed) -> None:
        """An event came over the wire."""
        self._newest = max(self._newest, pushed.id)
        if self.live and pushed.id == self.last + 1 and self._size < QUEUE_BYTES:
            # Only past a task that is parked: whatever it had in hand is on its way then.
            if self.write_now and self._parked and pushed.name not in TERMINAL_NAMES and self.write_now(pushed.frame):
                self.last = pushed.id
                self._spoke = time.monotonic()
                return
            self._queue(pushed.id, pushed.frame, pushed.name in TERMINAL_NAMES)
            self._wake()
        elif pushed.id > self.last:
            self.fall_behind()

    def fall_behind(self) -> None:
        """Something may have been missed."""
        self.live = False
        self._wake()

    def finish(self) -> None:
        """Ends the stream with a hint to reconnect."""
        self.cut = True
        self._wake()

    def beat(self, now: float) -> None:
        """Keeps an idle stream alive."""
        if now - self._spoke >= HEARTBEAT_S and not self._frames:
            self._frames.append(HEARTBEAT)
            self._spoke = now
            self._wake()

    def _queue(self, id_: int, frame: bytes, terminal: bool) -> None:
        self.last = id_
        self.ended = self.ended or terminal
        self._frames.append(frame)
        self._size += len(frame)

    async def catch_up(self, log: EventLog) -> None:
        """Queues the next page of what the log has after `last`, which may be all; then the subscription is live.

        Raises `errors.EventsGone` if some of that is no longer kept, `errors.StoreUnavailable`.
        """
        newest = self._newest  # as it was before the log was read: what is pushed meanwhile may not be in there
        found = await log.read(self.job_id, self.last, limit=_PAGE)
        if (found and found[0].id != self.last + 1) or (not found and newest > self.last):
            raise errors.EventsGone
        for event in found:
            self._queue(event.id, event.frame(), event.terminal)
        if len(found) < _PAGE and self.last >= self._newest:
            self.live = True
        else:
            self._wake()

    @property
    def _parked(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _wake(self) -> None:
        self._awake = True
        if self._parked:
            self._waiter.set_result(None)  # type: ignore[union-attr]  # parked means that there is one

    async def wait(self) -> None:
        """Until there is something to send, to catch up on, or the stream must end. For one task only."""
        # An asyncio.Event would do the same at twice the CPU, once for each event of each stream.
        if not self._awake:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self._awake = False

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
        self._unwatching: dict[str, asyncio.Task[None]] = {}
        self._heard = time.monotonic()
        self._wire: asyncio.Task[None] | None = None

    @contextmanager
    def subscribe(
        self, job_id: str, last: int, *, newest: int = 0, live: bool = False, patient: bool = False
    ) -> Iterator[Subscription]:
        """A subscription to a job's events after `last`, local so far: the job must be watched too (`watch`).

        `newest` is the id of the last event known. `live`: the job is not yet accepted and has no events. `patient`:
        the client cannot come back for the rest, so that `drain` leaves it some time.
        """
        subscription = Subscription(job_id, last, newest, live=live)
        subscription.patient = patient
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
                # Of an ended job nothing will be pushed, and its watchers are gone with its end.
                if not subscription.ended:
                    self._unwatching[job_id] = asyncio.create_task(self._unwatch(job_id))

    async def watch(self, subscription: Subscription) -> None:
        """Has the job's events pushed here and starts to catch up with them.

        Raises `errors.EventsGone` and `errors.StoreUnavailable`.
        """
        if leaving := self._unwatching.get(subscription.job_id):
            await asyncio.wait([leaving])
        await self._log.watch([subscription.job_id], self.gateway_id)
        await subscription.catch_up(self._log)

    async def catch_up(self, subscription: Subscription) -> None:
        """Reads what the subscription has missed. Raises as `watch` does."""
        await subscription.catch_up(self._log)

    async def _unwatch(self, job_id: str) -> None:
        try:
            if job_id not in self._subscriptions:
                await self._log.unwatch(job_id, self.gateway_id)
        except errors.StoreUnavailable:
            _log.debug("not_unwatched", job_id=job_id)
        finally:
            if self._unwatching.get(job_id) is asyncio.current_task():
                del self._unwatching[job_id]

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
        echoed = renewed = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            for subscription in self._all():
                subscription.beat(now)
            if now - echoed >= _ECHO_S:
                echoed = now
                await self._check_wire(now)
            if now - renewed >= RENEW_S:
                renewed = now
                await self._renew()

    async def _check_wire(self, now: float) -> None:
        """A connection that looks alive but carries nothing would starve every stream: echo something over it."""
        try:
            await self._log.echo(self.gateway_id)
        except errors.StoreUnavailable:
            return
        if now - self._heard > _SILENCE_S and self._wire is not None:
            _log.warning("wire_silent", seconds=round(now - self._heard))
            self._wire.cancel()

    async def _renew(self) -> None:
        try:
            await self._log.watch(list(self._subscriptions), self.gateway_id)
        except errors.StoreUnavailable:
            _log.warning("watches_not_renewed", jobs=len(self._subscriptions))
        self._all_fall_behind()

    def drain(self, patience_s: float = 0.0) -> None:
        """Ends every stream with a hint to reconnect, patient ones after `patience_s`; new ones get it at once."""
        self.draining = True
        loop = asyncio.get_running_loop()
        for subscription in self._all():
            if subscription.patient:
                loop.call_later(patience_s, subscription.finish)
            else:
                subscription.finish()
