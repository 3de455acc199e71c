"""Stores and locks of several processes on one Valkey."""

from collections.abc import AsyncIterator, Callable

import pytest

from conversations.lock import SessionLock
from jobs.settings import Settings
from jobs.store.connection import Connection
from jobs.store.sessions import Sessions


@pytest.fixture
async def new_lock(connection: Connection, settings: Settings) -> AsyncIterator[Callable[[], SessionLock]]:
    """Makes the locks of workers that share nothing but the store."""
    made: list[tuple[SessionLock, Connection]] = []

    def new() -> SessionLock:
        own = Connection(settings.redis_url, timeout=5.0)
        made.append((SessionLock(Sessions(own, settings)), own))
        return made[-1][0]

    yield new
    for lock, own in made:
        await lock.aclose()
        await own.aclose()
