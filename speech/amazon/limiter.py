"""Keeping to Amazon's quotas: so many requests a second, so many at once, over all workers.

An account's real quota is known only where the settings name it; then it is kept from the first call on. Otherwise
calls go straight through until Amazon refuses one, and keep to the quota that Amazon documents for a while after that.
Either way the permits of all workers come from the store; while it does not answer, each process keeps the quota alone.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import structlog

from jobs.errors import StoreUnavailable
from jobs.permits import Permits, PermitStore
from jobs.routes import Quota, Target
from speech import errors

LIMITED_S = 60.0
"""So long after a refusal calls keep to the documented quota."""
REST_S = 5.0
"""So long a store that did not answer is not asked again."""
_log = structlog.get_logger(__name__)


class Limiter:
    """The quota of one target, such as `polly/neural`. Belongs to one event loop."""

    def __init__(
        self, target: str, documented: Quota, targets: Mapping[str, Target], store: PermitStore | None = None
    ) -> None:
        """`targets` as in the settings; without a `store` the quota is this process's own."""
        self._target = target
        known = targets[target].quota if target in targets else Quota()
        self._always = known.limits
        quota = known if known.limits else documented
        self._permits = Permits(store, target, quota) if store is not None else None
        self._own = ProcessLimiter(quota)
        self._through: set[str] = set()
        """Calls under way that asked for no permit."""
        self._limited_until = 0.0
        self._ask_store_at = 0.0

    @asynccontextmanager
    async def turn(self, *, urgent: bool = False) -> AsyncIterator[None]:
        """Waits for a turn, the `urgent` first and then in the order of asking, and holds it until it is left.

        Whoever leaves it with `errors.RateLimited` tells that Amazon refused the call.
        """
        call = uuid.uuid4().hex
        try:
            if not (self._always or _now() < self._limited_until):
                with self._straight(call):
                    yield
            elif self._permits is None or _now() < self._ask_store_at:
                async with self._own.turn():
                    yield
            else:
                async with self._shared(self._permits, call, urgent=urgent):
                    yield
        except errors.RateLimited:
            self._refused(call)
            raise

    @contextmanager
    def _straight(self, call: str) -> Iterator[None]:
        self._through.add(call)
        try:
            yield
        finally:
            self._through.discard(call)
            if self._permits is not None:
                self._permits.release(call)

    @asynccontextmanager
    async def _shared(self, permits: Permits, call: str, *, urgent: bool) -> AsyncIterator[None]:
        given = False
        try:
            async with permits.one(call, "high" if urgent else "normal", None, for_store=False):
                given = True
                yield
        except StoreUnavailable:
            if given:
                raise
            self._ask_store_at = _now() + REST_S
            async with self._own.turn():
                yield

    def _refused(self, call: str) -> None:
        if not self._always and _now() >= self._limited_until:
            _log.warning("speech_throttled", target=self._target, limited_s=LIMITED_S)
        self._limited_until = _now() + LIMITED_S
        self._own.refused()
        if self._permits is not None:
            self._permits.refused(call)
            for under_way in self._through:
                self._permits.take(under_way)


class ProcessLimiter:
    """A quota for the calls of this process."""

    def __init__(self, quota: Quota) -> None:
        self._places = asyncio.Semaphore(quota.concurrency) if quota.concurrency else None
        self._step_s = 1 / quota.per_second if quota.per_second else 0.0
        self._burst_s = self._step_s * quota.at_once
        self._full_at = 0.0
        """When all of the burst is there again, on the loop's clock."""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits for a turn, in the order of asking, and holds it until it is left."""
        if self._places is None:
            await self._pace()
            yield
            return
        async with self._places:
            await self._pace()
            yield

    async def _pace(self) -> None:
        # The generic cell rate algorithm: every call moves the moment on by its share of a second.
        self._full_at = max(self._full_at, _now()) + self._step_s
        if (wait := self._full_at - _now() - self._burst_s) > 0:
            await asyncio.sleep(wait)

    def refused(self) -> None:
        """The rate is used up, whatever we thought."""
        self._full_at = max(self._full_at, _now() + self._burst_s)


def _now() -> float:
    return asyncio.get_running_loop().time()
