"""Puts what is said into an archive outside the job store: at once if that goes well, else again and again."""

import asyncio

import structlog

from jobs import errors
from jobs.session import Archive, Kept
from jobs.store.sessions import Sessions

LOOK_S = 5.0
"""How often it is looked for messages that are not in the archive yet."""
AT_ONCE = 16
"""Messages on their way to the archive; more wait in the store."""
_log = structlog.get_logger(__name__)


class Archiver:
    """The one writer of an archive in this process."""

    def __init__(self, sessions: Sessions, archive: Archive) -> None:
        """`sessions` know what is missing in `archive`."""
        self._sessions = sessions
        self._archive = archive
        self._under_way: set[asyncio.Task[None]] = set()

    def file(self, kept: Kept) -> None:
        """Has a message archived; nobody waits for it, and what fails is tried again."""
        if len(self._under_way) < AT_ONCE:
            task = asyncio.create_task(self._put(kept))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _put(self, kept: Kept) -> None:
        try:
            await self._archive.put(kept)
            await self._sessions.archived(kept)
        except errors.StoreUnavailable as error:
            _log.warning("message_not_archived", message_id=kept.message.id, reason=error.detail)

    async def keep_archiving(self) -> None:
        """Puts what is missing into the archive, for ever."""
        while True:
            try:
                missing = await self._sessions.unarchived()
            except errors.StoreUnavailable:
                missing = []
            for start in range(0, len(missing), AT_ONCE):
                await asyncio.gather(*(self._put(kept) for kept in missing[start : start + AT_ONCE]))
            await asyncio.sleep(LOOK_S)

    async def aclose(self) -> None:
        """Waits for what is on its way."""
        await asyncio.gather(*self._under_way)
