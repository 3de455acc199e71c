"""What keeps deliveries off a destination: its own wish, its failures, and its limits. Kept in this process only.

```
closed: it asked for a pause (Retry-After, 429, 502, 503, 504), or failed OPENS_AFTER times in a row
probed: the pause is over, but it has failed so often that only one delivery at a time finds out whether it works
open:   up to `concurrency` deliveries at a time, up to `per_second` of them begun in a second
```

All share the process's slots: one destination gets no more than a part of those that are free, so that many that
hang leave some to the others.

Whoever has to wait does so here for a moment, and otherwise in the outbox, in line.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable

import structlog

from jobs.destinations import Destinations
from workers.destinations.service import Outcome

OPENS_AFTER = 5
"""Failures in a row after which a destination is left alone,"""
OPEN_S = 30.0
"""for so long, until one delivery probes it."""
PAUSE_S = 1.0
"""After 429, 502, 503 and 504 without Retry-After, doubled with each failure in a row."""
LONGEST_PAUSE_S = 3_600.0
"""No destination is left alone for longer at a time, whatever it asks for: others' callbacks may go there too."""
WAIT_S = 5.0
"""How long a delivery waits here, before it goes back to the outbox."""
WAITING = 256
"""Deliveries that wait here for one destination;"""
WAITING_IN_ALL = 1024
"""and for all together."""
AT_ONCE = 256
"""Attempts that one process makes at the same time."""
_SHARE = 4
"""A destination gets at most one slot in so many that are free."""
SHORTEST_POSTPONEMENT_S = 1.0
_NOMINAL_S = 0.1
"""What an attempt is taken to last, to space those that wait in the outbox."""
_THROTTLING = frozenset({429, 502, 503, 504})
_KEPT = 4096
"""Destinations that are remembered."""

_log = structlog.get_logger(__name__)


class Slots:
    """What all destinations of a process share."""

    def __init__(self) -> None:
        """All are free."""
        self.free = AT_ONCE
        self.waiting = 0


class Throttle:
    """The limits and the state of one destination."""

    def __init__(
        self,
        key: str,
        slots: Slots,
        *,
        concurrency: int,
        per_second: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`key` names it in the log; `per_second` 0: no limit; `clock` gives seconds."""
        self._key = key
        self._slots = slots
        self._clock = clock
        self._concurrency = concurrency
        begun_together = max(1, math.floor(per_second))
        self._window_s = begun_together / per_second if per_second else 0.0
        self._begun: deque[float] = deque(maxlen=begun_together)
        """When the last ones began or, in the future, may begin: no more than these in a window."""
        self._interval_s = 1 / per_second if per_second else _NOMINAL_S / concurrency
        self._under_way = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._sleepers = 0
        self._failures = 0
        self._closed_until = -math.inf
        self._line_end = -math.inf

    @property
    def closed(self) -> bool:
        """Whether nothing may begin now."""
        return self._clock() < self._closed_until

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost with it."""
        busy = self._under_way or self._waiters or self._sleepers or self._failures
        return not busy and self._clock() > max(self._closed_until, self._line_end)

    async def enter(self) -> float:
        """Waits, at most `WAIT_S`, until one attempt may begin. 0.0: it may, and `leave` must follow.

        Otherwise the seconds after which to ask again.
        """
        deadline = self._clock() + WAIT_S
        if self.closed or not await self._pace(deadline):
            return self.postponement()
        woken = False
        while not self.closed:
            if self._under_way < self._room and (woken or not self._waiters):
                self._under_way += 1
                self._slots.free -= 1
                return 0.0
            if self._failures >= OPENS_AFTER or not (woken := await self._wait(deadline)):
                break
        return self.postponement()

    def leave(self, outcome: Outcome | None = None) -> None:
        """The attempt has ended; `None`: it was not made after all."""
        self._under_way -= 1
        self._slots.free += 1
        if outcome is not None:
            self._learn(outcome)
        for _ in range(len(self._waiters) if self.closed else 1):
            self._wake_one()

    def postponement(self) -> float:
        """Seconds after which the next one in line may ask; each call takes one place in the line."""
        now = self._clock()
        self._line_end = max(self._line_end, self._closed_until, now + SHORTEST_POSTPONEMENT_S) + self._interval_s
        return self._line_end - now

    @property
    def _room(self) -> int:
        most = 1 if self._failures >= OPENS_AFTER else self._concurrency
        return min(most, max(self._slots.free // _SHARE, 1)) if self._slots.free > 0 else 0

    async def _pace(self, deadline: float) -> bool:
        """Keeps to the rate; False: that would take too long."""
        if not self._window_s:
            return True
        now = self._clock()
        full = len(self._begun) == self._begun.maxlen
        at = max(now, self._begun[0] + self._window_s) if full else now
        if at > deadline or (at > now and self._crowded(self._sleepers)):
            return False
        self._begun.append(at)
        if at > now:
            self._sleepers += 1
            self._slots.waiting += 1
            try:
                await asyncio.sleep(at - now)
            finally:
                self._sleepers -= 1
                self._slots.waiting -= 1
        return True

    def _crowded(self, waiting: int) -> bool:
        return waiting >= WAITING or self._slots.waiting >= WAITING_IN_ALL

    async def _wait(self, deadline: float) -> bool:
        """Waits until someone leaves; False: the time is up, or too many wait already."""
        remaining_s = deadline - self._clock()
        if remaining_s <= 0 or self._crowded(len(self._waiters)):
            return False
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._slots.waiting += 1
        try:
            async with asyncio.timeout(remaining_s):
                await waiter
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake_one()  # the turn was ours: pass it on
            raise
        finally:
            self._slots.waiting -= 1
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        return True

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _learn(self, outcome: Outcome) -> None:
        status = outcome.status_code
        if outcome.verdict != "again" or (status is not None and status < 500 and status != 429):
            self._failures = 0  # it is there, even if it does not want this one
        else:
            self._failures += 1
        if outcome.verdict != "again":
            return
        pause_s = min(outcome.pause_s, LONGEST_PAUSE_S)
        if status in _THROTTLING:
            pause_s = max(pause_s, min(PAUSE_S * 2 ** min(self._failures - 1, OPENS_AFTER), OPEN_S))
        if self._failures >= OPENS_AFTER:
            pause_s = max(pause_s, OPEN_S)
        if pause_s and not self.closed:
            _log.warning(
                "destination_paused", destination=self._key, failures=self._failures, pause_s=round(pause_s, 1)
            )
        self._closed_until = max(self._closed_until, self._clock() + pause_s)


class Throttles:
    """The throttles of all destinations that this process has to do with."""

    def __init__(self, destinations: Destinations) -> None:
        """`destinations` know the limits."""
        self._destinations = destinations
        self._slots = Slots()
        self._throttles: dict[str, Throttle] = {}

    @property
    def free(self) -> int:
        """Attempts that may be begun now, whichever their destinations."""
        return self._slots.free

    def of(self, destination: str) -> Throttle:
        """The one for `destination`, as in `Callback.destination`."""
        key = self._destinations.key(destination)
        throttle = self._throttles.get(key)
        if throttle is None:
            self._forget_idle()
            limits = self._destinations.of(destination)
            per_second = min(limits.per_second or 1.0, 1.0) if key.startswith("slack:") else limits.per_second
            throttle = self._throttles[key] = Throttle(
                key, self._slots, concurrency=limits.concurrency, per_second=per_second
            )
        return throttle

    def _forget_idle(self) -> None:
        if len(self._throttles) < _KEPT:
            return
        for key in [key for key, throttle in self._throttles.items() if throttle.idle]:
            del self._throttles[key]
