"""Patience with speech services: how long they may be silent, and when one that failed is asked again."""

import asyncio
import random
from collections.abc import AsyncGenerator
from typing import TypeVar

from speech import errors

BACKOFF_S = 0.3
"""Before another try, at the most (full jitter), unless the vendor asks for more; twice as long after each refusal."""
PATIENCE_S = 5.0
"""The longest pause: a vendor that wants to be asked again only later than that is not."""
T = TypeVar("T")


class Patience:
    """With one request, which may take several tries."""

    def __init__(self, limit_s: float | None) -> None:
        """`limit_s`: seconds until the first item; `None`: however long."""
        self._limit_s = limit_s
        self._clock = asyncio.get_running_loop().time
        self._until = None if limit_s is None else self._clock() + limit_s
        self._again = False
        self._refusals = 0

    @property
    def left_s(self) -> float | None:
        """Seconds left until the first item of this try."""
        return None if self._until is None else max(0.0, self._until - self._clock())

    def pause_s(self, error: errors.SpeechError) -> float | None:
        """How long to wait before the next try; `None`: there is none.

        There is a second try, with time of its own. What the vendor refused for its quota's sake did not begin: that is
        tried as often as the time allows.
        """
        longest = min(BACKOFF_S * 2**self._refusals, PATIENCE_S)
        pause = error.retry_after if error.retry_after is not None else random.uniform(0, longest)  # noqa: S311 - jitter
        if not error.retryable or pause > PATIENCE_S:
            return None
        if isinstance(error, errors.RateLimited) and self._until is not None:
            self._refusals += 1
            return pause if self._clock() + pause < self._until else None
        if self._again:
            return None
        self._again = True
        self._until = None if self._limit_s is None else self._clock() + pause + self._limit_s
        return pause


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
