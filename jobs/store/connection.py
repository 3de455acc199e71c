"""The connection to Redis or Valkey: bounded in time, its failures told as `StoreUnavailable`, scripts loaded once."""

import asyncio
import functools
import hashlib
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import hiredis
import msgspec
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from jobs import errors

T = TypeVar("T")

_SCRIPTS = Path(__file__).parent / "scripts"
AT_ONCE = 128
"""Calls under way at the same time, each on a connection of its own; more wait their turn."""
_UNABLE = (exceptions.OutOfMemoryError, exceptions.ReadOnlyError, exceptions.ClusterDownError)
"""Replies that mean that the server is there but cannot do its work now;"""
_UNABLE_WORDS = ("MISCONF", "NOREPLICAS", "BUSY")
"""and how those replies begin that have no class of their own."""


class _Script(NamedTuple):
    source: str
    sha: str


@functools.cache
def _script(name: str) -> _Script:
    source = (_SCRIPTS / "prelude.lua").read_text() + (_SCRIPTS / f"{name}.lua").read_text()
    return _Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


class Call(msgspec.Struct, frozen=True):
    """One call of a script: the key that names its shard, and its arguments."""

    key: str
    args: tuple[str | bytes | int, ...]


class Connection:
    """A pool of connections shared by one process's stores."""

    def __init__(self, url: str, *, timeout: float) -> None:
        """`timeout`: seconds that any one call may take, connecting and one reconnect included."""
        self.timeout = timeout
        self._calls = asyncio.Semaphore(AT_ONCE)
        options: dict[str, Any] = {
            "socket_connect_timeout": timeout,
            # No limit of its own: `bounded` has one. redis-py's uses asyncio.wait_for, which on Python 3.11 swallows a
            # cancellation that comes in the same moment as the result.
            "socket_timeout": None,
            # One fresh try over a new connection: the server may have restarted since the last call.
            "retry": Retry(NoBackoff(), 1),
            # The pool refuses beyond its own limit, which would be 100: it must never come to that.
            "max_connections": 2 * AT_ONCE,
        }
        if not url.startswith("unix:"):
            options["socket_keepalive"] = True
        # Any: redis-py's types cannot tell that replies are bytes here.
        self.redis: Any = Redis.from_url(url, **options)
        self.push_redis: Any = Redis.from_url(url, protocol=2, **options)
        """For connections that are only listened to: protocol 3 formats a log line for every push it reads."""

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Bounds what runs inside it in time and tells the store's failures as `errors.StoreUnavailable`."""
        try:
            async with asyncio.timeout(self.timeout), self._calls:
                yield
        except (exceptions.ConnectionError, exceptions.TimeoutError, TimeoutError, OSError) as error:
            raise errors.StoreUnavailable(retry_after=1) from error
        except exceptions.ResponseError as error:
            if isinstance(error, _UNABLE) or str(error).startswith(_UNABLE_WORDS):
                raise errors.StoreUnavailable(f"The job store refuses to write: {error}", retry_after=5) from error
            raise

    async def run(self, script: str, key: str, *args: str | bytes | int) -> Any:
        """Runs `scripts/<script>.lua` with `key` as KEYS[1]. Raises `errors.StoreUnavailable`."""
        source, sha = _script(script)
        async with self.bounded():
            try:
                return await self._evalsha(sha, key, args)
            except exceptions.NoScriptError:
                return await self.redis.eval(source, 1, key, *args)

    async def _evalsha(self, sha: str, key: str, args: tuple[Any, ...]) -> Any:
        """What `redis.evalsha` comes to, with the command packed in C: half the CPU of what every step does."""
        packed = hiredis.pack_command(("EVALSHA", sha, 1, key, *args))
        pool = self.redis.connection_pool
        for fresh in (False, True):
            connection = await pool.get_connection()
            try:
                await connection.send_packed_command(packed)
                return await connection.read_response()
            except exceptions.ConnectionError:
                # The server may have restarted since the connection was last used.
                if fresh:
                    raise
                await connection.disconnect()
            finally:
                await pool.release(connection)
        raise AssertionError("unreachable: the second attempt returns or raises")

    async def run_many(self, script: str, calls: Iterable[Call]) -> list[Any]:
        """Runs one script many times in one round trip. Raises `errors.StoreUnavailable`."""
        source, sha = _script(script)
        batch = list(calls)
        if not batch:
            return []
        async with self.bounded():
            try:
                return await self._evalsha_many(sha, batch)
            except exceptions.NoScriptError:
                await self.redis.script_load(source)
                return await self._evalsha_many(sha, batch)

    async def _evalsha_many(self, sha: str, batch: list[Call]) -> list[Any]:
        pipeline = self.redis.pipeline(transaction=False)
        for call in batch:
            pipeline.evalsha(sha, 1, call.key, *call.args)
        results: list[Any] = await pipeline.execute()
        return results

    async def do(self, command: Awaitable[T]) -> T:
        """Awaits one plain command. Raises `errors.StoreUnavailable`."""
        async with self.bounded():
            return await command

    async def aclose(self) -> None:
        """Closes the pools."""
        await self.redis.aclose()
        await self.push_redis.aclose()
