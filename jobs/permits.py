"""A target's permits in this process: whoever wants one waits for its turn among all workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import msgspec
import structlog

from jobs.errors import StoreUnavailable
from jobs.job import Priority
from jobs.routes import Quota
from jobs.store.permits import KEPT_S, Step

ASK_S = 0.02
"""How often those who wait ask."""
ANSWER_S = 1.0
"""So long the store may take to answer,"""
AWAY_S = 0.25
"""and so long it is left alone if it did not."""
RANKS: dict[Priority, int] = {"high": 0, "normal": 1, "low": 2}
_log = structlog.get_logger(__name__)


class NoPermit(Exception):
    """There was none in time."""


class PermitStore(Protocol):
    """Where permits are shared; see `jobs.store.permits.Permits`."""

    async def step(self, target: str, quota: Quota, steps: list[Step]) -> list[bool]:
        """Takes the steps."""
        ...


class _Waiting(msgspec.Struct, frozen=True):
    rank: int
    future: asyncio.Future[None]
    for_store: bool


class Permits:
    """The permits of one target."""

    def __init__(self, store: PermitStore, target: str, quota: Quota) -> None:
        """`quota` is that of all workers together."""
        self._store = store
        self._target = target
        self._quota = quota
        self._waiting: dict[str, _Waiting] = {}
        self._held: set[str] = set()
        self._untold: list[Step] = []
        self._asking: asyncio.Task[None] | None = None
        self._stir = asyncio.Event()

    @asynccontextmanager
    async def one(
        self, holder: str, priority: Priority, wait_s: float | None, *, for_store: bool = True
    ) -> AsyncIterator[None]:
        """A permit for one call. Raises `NoPermit` if there is none within `wait_s` seconds (`None`: however long).

        Unless one waits `for_store` too, raises `errors.StoreUnavailable` when it does not answer.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[holder] = _Waiting(RANKS[priority], future, for_store)
        self._keep_asking()
        try:
            try:
                async with asyncio.timeout(wait_s):
                    await future
            except TimeoutError:
                raise NoPermit from None
            yield
        finally:
            self._waiting.pop(holder, None)
            self._held.discard(holder)
            self._tell(Step("release", holder))

    def refused(self, holder: str) -> None:
        """The target refused that call, whether it had a permit or not, because its quota is used up."""
        self._tell(Step("refused", holder))

    def take(self, holder: str) -> None:
        """That call is under way without having asked for a permit: from now on it counts, until it is released."""
        if holder not in self._held:
            self._held.add(holder)
            self._tell(Step("take", holder))

    def release(self, holder: str) -> None:
        """That call is over, whether it was taken or not."""
        if holder in self._held:
            self._held.discard(holder)
            self._tell(Step("release", holder))

    def _tell(self, step: Step) -> None:
        self._untold.append(step)
        self._keep_asking()

    def _keep_asking(self) -> None:
        self._stir.set()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        """One task for all who wait, hold or have something to tell, as long as there are any."""
        renewed = asyncio.get_running_loop().time()
        while self._waiting or self._held or self._untold:
            self._stir.clear()
            now = asyncio.get_running_loop().time()
            renew = now - renewed >= KEPT_S / 3
            if not await self._step(renew=renew):
                await asyncio.sleep(AWAY_S)
                continue
            renewed = now if renew else renewed
            await self._pause()

    async def _step(self, *, renew: bool) -> bool:
        """Tells the store what there is to tell and gives out what it grants. False: it did not answer."""
        steps, self._untold = self._untold, []
        told = len(steps)
        steps += [Step("renew", holder) for holder in self._held] if renew else []
        steps += [Step("want", holder, waiting.rank) for holder, waiting in self._waiting.items()]
        if not steps:
            return True
        try:
            async with asyncio.timeout(ANSWER_S):
                has = await self._store.step(self._target, self._quota, steps)
        except (StoreUnavailable, TimeoutError):
            _log.warning("permits_unavailable", target=self._target)
            self._untold = steps[:told] + self._untold
            self._turn_away()
            return False
        for step, granted in zip(steps, has, strict=True):
            if step.kind == "want" and granted and step.holder in self._waiting:
                self._held.add(step.holder)
                future = self._waiting.pop(step.holder).future
                if not future.done():
                    future.set_result(None)
        return True

    def _turn_away(self) -> None:
        """Those who do not wait for the store."""
        for waiting in self._waiting.values():
            if not waiting.for_store and not waiting.future.done():
                waiting.future.set_exception(StoreUnavailable())

    async def _pause(self) -> None:
        """Until somebody comes or goes; those who wait ask again soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ASK_S if self._waiting else KEPT_S / 3):
                await self._stir.wait()
