"""The connection to Redis or Valkey: bounded in time, its failures told as `StoreUnavailable`, scripts loaded once."""

import asyncio
import contextlib
import hashlib
import re
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import hiredis
import msgspec
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from jobs import errors

_SCRIPTS = Path(__file__).parent / "scripts"
_UNABLE = (exceptions.OutOfMemoryError, exceptions.ReadOnlyError, exceptions.ClusterDownError)
"""Replies that mean that the server is there but cannot do its work now;"""
_UNABLE_WORDS = ("MISCONF", "NOREPLICAS", "BUSY", "WAITAOF cannot")
"""and how those replies begin that have no class of their own."""


class _Script(NamedTuple):
    source: str
    sha: str


def _assembled() -> dict[str, _Script]:
    """Each script after those parts of the prelude that it uses: each part costs every call a microsecond."""
    first, *parts = (_SCRIPTS / "prelude.lua").read_text().split("\n\n")
    functions = {part: re.findall(r"^local function (\w+)", part, re.MULTILINE) for part in parts}
    scripts: dict[str, _Script] = {}
    for path in _SCRIPTS.glob("*.lua"):
        source = path.read_text()
        for part in reversed(parts):
            if any(f"{function}(" in source for function in functions[part]):
                source = f"{part}\n\n{source}"
        source = f"{first}\n\n{source}"
        scripts[path.stem] = _Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
    return scripts


_scripts = _assembled()
"""Read when the process starts: an upgrade changes the files under those that still run."""


Command = tuple[str | bytes | int, ...]


class Call(msgspec.Struct, frozen=True):
    """One call of a script: the key that names its shard, and its arguments."""

    key: str
    args: Command


class _Pipe:
    """One connection that all calls share: commands go out as they come, replies come back in the same order.

    A pool's connection for each call costs three times the CPU, and a wait once the pool is used up.
    """

    def __init__(self, connection: Any) -> None:
        """`connection` is redis-py's, connected."""
        self.open = True
        self._connection = connection
        self._expected: deque[asyncio.Future[Any]] = deque()
        self._reader = asyncio.create_task(self._read())

    async def exchange(self, packed: bytes, count: int) -> list[Any]:
        """The replies to `count` commands; one that refuses a command is an exception among them.

        Raises redis-py's `ConnectionError` if the connection is lost: then nobody knows what was done.
        """
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(count)]
        self._expected.extend(futures)
        try:
            await self._connection.send_packed_command(packed, check_health=False)
        except BaseException:
            self.close()  # redis-py has closed the connection
            raise
        replies = [await future for future in futures]
        if replies and isinstance(replies[-1], exceptions.ConnectionError):
            raise replies[-1]
        return replies

    async def _read(self) -> None:
        try:
            while True:
                reply: Any
                try:
                    reply = await self._connection.read_response()
                except exceptions.ResponseError as refusal:
                    reply = refusal
                future = self._expected.popleft()
                if not future.done():  # whoever asked may have given up
                    future.set_result(reply)
        except (exceptions.RedisError, OSError):
            return
        finally:
            self.open = False
            for future in self._expected:
                if not future.done():
                    future.set_result(exceptions.ConnectionError("the connection to the store was lost"))
            self._expected.clear()
            with contextlib.suppress(exceptions.RedisError, OSError):
                await self._connection.disconnect(nowait=True)

    def close(self) -> None:
        """Gives it up; calls under way fail."""
        self.open = False
        self._reader.cancel()

    async def aclose(self) -> None:
        """Gives it up, and returns once it is closed."""
        self.close()
        await asyncio.gather(self._reader, return_exceptions=True)


@contextmanager
def _failures_told() -> Iterator[None]:
    """Tells the store's failures as `errors.StoreUnavailable`."""
    try:
        yield
    except (exceptions.ConnectionError, exceptions.TimeoutError, TimeoutError, OSError) as error:
        raise errors.StoreUnavailable(retry_after=1) from error
    except exceptions.ResponseError as error:
        if isinstance(error, _UNABLE) or str(error).startswith(_UNABLE_WORDS):
            raise errors.StoreUnavailable(f"The job store refuses to write: {error}", retry_after=5) from error
        raise


