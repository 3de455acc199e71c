"""Keeping to a vendor's quota: so many requests a second, so many at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import msgspec


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """What the vendor allows an account."""

    per_second: float
    burst: int
    """Requests that may come at once after a while without any."""
    concurrent: int


class Limiter(Protocol):
    """Lets calls pass within a quota. The one here is for this process; another may share a quota between all."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Waits for a turn, in the order of asking, and holds it until it is left."""
        ...


class ProcessLimiter:
    """A quota for the calls of this process."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._places = asyncio.Semaphore(quota.concurrent)
        self._free_at = 0.0
        """When the bucket is full again, on the loop's clock."""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """See `Limiter`."""
        async with self._places:
            loop = asyncio.get_running_loop()
            now = loop.time()
            # The generic cell rate algorithm: every call moves the moment on by its share of a second.
            step = 1 / self._quota.per_second
            self._free_at = max(self._free_at, now) + step
            if (wait := self._free_at - now - step * self._quota.burst) > 0:
                await asyncio.sleep(wait)
            yield
