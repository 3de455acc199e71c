"""The limits on a stream's silences, with one timer for the whole stream: one for each item would cost more than it."""

import asyncio
from collections.abc import AsyncGenerator

from providers import errors
from providers.service import Answer, Delta, Metered

Items = AsyncGenerator[Delta | Metered | Answer, None]


class Patience:
    """How long the current task waits for the next item of a stream; time between two waits does not count.

    Use it as a context manager around the stream.
    """

    def __init__(self, provider: str) -> None:
        """`provider` is blamed for silence."""
        self._provider = provider
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    def __enter__(self) -> "Patience":
        """Nothing is waited for yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is waited for any more."""
        if self._timer is not None:
            self._timer.cancel()

    async def next_of(
        self, items: Items, limit: float, late: type[errors.ProviderError], *, told: float | None = None
    ) -> Delta | Metered | Answer:
        """The next item.

        Raises `late` if it does not come within `limit` seconds, `errors.StreamInterrupted` at the end. `told` is the
        limit that the error names, if it is another.
        """
        self._task = asyncio.current_task()
        assert self._task is not None  # noqa: S101 - always awaited in a task
        cancelling = self._task.cancelling()
        self._over = False
        self._deadline = self._loop.time() + limit
        if self._timer is None or self._timer.when() > self._deadline:
            self._arm(self._deadline)
        try:
            return await anext(items)
        except StopAsyncIteration as error:
            raise errors.StreamInterrupted(provider=self._provider) from error
        except asyncio.CancelledError as error:
            if self._over and self._task.uncancel() <= cancelling:
                said = f"{(late.__doc__ or '').strip()} (limit {told or limit:g} s)"
                raise late(said, provider=self._provider) from error
            raise
        finally:
            self._deadline = None

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        # The timer is set once and looks, when it rings, how long the current wait may still last.
        self._timer = None
        if self._deadline is None or self._task is None:
            return
        if self._loop.time() >= self._deadline:
            self._over = True
            self._task.cancel()
        else:
            self._arm(self._deadline)
