"""A target's permits in this process: whoever wants one waits for its turn among all workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import structlog

from jobs.errors import StoreUnavailable
from jobs.job import Priority
from jobs.store.permits import KEPT_S, Step
from providers import errors

ASK_S = 0.02
"""How often those who wait ask."""
RANKS: dict[Priority, int] = {"high": 0, "normal": 1, "low": 2}
_log = structlog.get_logger(__name__)


class TargetBusy(errors.ProviderError):
    """As many calls as the target's `concurrency` allows were under way until the job's time was up."""

    code = "target_busy"
    retryable = True


class PermitStore(Protocol):
    """Where permits are shared; see `jobs.store.permits.Permits`."""

    async def step(self, target: str, limit: int, steps: list[Step]) -> list[bool]:
        """Takes the steps."""
        ...


class Permits:
    """The permits of one target."""

    def __init__(self, store: PermitStore, target: str, limit: int) -> None:
        """`limit`: calls under way at once, from all workers together."""
        self._store = store
        self._target = target
        self._limit = limit
        self._waiting: dict[str, tuple[int, asyncio.Future[None]]] = {}
        self._held: set[str] = set()
        self._released: list[str] = []
        self._asking: asyncio.Task[None] | None = None
        self._stir = asyncio.Event()

    @asynccontextmanager
    async def one(self, holder: str, priority: Priority, wait_s: float) -> AsyncIterator[None]:
        """A permit for one call. Raises `TargetBusy` if there is none within `wait_s` seconds."""
        rank = RANKS[priority]
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[holder] = (rank, future)
        self._keep_asking()
        try:
            try:
                async with asyncio.timeout(wait_s):
                    await future
            except TimeoutError:
                raise TargetBusy(provider=self._target.partition("/")[0]) from None
            yield
        finally:
            self._waiting.pop(holder, None)
            self._held.discard(holder)
            self._released.append(holder)
            self._keep_asking()

    def _keep_asking(self) -> None:
        self._stir.set()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        """One task for all who wait, hold or have released, as long as there are any."""
        renewed = asyncio.get_running_loop().time()
        while self._waiting or self._held or self._released:
            self._stir.clear()
            now = asyncio.get_running_loop().time()
            renew = now - renewed >= KEPT_S / 3
            renewed = now if renew else renewed
            await self._step(renew=renew)
            await self._pause()

    async def _step(self, *, renew: bool) -> None:
        released, self._released = self._released, []
        wanted = {holder: rank for holder, (rank, _) in self._waiting.items()}
        steps = [Step("release", holder) for holder in released]
        steps += [Step("renew", holder) for holder in self._held] if renew else []
        steps += [Step("want", holder, rank) for holder, rank in wanted.items()]
        if not steps:
            return
        try:
            has = await self._store.step(self._target, self._limit, steps)
        except StoreUnavailable as error:
            _log.warning("permits_unavailable", target=self._target, code=error.code)
            self._released = released + self._released
            return
        for step, granted in zip(steps, has, strict=True):
            if step.kind == "want" and granted and step.holder in self._waiting:
                _, future = self._waiting.pop(step.holder)
                self._held.add(step.holder)
                if not future.done():
                    future.set_result(None)

    async def _pause(self) -> None:
        """Until somebody comes or goes; those who wait ask again soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ASK_S if self._waiting else KEPT_S / 3):
                await self._stir.wait()
