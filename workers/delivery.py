"""Delivers callbacks: at once when a job ends, later from the outbox's schedule. Every attempt is recorded.

A delivery whose destination cannot take it now goes back to the outbox, and that is no attempt: what one destination
does never holds up another's deliveries.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import structlog

from jobs import errors
from jobs.destinations import Destinations
from jobs.settings import Settings
from jobs.store.deliveries import ROUND_S, Attempt, DeliveryStatus, Due, Outbox
from workers.destinations.service import Outcome, Sender
from workers.destinations.throttle import Throttles
from workers.persistence import persist

SCHEDULE_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Pauses after the first attempt, the second, …: about three days in all (Standard Webhooks 1.0), plus jitter."""
ATTEMPT_S = 20.0
"""Seconds that one attempt may take, all in all."""
ATTEMPT_LEASE_S = 30.0
"""A delivery taken by a process is due again after so many seconds, in case that process dies: longer than it may wait
for its destination (`throttle.WAIT_S`) and be tried."""
POLL_S = 0.5
_TAKE = 16

_log = structlog.get_logger(__name__)


class Deliverer:
    """Delivers from this process."""

    def __init__(self, outbox: Outbox, senders: Mapping[str, Sender], destinations: Destinations | None = None) -> None:
        """`senders` by kind: `http` and, where there are such destinations, `slack` and `database`.

        `destinations` know the limits of each; without them all have the defaults.
        """
        self._outbox = outbox
        self._senders = senders
        self._throttles = Throttles(destinations or Destinations(Settings()))
        self._held: dict[asyncio.Task[None], Due] = {}

    def start(self, due: Due) -> None:
        """Makes one attempt, in the background, at a delivery leased to this process."""
        task = asyncio.create_task(self.deliver(due))
        self._held[task] = due
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        del self._held[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its lease runs out, and then it is tried again.
            _log.error("delivery_crashed", exc_info=error)

    async def deliver(self, due: Due) -> None:
        """Makes one attempt and records it with what follows from it; or puts the delivery back."""
        throttle = self._throttles.of(due.destination)
        if wait_s := await throttle.enter():
            await self._put_back([(due, wait_s)])
            return
        outcome: Outcome | None = None
        at, began = datetime.now(UTC), time.monotonic()
        try:
            outcome = await self._send(due)
        finally:
            throttle.leave(outcome)
        status, next_s = _consequence(outcome, due.tries - due.earlier)
        await self._settle(due, outcome, status, next_s, at=at, duration_s=time.monotonic() - began)

    async def _send(self, due: Due) -> Outcome:
        kind, _, _ = due.destination.partition(":")
        sender = self._senders.get(kind if kind in ("slack", "database") else "http")
        if sender is None:
            return Outcome(verdict="again", error=f"this worker has no {kind} destinations")
        return await sender.send(due)

    async def _settle(
        self, due: Due, outcome: Outcome, status: DeliveryStatus, next_s: float, *, at: datetime, duration_s: float
    ) -> None:
        attempt = Attempt(
            number=due.tries + 1,
            at=at,
            status_code=outcome.status_code,
            duration_ms=int(duration_s * 1000),
            response_excerpt=outcome.excerpt,
            error=outcome.error,
        )
        await persist(lambda: self._outbox.settle(due, attempt, status=status, next_s=next_s))
        # What went well is told by the job's deliveries.
        tell = _log.debug if status == "delivered" else _log.info
        tell(
            "callback_attempt",
            delivery_id=due.id,
            job_id=due.job_id,
            number=attempt.number,
            status=status,
            status_code=attempt.status_code,
            error=attempt.error,
            duration_ms=attempt.duration_ms,
        )

    async def _put_back(self, deliveries: Sequence[tuple[Due, float]]) -> None:
        """Each is due again in so many seconds, unless its round has gone on for too long already."""
        oldest_ms = (time.time() - ROUND_S) * 1000
        await persist(lambda: self._outbox.postpone((due, s) for due, s in deliveries if due.began_ms > oldest_ms))
        for due, _ in deliveries:
            if due.began_ms <= oldest_ms:
                outcome = Outcome(verdict="never", error="given up: the destination has been failing or full for days")
                await self._settle(due, outcome, "failed", 0.0, at=datetime.now(UTC), duration_s=0.0)

    async def keep_delivering(self) -> None:
        """Takes what is due, for ever."""
        while True:
            await asyncio.sleep(POLL_S * random.uniform(0.8, 1.2))  # noqa: S311 - spreads processes over time
            try:
                # What a dead destination has left there must not stand before what is due for others.
                while self._throttles.free >= _TAKE and await self._take() >= _TAKE:
                    pass
            except errors.StoreUnavailable:
                continue

    async def _take(self) -> int:
        """Takes once, and begins what may begin; how many were taken. Raises `errors.StoreUnavailable`."""
        taken = await self._outbox.take(limit=_TAKE, lease_s=ATTEMPT_LEASE_S)
        closed: list[tuple[Due, float]] = []
        for due in taken:
            throttle = self._throttles.of(due.destination)
            if throttle.closed:
                closed.append((due, throttle.postponement()))
            else:
                self.start(due)
        if closed:
            await self._put_back(closed)
        await asyncio.sleep(0)  # those that were started get as far as they can
        return len(taken)

    async def aclose(self, limit_s: float) -> None:
        """Finishes what is under way, at most `limit_s` seconds; the rest is due again at once, for others."""
        held = dict(self._held)
        if held:
            _, unfinished = await asyncio.wait(held, timeout=limit_s)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
            try:
                await self._outbox.postpone([(held[task], 0.0) for task in unfinished])
            except errors.StoreUnavailable:
                _log.warning("deliveries_not_handed_back", count=len(unfinished))
        for sender in self._senders.values():
            await sender.aclose()


def _consequence(outcome: Outcome, tries: int) -> tuple[DeliveryStatus, float]:
    """What follows from an attempt, `tries` of this round before it: the delivery's status, and the seconds until the
    next attempt if there is one."""
    if outcome.verdict == "delivered":
        return "delivered", 0.0
    if outcome.verdict == "never" or tries >= len(SCHEDULE_S):
        return "failed", 0.0
    scheduled = SCHEDULE_S[tries] * random.uniform(1.0, 1.1)  # noqa: S311 - jitter
    return "pending", max(scheduled, min(outcome.pause_s, SCHEDULE_S[-1]))
