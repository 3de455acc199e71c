"""Which worker processes are there and have lately proved that they consume."""

import time

from jobs.store.connection import Connection

_KEY = "rb:workers"
FRESH_S = 15.0
"""So long after its last proof a worker counts as consuming."""


class Presence:
    """A sorted set of worker ids, scored by when their proof goes stale (Unix seconds)."""

    def __init__(self, connection: Connection) -> None:
        """Uses the shared connection."""
        self._connection = connection

    async def prove(self, worker_id: str) -> None:
        """This worker has just proved that it consumes. Raises `errors.StoreUnavailable`."""
        now = time.time()
        await self._connection.calls(
            [
                ("ZADD", _KEY, str(now + FRESH_S), worker_id),
                ("ZREMRANGEBYSCORE", _KEY, "-inf", str(now - FRESH_S)),
            ]
        )

    async def withdraw(self, worker_id: str) -> None:
        """This worker stops. Raises `errors.StoreUnavailable`."""
        await self._connection.call("ZREM", _KEY, worker_id)

    async def count(self) -> int:
        """How many workers consume. Raises `errors.StoreUnavailable`."""
        return int(await self._connection.call("ZCOUNT", _KEY, str(time.time()), "+inf"))
