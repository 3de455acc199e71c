"""The event logs as gateways read them: history by id, and a push of everything new to the gateways that serve it."""

import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import msgspec

from jobs.event import LoggedEvent
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Call, Connection


class Pushed(msgspec.Struct, frozen=True):
    """An event as it is pushed: enough to route it, and its SSE frame, ready to send."""

    job_id: str
    id: int
    name: str
    frame: bytes


class EventLog:
    """The logs of all jobs."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        """Reads the number of shards from `settings`."""
        self._connection = connection
        self._shards = settings.shards

    async def read(self, job_id: str, after: int, *, limit: int = 500) -> list[LoggedEvent]:
        """Events after that id, oldest first. Raises `errors.NotFound` and `errors.StoreUnavailable`."""
        rows = await self._connection.call("XRANGE", keys.events(job_id), f"({after}-0", "+", "COUNT", limit)
        # A row: the entry's id, and its fields as the append script writes them, `e` NAME `d` DATA.
        return [LoggedEvent(int(entry.partition(b"-")[0]), fields[1].decode(), fields[3]) for entry, fields in rows]

    async def watch(self, job_ids: Iterable[str], gateway_id: str) -> None:
        """From now on these jobs' events are pushed to that gateway process. Raises `errors.StoreUnavailable`."""
        await self._connection.run_many("watch", (Call(keys.job(job_id), (job_id, gateway_id)) for job_id in job_ids))

    async def unwatch(self, job_id: str, gateway_id: str) -> None:
        """No longer. Raises `errors.StoreUnavailable`."""
        await self._connection.run("unwatch", keys.job(job_id), job_id, gateway_id)

    @asynccontextmanager
    async def wire(self, gateway_id: str) -> AsyncIterator[AsyncIterator[Pushed]]:
        """The events of every job that `gateway_id` watches, as they are appended, over one connection.

        While it is open nothing is lost: whatever breaks it raises a redis error or `errors.StoreUnavailable`, and then
        the caller opens it anew, watches again and reads what it missed from the logs.
        """
        pool = self._connection.push_redis.connection_pool
        async with self._connection.bounded():
            connection = await pool.get_connection()
        try:
            async with self._connection.bounded():
                await connection.send_command(
                    "SSUBSCRIBE", *(keys.wire(shard, gateway_id) for shard in range(self._shards))
                )
                for _ in range(self._shards):
                    await connection.read_response()

            async def pushed() -> AsyncIterator[Pushed]:
                while True:
                    # The connection's own reader, not the client's PubSub, which takes three times the CPU per message.
                    _, _, payload = await connection.read_response(timeout=math.inf)
                    at = 0
                    while at < len(payload):
                        head = payload.index(b"\n", at)
                        job_id, number, name, size = payload[at:head].decode().split(" ")
                        at = head + 1 + int(size)
                        yield Pushed(job_id, int(number), name, payload[head + 1 : at])

            yield pushed()
        finally:
            await connection.disconnect()
            await pool.release(connection)

    async def echo(self, gateway_id: str) -> None:
        """Pushes something to that gateway process that is no event of any job. Raises `errors.StoreUnavailable`."""
        await self._connection.call("SPUBLISH", keys.wire(0, gateway_id), "echo 0 echo 0\n")