class Connection:
    """What one process's stores share."""

    def __init__(self, url: str, *, timeout: float) -> None:
        """`timeout`: seconds that any one call may take, connecting and one reconnect included."""
        self.timeout = timeout
        options: dict[str, Any] = {
            "socket_connect_timeout": timeout,
            # No limit of its own: calls have one. redis-py's uses asyncio.wait_for, which on Python 3.11 swallows a
            # cancellation that comes in the same moment as the result.
            "socket_timeout": None,
            # One fresh try over a new connection: the server may have restarted since the last call.
            "retry": Retry(NoBackoff(), 1),
        }
        if not url.startswith("unix:"):
            options["socket_keepalive"] = True
        # Any: redis-py's types cannot tell that replies are bytes here.
        self.redis: Any = Redis.from_url(url, **options)
        """Where the pipe's connection comes from."""
        self.push_redis: Any = Redis.from_url(url, protocol=2, **options)
        """For connections that are only listened to: protocol 3 formats a log line for every push it reads."""
        self._pipe: _Pipe | None = None
        self._connecting = asyncio.Lock()

    async def call(self, *command: str | bytes | int) -> Any:
        """The reply to one command, which must be safe to repeat. Raises `errors.StoreUnavailable`."""
        return (await self.calls([command]))[0]

    async def calls(self, commands: Iterable[Command]) -> list[Any]:
        """The replies to many commands in one round trip. Raises as `call` does."""
        batch = list(commands)
        with _failures_told():
            return _accepted(await self._exchange(batch))

    async def run(self, script: str, key: str, *args: str | bytes | int) -> Any:
        """Runs `scripts/<script>.lua` with `key` as KEYS[1]. Raises `errors.StoreUnavailable`."""
        return (await self.run_many(script, [Call(key, args)]))[0]

    async def run_many(self, script: str, calls: Iterable[Call], *, then: Command | None = None) -> list[Any]:
        """Runs one script many times in one round trip; `then` goes right behind, and its reply comes last.

        Raises `errors.StoreUnavailable`.
        """
        source, sha = _scripts[script]
        batch: list[Command] = [("EVALSHA", sha, 1, call.key, *call.args) for call in calls]
        if then:
            batch.append(then)
        with _failures_told():
            replies = await self._exchange(batch)
            if any(isinstance(reply, exceptions.NoScriptError) for reply in replies):
                replies = (await self._exchange([("SCRIPT", "LOAD", source), *batch]))[1:]
            return _accepted(replies)

    async def _exchange(self, batch: Sequence[Command]) -> list[Any]:
        if not batch:
            return []
        packed = b"".join([hiredis.pack_command(command) for command in batch])  # type: ignore[arg-type]  # its types take one part
        pipe = self._pipe
        try:
            async with asyncio.timeout(self.timeout):
                try:
                    pipe = await self._opened()
                    return await pipe.exchange(packed, len(batch))
                except exceptions.ConnectionError:
                    # The server may have restarted since the last call.
                    pipe = await self._opened()
                    return await pipe.exchange(packed, len(batch))
        except TimeoutError:
            if pipe is not None:
                pipe.close()  # it hangs: the next call tries a new one
            raise

    async def _opened(self) -> _Pipe:
        if self._pipe is None or not self._pipe.open:
            async with self._connecting:
                if self._pipe is None or not self._pipe.open:
                    connection = self.redis.connection_pool.make_connection()
                    await connection.connect()
                    self._pipe = _Pipe(connection)
        return self._pipe

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Bounds what runs inside it in time and tells the store's failures as `errors.StoreUnavailable`."""
        with _failures_told():
            async with asyncio.timeout(self.timeout):
                yield

    async def aclose(self) -> None:
        """Closes all connections."""
        if self._pipe is not None:
            await self._pipe.aclose()
        await self.redis.aclose()
        await self.push_redis.aclose()


def _accepted(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, exceptions.ResponseError):
            raise reply
    return replies
