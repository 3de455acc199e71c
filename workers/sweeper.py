"""Sends hints again for jobs that were left behind: hints that got lost, workers that died."""

import asyncio
import random
from collections.abc import Callable

import structlog

from jobs import errors
from jobs.dispatch import Dispatch
from jobs.store.jobs import JobStore

SWEEP_S = 1.0
BACKLOG = 1_000
"""With so many hints in the queues, jobs are not left behind, they wait their turn: no more hints are sent."""
_log = structlog.get_logger(__name__)


class Sweeper:
    """Every worker runs one; taking an overdue job gives it to one of them only, so none has to be elected."""

    def __init__(self, store: JobStore, dispatch: Dispatch) -> None:
        """`dispatch` sends the hints."""
        self._store = store
        self._depth: Callable[[], int] = dispatch.depth
        self._send = dispatch.send

    async def keep_sweeping(self) -> None:
        """Sweeps, for ever."""
        while True:
            await asyncio.sleep(SWEEP_S * random.uniform(0.8, 1.2))  # noqa: S311 - spreads processes over time
            try:
                await self.sweep()
            except errors.StoreUnavailable:
                continue
            except Exception:  # noqa: BLE001  # the broker's transport raises what it likes; sweeping must go on
                _log.exception("sweep_failed")

    async def sweep(self) -> int:
        """One round; how many hints were sent. Raises `errors.StoreUnavailable` and the broker's errors."""
        # The broker first: who has taken jobs and then cannot hint them keeps them from everybody for a while.
        if not await self._store.any_overdue() or await asyncio.to_thread(self._depth) > BACKLOG:
            return 0
        overdue = await self._store.overdue()
        for job_id, priority in overdue:
            self._send(job_id, priority)
        if overdue:
            _log.info("hints_sent_again", count=len(overdue))
        return len(overdue)
