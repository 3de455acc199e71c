"""Everything that this process knows about one target, and the register of all targets."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import msgspec
import structlog

from jobs import routes
from jobs.errors import ProviderDisabled, StoreUnavailable
from jobs.job import Priority
from jobs.model import split_model
from jobs.permits import NoPermit, Permits, PermitStore
from jobs.store import circuits
from providers import errors
from providers.routing.breaker import REFRESH_S, Breaker, CircuitStore
from providers.routing.budget import Budget
from providers.service import AIService, Capabilities

RETRY_SHARE = 0.1
"""Retries may be so large a share of a target's calls;"""
RETRY_START, RETRY_PER_S = 3.0, 0.1
"""and so many at first, and with time, for a target that is seldom called."""
HEDGE_SHARE = 0.05
SAMPLES, ENOUGH_SAMPLES = 100, 20
"""First tokens that are remembered, and how many it takes to say what is usual."""
PROBE_FIRST_TOKEN_S = 10.0
"""A probe for a caller who has other targets may be silent for so long, unless the target is known to be slower."""
_TARGETS_KEPT = 1_000
_log = structlog.get_logger(__name__)


class NotHere(errors.ProviderError):
    """The provider is not configured on this worker."""

    code = ProviderDisabled.code


class TargetBusy(errors.ProviderError):
    """As many calls as the target may be asked were under way until the job's time was up."""

    code = "target_busy"
    retryable = True


class Services(Protocol):
    """Where the services come from."""

    def get(self, provider: str) -> AIService:
        """The service of that provider. Raises `jobs.errors.ProviderDisabled`."""
        ...


class Target:
    """One `provider/model`."""

    def __init__(
        self, name: str, service: AIService, special: routes.Target, breaker: Breaker, permits: Permits | None
    ) -> None:
        """`special`: what the settings say about it."""
        clock = asyncio.get_running_loop().time
        self.name = name
        self.provider, self.model = split_model(name)
        self.service = service
        self.can = _able(service.capabilities(self.model), special)
        self.breaker = breaker
        self.retries = Budget(clock, share=RETRY_SHARE, start=RETRY_START, per_s=RETRY_PER_S)
        self.hedges = Budget(clock, share=HEDGE_SHARE, start=0.0)
        self._special = special
        self._permits = permits
        self._first_tokens: deque[float] = deque(maxlen=SAMPLES)

    def first_token_s(self, asked: float) -> float:
        """How long it may be silent at first, where the job would allow `asked` seconds."""
        return min(asked, self._special.first_token_s or asked)

    def stall_s(self, asked: float) -> float:
        """How long it may be silent in mid-answer."""
        return min(asked, self._special.stall_s or asked)

    def began(self, after_s: float) -> None:
        """An answer began so long after its call."""
        self._first_tokens.append(after_s)

    @property
    def p95_s(self) -> float | None:
        """In what time 95 % of its answers begin; `None`: too few have."""
        if len(self._first_tokens) < ENOUGH_SAMPLES:
            return None
        return sorted(self._first_tokens)[int(0.95 * len(self._first_tokens))]

    @property
    def probe_s(self) -> float:
        """How long a probe may be silent that is made for a caller with other targets."""
        return max(PROBE_FIRST_TOKEN_S, 3 * (self.p95_s or 0.0))

    @asynccontextmanager
    async def permit(self, holder: str, priority: Priority, wait_s: float) -> AsyncIterator[None]:
        """A place for one call, if they are limited. Raises `TargetBusy`."""
        if self._permits is None:
            yield
            return
        try:
            async with self._permits.one(holder, priority, wait_s):
                yield
        except NoPermit:
            raise TargetBusy(provider=self.provider) from None


def _able(can: Capabilities, special: routes.Target) -> Capabilities:
    overrides = {
        field: value for field in can.__struct_fields__ if (value := getattr(special, field, None)) is not None
    }
    return msgspec.structs.replace(can, **overrides) if overrides else can


class Targets:
    """All targets that this process has been asked for. Belongs to one event loop."""

    def __init__(
        self,
        services: Services,
        special: Mapping[str, routes.Target],
        circuit_store: CircuitStore,
        permit_store: PermitStore,
    ) -> None:
        """`special`: what the settings say about some of them."""
        self._services = services
        self._special = special
        self._circuits = circuit_store
        self._permits = permit_store
        self._known: dict[str, Target] = {}
        self._telling: set[asyncio.Task[None]] = set()

    def get(self, name: str) -> Target:
        """The target of that name. Raises `NotHere` if its provider is off on this worker."""
        found = self._known.get(name)
        if found is None:
            if len(self._known) >= _TARGETS_KEPT:  # callers name models as they like
                del self._known[next(iter(self._known))]
            found = self._known[name] = self._make(name)
        return found

    def _make(self, name: str) -> Target:
        provider, model = split_model(name)
        try:
            service = self._services.get(provider)
        except ProviderDisabled as error:
            # The gateway that took the job has it; another target may still answer.
            raise NotHere(error.detail, provider=provider) from error
        special = self._special.get(name) or routes.Target()
        breaker = Breaker(circuits.name(name, service.region(model)), self._circuits, self._spawn)
        permits = Permits(self._permits, breaker.name, special.quota) if special.quota.limits else None
        return Target(name, service, special, breaker, permits)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def aclose(self) -> None:
        """Waits until all that was found out has been told."""
        await asyncio.gather(*self._telling)

    async def keep_informed(self) -> None:
        """Learns, for ever, what other processes have found out about targets, and tells them what calls came to."""
        while True:
            await asyncio.sleep(REFRESH_S)
            if not self._known:
                continue
            try:
                found = await self._circuits.read()
            except StoreUnavailable:
                continue
            for target in list(self._known.values()):
                if circuit := found.get(target.breaker.name):
                    target.breaker.update(circuit)
                    await target.breaker.tell_successes()
