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
        async with self._connection.bounded():
            pipeline = self._connection.redis.pipeline(transaction=False)
            pipeline.zadd(_KEY, {worker_id: now + FRESH_S})
            pipeline.zremrangebyscore(_KEY, "-inf", now - FRESH_S)
            await pipeline.execute()

    async def withdraw(self, worker_id: str) -> None:
        """This worker stops. Raises `errors.StoreUnavailable`."""
        await self._connection.do(self._connection.redis.zrem(_KEY, worker_id))

    async def count(self) -> int:
        """How many workers consume. Raises `errors.StoreUnavailable`."""
        return int(await self._connection.do(self._connection.redis.zcount(_KEY, time.time(), "+inf")))
