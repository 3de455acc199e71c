"""A race of two calls: the second starts when the first has been silent for too long; the first to speak is heard."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from providers.errors import ProviderError
from providers.routing.call import Call
from providers.service import Answer, Delta

_First = asyncio.Task[Delta | Answer]


@asynccontextmanager
async def race(
    first: Call, second: Callable[[], Call | None], silence_s: float, lost: Callable[[Call, ProviderError], None]
) -> AsyncIterator[tuple[Call, Delta | Answer]]:
    """The call that spoke first, and what it said; the other is broken off and recorded as superseded.

    `second` makes the second call when `first` has been silent for `silence_s` seconds; `None`: there is none. A call
    that fails has `lost`. Raises the first call's error if nobody is left.
    """
    running: dict[_First, Call] = {_listen(first): first}
    failures: dict[Call, ProviderError] = {}
    winner: tuple[Call, Delta | Answer] | None = None
    try:
        await asyncio.wait(running, timeout=silence_s)
        if not any(task.done() for task in running) and (other := second()) is not None:
            running[_listen(other)] = other
        while winner is None:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                call = running.pop(task)
                if isinstance(error := task.exception(), ProviderError):
                    failures[call] = error
                    lost(call, error)
                elif winner is None:
                    winner = call, task.result()
                else:
                    running[task] = call  # it spoke in the same moment
            if winner is None and not running:
                raise failures[first]
        for call in running.values():
            call.broken_off = "superseded"
        await _break_off(running)
        yield winner
    finally:
        await _break_off(running)
        if winner is not None:
            await winner[0].items.aclose()


def _listen(call: Call) -> _First:
    async def speak() -> Delta | Answer:
        return await anext(call.items)

    return asyncio.create_task(speak())


async def _break_off(running: dict[_First, Call]) -> None:
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
    for call in running.values():
        await call.items.aclose()
    running.clear()
