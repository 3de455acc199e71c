"""When new jobs are refused because those before them wait too long."""

import asyncio

from jobs import errors
from jobs.store.jobs import FULL_RETRY_S, JobStore

LOOK_S = 1.0
"""How often the store is asked: the one submission that finds the answer too old pays a round trip."""


class Pressure:
    """How long the oldest queued job has waited, as this process knows it."""

    def __init__(self, store: JobStore, limit_s: float) -> None:
        """With a job that waits longer than `limit_s`, new ones are refused."""
        self._store = store
        self._limit_s = limit_s
        self._looked = -LOOK_S
        self._waited_s = 0.0

    async def check(self) -> None:
        """Raises `errors.QueueFull` while jobs wait too long, and `errors.StoreUnavailable`."""
        now = asyncio.get_running_loop().time()
        if now - self._looked >= LOOK_S:
            self._looked = now
            self._waited_s = await self._store.longest_queued_s()
        if self._waited_s > self._limit_s:
            raise errors.QueueFull(
                f"The oldest queued job has waited {self._waited_s:.0f} s; after {self._limit_s:g} s this deployment "
                "accepts no more, and nothing was accepted. Are workers running?",
                retry_after=FULL_RETRY_S,
            )
