"""Proves that this worker consumes: it sends itself a task through the broker and notes when it comes back.

A worker that is connected but has stopped consuming is the best known failure of Celery on Redis.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from jobs import errors
from jobs.store.presence import FRESH_S, Presence

EVERY_S = 2.0
GIVE_UP_S = 60.0
"""A worker with free slots that got no probe back for so long is not consuming and must be restarted."""
_log = structlog.get_logger(__name__)


class Probe:
    """The proof of one worker process."""

    def __init__(self, presence: Presence, worker_id: str, slots: int) -> None:
        """`worker_id` is unique to the process; `slots` is how many jobs it runs at once."""
        self._presence = presence
        self._worker_id = worker_id
        self._slots = slots
        self._seen = time.monotonic()
        self._proved = False

    def returned(self) -> None:
        """A task of this worker's own queue has arrived; called from any thread."""
        self._seen = time.monotonic()
        self._proved = True

    async def keep_probing(
        self, send: Callable[[], None], running: Callable[[], int], give_up: Callable[[], None]
    ) -> None:
        """Probes, for ever.

        `send` puts a probe into this worker's own queue (it blocks), `running` counts its jobs, `give_up` ends it.
        """
        while True:
            try:
                await asyncio.to_thread(send)
                if self._proved:
                    await self._report()
            except errors.StoreUnavailable:
                self._seen = time.monotonic()  # Without a store there is nothing to consume.
            except Exception as error:  # noqa: BLE001  # the broker's transport raises what it likes
                _log.warning("probe_not_sent", error=type(error).__name__)
                self._seen = time.monotonic()
            if running() >= self._slots:
                self._seen = time.monotonic()  # Full: it rightly takes nothing more.
            if time.monotonic() - self._seen > GIVE_UP_S:
                _log.error("worker_not_consuming", seconds=GIVE_UP_S)
                give_up()
                return
            await asyncio.sleep(EVERY_S if self._proved else 0.25)

    async def _report(self) -> None:
        if time.monotonic() - self._seen <= FRESH_S:
            await self._presence.prove(self._worker_id)

    async def withdraw(self) -> None:
        """This worker consumes no more. Raises `errors.StoreUnavailable`."""
        await self._presence.withdraw(self._worker_id)
