"""Delivers callbacks: at once when a job ends, later from the outbox's schedule. Every attempt is recorded."""

import asyncio
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import structlog

from jobs import errors
from jobs.store.deliveries import Attempt, DeliveryStatus, Due, Outbox
from workers.destinations.service import Outcome, Sender
from workers.persistence import persist

SCHEDULE_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Pauses after the first attempt, the second, …: about three days in all (Standard Webhooks 1.0), plus jitter."""
ATTEMPT_S = 20.0
"""Seconds that one attempt may take, all in all."""
ATTEMPT_LEASE_S = 30.0
"""A delivery taken by a process is due again after so many seconds, in case that process dies."""
POLL_S = 0.5
AT_ONCE = 256
"""Deliveries that one process makes at the same time."""
_TAKE = 16

_log = structlog.get_logger(__name__)


class Deliverer:
    """Delivers from this process."""

    def __init__(self, outbox: Outbox, senders: Mapping[str, Sender]) -> None:
        """`senders` by kind: `http` and, where there are such destinations, `slack` and `database`."""
        self._outbox = outbox
        self._senders = senders
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, due: Due) -> None:
        """Makes one attempt, in the background, at a delivery leased to this process."""
        if len(self._tasks) >= AT_ONCE:
            return  # Its lease runs out and someone with room takes it.
        task = asyncio.create_task(self.deliver(due))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def deliver(self, due: Due) -> None:
        """Makes one attempt and records it with what follows from it."""
        at, began = datetime.now(UTC), time.monotonic()
        outcome = await self._send(due)
        attempt = Attempt(
            number=due.tries + 1,
            at=at,
            status_code=outcome.status_code,
            duration_ms=int((time.monotonic() - began) * 1000),
            response_excerpt=outcome.excerpt,
            error=outcome.error,
        )
        status, next_s = _consequence(outcome, due.tries)
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

    async def keep_delivering(self) -> None:
        """Takes what is due, for ever."""
        while True:
            await asyncio.sleep(POLL_S * random.uniform(0.8, 1.2))  # noqa: S311 - spreads processes over time
            if len(self._tasks) + _TAKE > AT_ONCE:
                continue
            try:
                taken = await self._outbox.take(limit=_TAKE, lease_s=ATTEMPT_LEASE_S)
            except errors.StoreUnavailable:
                continue
            for due in taken:
                self.start(due)

    async def aclose(self, limit_s: float) -> None:
        """Finishes what is under way, at most `limit_s` seconds; the rest is due again when its lease runs out."""
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=limit_s)
            for task in unfinished:
                task.cancel()
        for sender in self._senders.values():
            await sender.aclose()

    async def _send(self, due: Due) -> Outcome:
        kind, _, _ = due.destination.partition(":")
        sender = self._senders.get(kind if kind in ("slack", "database") else "http")
        if sender is None:
            return Outcome(verdict="again", error=f"this worker has no {kind} destinations")
        return await sender.send(due)


def _consequence(outcome: Outcome, tries: int) -> tuple[DeliveryStatus, float]:
    """What follows from an attempt: the delivery's status, and the seconds until the next attempt if there is one."""
    if outcome.verdict == "delivered":
        return "delivered", 0.0
    if outcome.verdict == "never" or tries >= len(SCHEDULE_S):
        return "failed", 0.0
    scheduled = SCHEDULE_S[tries] * random.uniform(1.0, 1.1)  # noqa: S311 - jitter
    return "pending", max(scheduled, min(outcome.pause_s, SCHEDULE_S[-1]))
