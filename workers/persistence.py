"""Writing to the store through its outages: what a worker has worked out must not be lost to a restart of Redis."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from jobs import errors

T = TypeVar("T")
_log = structlog.get_logger(__name__)


def _warn(state: RetryCallState) -> None:
    if state.attempt_number in (10, 100):
        _log.warning("store_still_unavailable", attempt=state.attempt_number)


async def persist(write: Callable[[], Awaitable[T]]) -> T:
    """Repeats `write`, which must be safe to repeat, until the store takes it.

    There is no limit: whoever else may claim the job meanwhile makes the fence stale, and that ends the waiting.
    Raises whatever `write` raises but `errors.StoreUnavailable`.
    """
    try:
        return await write()
    except errors.StoreUnavailable:
        _log.warning("store_unavailable_retrying")
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(errors.StoreUnavailable),
        wait=wait_random_exponential(multiplier=0.1, max=2.0),
        before_sleep=_warn,
        reraise=True,
    ):
        with attempt:
            return await write()
    raise AssertionError("unreachable: the loop above has no last attempt")
