"""Whether the store keeps what it is told: what its configuration may lose, and answers that wait for the disk."""

import asyncio
from typing import Any, NamedTuple

import structlog
from redis.exceptions import ResponseError

from jobs import errors
from jobs.settings import Settings
from jobs.store.connection import Call, Connection

STRICT_S = 5.0
"""An answer that waits for the disk may take so long; with `appendfsync everysec` a sync comes once a second."""
_log = structlog.get_logger(__name__)


class Weakness(NamedTuple):
    """Something in the store's configuration that may lose jobs."""

    subject: str
    """`durability`, `eviction` or `syncing`."""
    text: str
    """What may be lost, and the setting that mends it."""


async def weaknesses(connection: Connection, settings: Settings) -> list[Weakness]:
    """What may lose jobs, as the store tells. Raises `errors.StoreUnavailable`."""
    info = facts(await connection.call("INFO", "everything"))
    found = []
    if info.get("aof_enabled") != "1":
        lost = "a crash of the store LOSES ACCEPTED JOBS; set appendonly yes, appendfsync everysec"
        found.append(Weakness("durability", f"the append-only file is off: {lost}"))
    elif info.get("aof_last_write_status") != "ok":
        found.append(Weakness("durability", "the append-only file cannot be written; is the disk full?"))
    elif settings.durability == "strict" and await _syncing(connection) != "always":
        slow = "every submission waits for the next sync, up to a second; set appendfsync always"
        found.append(Weakness("syncing", f"RINGBACK_DURABILITY is strict, but appendfsync is not always: {slow}"))
    if (policy := info.get("maxmemory_policy")) != "noeviction":
        lost = "a full store DROPS ACCEPTED JOBS; set maxmemory-policy noeviction"
        found.append(Weakness("eviction", f"the policy is {policy}: {lost}"))
    return found


def facts(info: bytes) -> dict[str, str]:
    """The lines `name:value` of what INFO answers."""
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in lines if colon}


async def _syncing(connection: Connection) -> str:
    """The store's `appendfsync`; empty where it does not tell."""
    try:
        found = await connection.call("CONFIG", "GET", "appendfsync")
    except ResponseError:  # hosted stores refuse CONFIG
        return ""
    pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
    return next((str(value.decode()) for name, value in pairs if name == b"appendfsync"), "")


class StrictConnection(Connection):
    """A connection whose scripts answer once what they wrote is on the store's disk, and on its replicas if asked.

    Calls that come while others wait go together in the next round: many share one sync.
    """

    def __init__(self, url: str, *, timeout: float, replicas: int) -> None:
        """`timeout` as for any connection, but no less than `STRICT_S`; `replicas` that must have it too."""
        super().__init__(url, timeout=max(timeout, STRICT_S))
        self._wait = ("WAITAOF", 1, replicas, int(self.timeout * 900))
        self._replicas = replicas
        self._waiting: dict[str, list[tuple[Call, asyncio.Future[Any]]]] = {}
        self._rounds: asyncio.Task[None] | None = None

    async def run(self, script: str, key: str, *args: str | bytes | int) -> Any:
        """See `Connection.run`; also raises `errors.StoreUnavailable` if the disk or a replica does not confirm."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(script, []).append((Call(key, args), answer))
        if self._rounds is None or self._rounds.done():
            self._rounds = asyncio.create_task(self._run_rounds())
        return await answer

    async def _run_rounds(self) -> None:
        while self._waiting:
            script, batch = self._waiting.popitem()
            try:
                *replies, confirmed = await self.run_many(script, (call for call, _ in batch), then=self._wait)
                if confirmed[0] < 1 or confirmed[1] < self._replicas:
                    raise errors.StoreUnavailable(retry_after=1)
            except Exception as error:  # noqa: BLE001  # every caller gets it, whatever it is
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
            else:
                for (_, answer), reply in zip(batch, replies, strict=True):
                    if not answer.done():
                        answer.set_result(reply)


async def warn_of_weaknesses(connection: Connection, settings: Settings) -> None:
    """Logs what in the store's configuration may lose jobs, as soon as the store can be asked."""
    while True:
        try:
            found = await weaknesses(connection, settings)
            break
        except errors.StoreUnavailable:
            await asyncio.sleep(1.0)
    for weakness in found:
        _log.warning("store_may_lose_jobs", subject=weakness.subject, reason=weakness.text)
