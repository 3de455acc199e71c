"""One answer from an ordered list of targets: the retry layer, the limits of a stream, and failover.

A target is tried again once if it fails retryably before its first token; then the next one is asked. An answer that
breaks off in the middle starts again on the next target (once on the same one, if it is the last): its text is void.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol, cast

import msgspec
import structlog

from jobs.errors import ProviderDisabled
from jobs.job import Priority
from jobs.model import ModelCall, split_model
from providers import errors
from providers.routing.patience import Patience
from providers.service import AIService, Answer, Ask, Delta

TRIES = 2
"""Attempts at one target before the first token."""
RETRY_AFTER_LIMIT_S = 10.0
"""A target that asks for a longer pause than this is passed over."""
BACKOFF_S = 0.5
"""Before the second attempt, at the most, unless the target asks for more."""
_log = structlog.get_logger(__name__)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one stream, in seconds."""

    first_token_s: float
    stall_s: float


class Restart(msgspec.Struct, frozen=True):
    """The text so far is void; `target` is asked from the beginning."""

    reason: str
    target: str


class Asked(msgspec.Struct, frozen=True):
    """This target is asked now; the one before it failed without any text."""

    target: str


class AllTargetsFailed(errors.ProviderError):
    """Every target failed."""

    code = "all_targets_failed"

    def __init__(self, failures: Mapping[str, errors.ProviderError]) -> None:
        """`failures`: each target with its last error, in the order in which they were asked."""
        said = "; ".join(f"{target}: {error.code}: {error.detail}" for target, error in failures.items())
        super().__init__(f"Every target failed: {said}", provider=list(failures.values())[-1].provider)
        self.retryable = all(error.retryable for error in failures.values())


class NotHere(errors.ProviderError):
    """The provider is not configured on this worker."""

    code = ProviderDisabled.code


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be answered, and how."""

    ask: Ask
    """Its `model` is ignored: each target names its own."""
    targets: tuple[str, ...]
    """`provider/model` in the order in which they are asked; at least one."""
    limits: Limits
    deadline: float
    """When the job ends at the latest, on the event loop's clock: nothing is waited for beyond it."""
    holder: str
    """Unique to the attempt at the job: who holds a place at a target whose concurrency is limited."""
    priority: Priority = "normal"
    hedge: bool = False


class Services(Protocol):
    """Where the services come from."""

    def get(self, provider: str) -> AIService:
        """The service of that provider. Raises `jobs.errors.ProviderDisabled`."""
        ...


def _pause(error: BaseException) -> float:
    asked = error.retry_after if isinstance(error, errors.ProviderError) else None
    return max(random.uniform(0.0, BACKOFF_S), asked or 0.0)  # noqa: S311 - jitter


def _worth_another_try(error: BaseException) -> bool:
    # A silent target is not asked again: the caller has waited long enough.
    return (
        isinstance(error, errors.ProviderError)
        and error.retryable
        and not isinstance(error, errors.FirstTokenTimeout)
        and (error.retry_after or 0.0) <= RETRY_AFTER_LIMIT_S
    )


class Router:
    """Asks the targets of a question until one of them has answered."""

    def __init__(self, services: Services) -> None:
        """One per process."""
        self._services = services

    def answer(
        self, question: Question, record: Callable[[ModelCall], None]
    ) -> AsyncGenerator[Delta | Restart | Asked | Answer, None]:
        """The answer of the first target that gives one: deltas, then exactly one `Answer`.

        `record` gets every call to a model as soon as it is over, its price not yet set. Raises the last error of a
        single target as it is, else `AllTargetsFailed`. Closing the iterator closes the connection to the vendor.
        """
        return _stream(self._services, question.targets, question.ask, question.limits, record)


async def _stream(
    services: Services, targets: Sequence[str], ask: Ask, limits: Limits, record: Callable[[ModelCall], None]
) -> AsyncGenerator[Delta | Restart | Asked | Answer, None]:
    failures: dict[str, errors.ProviderError] = {}
    restarts_left = 1
    queue = list(targets)
    while queue:
        target = queue.pop(0)
        text_sent = False
        try:
            async with aclosing(_from_one(services, target, ask, limits)) as items:
                async for item in items:
                    text_sent = text_sent or isinstance(item, Delta)
                    if isinstance(item, Answer):
                        record(ModelCall(model=target, outcome="answered", usage=item.usage))
                    yield item
            return
        except errors.ProviderError as error:
            failures[target] = error
            if text_sent and error.retryable and not queue and restarts_left:
                restarts_left -= 1
                queue.append(target)
            _log.warning("target_failed", target=target, code=error.code, mid_stream=text_sent, next=queue[:1])
            if queue:
                yield Restart(error.code, queue[0]) if text_sent else Asked(queue[0])
    raise failures[targets[0]] if len(targets) == 1 else AllTargetsFailed(failures)


async def _from_one(services: Services, target: str, ask: Ask, limits: Limits) -> AsyncGenerator[Delta | Answer, None]:
    provider, model = split_model(target)
    try:
        service = services.get(provider)
    except ProviderDisabled as error:
        # The gateway that took the job has it; another target may still answer.
        raise NotHere(error.detail, provider=provider) from error
    asked = msgspec.structs.replace(ask, model=model)
    with Patience(provider) as patience:
        items, item = await _opened(service, asked, limits, patience)
        async with aclosing(items):
            while True:
                yield item
                if isinstance(item, Answer):
                    return
                item = await patience.next_of(items, limits.stall_s, errors.Stalled)


async def _opened(
    service: AIService, ask: Ask, limits: Limits, patience: Patience
) -> tuple[AsyncGenerator[Delta | Answer, None], Delta | Answer]:
    """The stream and what came first, after as many attempts as are allowed and worth it."""
    for attempt in range(1, TRIES + 1):
        items = cast("AsyncGenerator[Delta | Answer, None]", service.stream(ask))
        try:
            return items, await patience.next_of(items, limits.first_token_s, errors.FirstTokenTimeout)
        except BaseException as error:
            await items.aclose()
            if attempt == TRIES or not _worth_another_try(error):
                raise
            pause = _pause(error)
        await asyncio.sleep(pause)
    raise AssertionError("unreachable: the last attempt returns or raises")
