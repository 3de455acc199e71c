"""Appends of many jobs in few calls: what a process appends at about the same time goes to each shard together.

A call for each append costs the store nearly twice the CPU, and each gateway a message for every event.
"""

import asyncio
from typing import NamedTuple

from jobs.store.connection import Call, Command, Connection

TOGETHER_S = 0.004
"""Under load, so long after one round the next one is sent; a lone append never waits."""
_LOAD = 4
"""More appends than these in a round are load."""


class _Append(NamedTuple):
    key: str
    words: Command
    reply: asyncio.Future[int]


class Appends:
    """Sends appends in rounds, one after the other."""

    def __init__(self, connection: Connection) -> None:
        """Uses the shared connection."""
        self._connection = connection
        self._waiting: list[_Append] = []
        self._sending: asyncio.Task[None] | None = None

    async def append(self, job_key: str, words: Command) -> int:
        """What the script replies for one job, whose part of the arguments is `words`.

        Raises `errors.StoreUnavailable`: then nobody knows whether it was done.
        """
        reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Append(job_key, words, reply))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        return await reply

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            began = loop.time()
            appends, self._waiting = self._waiting, []
            await self._round(appends)
            if len(appends) > _LOAD:
                await asyncio.sleep(max(0.0, began + TOGETHER_S - loop.time()))

    async def _round(self, appends: list[_Append]) -> None:
        shards: dict[str, list[_Append]] = {}
        for append in appends:
            shards.setdefault(append.key[: append.key.index("}")], []).append(append)
        calls = [
            Call(together[0].key, tuple(word for append in together for word in append.words))
            for together in shards.values()
        ]
        try:
            replies = await self._connection.run_many("append", calls)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            for append in appends:
                if not append.reply.done():
                    append.reply.set_exception(error)
            return
        for together, results in zip(shards.values(), replies, strict=True):
            for append, result in zip(together, results, strict=True):
                if not append.reply.done():  # whoever asked may have given up
                    append.reply.set_result(int(result))
