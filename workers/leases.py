"""The jobs that this process runs: their leases are renewed, and who must stop is stopped."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import structlog

from jobs import errors
from jobs.store.jobs import Claim, JobStore

CHECK_S = 0.5
"""How often running jobs are checked for a wish to cancel them."""

Reason = Literal["cancel", "stale", "drain"]
_log = structlog.get_logger(__name__)


class Held:
    """A job held by this process."""

    def __init__(self, claim: Claim, task: asyncio.Task[object]) -> None:
        """`task` runs the job."""
        self.claim = claim
        self.stopped: Reason | None = None
        """Why its task was cancelled, if it was cancelled by us."""
        self.ending = False
        """Its outcome is being written: from then on the store decides, and only a drain still stops it."""
        self._task = task

    def stop(self, reason: Reason) -> None:
        """Cancels the run, once."""
        if self.stopped is None and (reason == "drain" or not self.ending):
            self.stopped = reason
            self._task.cancel()


class Leases:
    """All jobs held by this process."""

    def __init__(self, store: JobStore, lease_s: float) -> None:
        """`lease_s` is how long a lease lasts; it is renewed at a third of that."""
        self._store = store
        self._renew_s = lease_s / 3
        self._held: dict[str, Held] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        """How many jobs this process runs."""
        return len(self._held)

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[Held]:
        """Holds the job while the current task runs it; stops an earlier run of it, which has lost it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - always called from a task
        if earlier := self._held.get(claim.spec.id):
            earlier.stop("stale")
        held = self._held[claim.spec.id] = Held(claim, task)
        self._idle.clear()
        try:
            yield held
        finally:
            if self._held.get(claim.spec.id) is held:
                del self._held[claim.spec.id]
            if not self._held:
                self._idle.set()

    async def keep(self) -> None:
        """Renews leases and passes on wishes to cancel, for ever."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(CHECK_S)
            extend = loop.time() - renewed >= self._renew_s
            held = dict(self._held)
            try:
                states = await self._store.renew({id_: h.claim.fence for id_, h in held.items()}, extend=extend)
            except errors.StoreUnavailable:
                # The store cannot give the jobs to anyone else either; renew as soon as it is back.
                renewed = 0.0
                continue
            if extend:
                renewed = loop.time()
            for job_id, state in states.items():
                if state != "ok" and self._held.get(job_id) is held[job_id]:
                    _log.warning("job_stopped", job_id=job_id, reason=state)
                    held[job_id].stop(state)

    async def drain(self, limit_s: float) -> None:
        """Waits until every job has ended, at most `limit_s` seconds; then stops the rest, to be handed back."""
        try:
            async with asyncio.timeout(limit_s):
                await self._idle.wait()
        except TimeoutError:
            for held in list(self._held.values()):
                held.stop("drain")
            await self._idle.wait()
