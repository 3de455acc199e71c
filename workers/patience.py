"""Patience with speech services: how long they may be silent, and when one that failed is asked again."""

import asyncio
import random
from collections.abc import AsyncGenerator
from typing import TypeVar

from speech import errors

BACKOFF_S = 0.3
"""Before the second try, at the most (full jitter), unless the vendor asks for more."""
PATIENCE_S = 5.0
"""A vendor that wants to be asked again only later than that is not."""
T = TypeVar("T")


def pause_s(error: errors.SpeechError) -> float | None:
    """How long to wait before the second try; `None`: there is none."""
    pause = error.retry_after if error.retry_after is not None else random.uniform(0, BACKOFF_S)  # noqa: S311 - jitter
    return pause if error.retryable and pause <= PATIENCE_S else None


async def next_of(items: AsyncGenerator[T, None], limit_s: float | None, *, what: str, provider: str) -> T:
    """The next item of a stream.

    Raises `errors.TimedOut` if no `what` comes within `limit_s` seconds, `errors.StreamInterrupted` at the end.
    """
    try:
        async with asyncio.timeout(limit_s):
            return await anext(items)
    except TimeoutError:
        raise errors.TimedOut(f"No {what} came for {limit_s:g} s.", provider=provider) from None
    except StopAsyncIteration:
        raise errors.StreamInterrupted(provider=provider) from None
