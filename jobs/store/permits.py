"""How many calls a target takes at once, over all workers: permits, given in order of class and arrival."""

import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec

from jobs.store.connection import Connection

KEPT_S = 30.0
"""A permit that is not renewed for so long is free again: its process has gone."""
ASK_AGAIN_S = 2.0
"""Whoever waits and has not asked for so long waits no longer."""


class Step(msgspec.Struct, frozen=True):
    """What one holder does."""

    kind: Literal["want", "renew", "release"]
    holder: str
    """Unique to the call."""
    rank: int = 1
    """Of those who wait, the lower come first."""


class Permits:
    """The permits of all targets."""

    def __init__(self, connection: Connection) -> None:
        """Uses the shared connection."""
        self._connection = connection

    async def step(self, target: str, limit: int, steps: Iterable[Step]) -> list[bool]:
        """Takes the steps and gives out what is free; for each step, whether its holder has a permit then.

        `limit`: so many permits there are. Repeating a call is harmless. Raises `errors.StoreUnavailable`.
        """
        flat = [part for step in steps for part in (step.kind, step.holder, step.rank)]
        key = f"rb:permits:{{{hashlib.sha256(target.encode()).hexdigest()[:16]}}}"
        times = (int(KEPT_S * 1000), int(ASK_AGAIN_S * 1000))
        return [bool(has) for has in await self._connection.run("permits", key, limit, *times, *flat)]
