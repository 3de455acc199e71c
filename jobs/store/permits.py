"""How many calls a target takes at once and how fast, over all workers: permits, by class and order of arrival."""

import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec

from jobs.routes import Quota
from jobs.store.connection import Connection

KEPT_S = 30.0
"""A permit that is not renewed for so long is free again: its process has gone."""
ASK_AGAIN_S = 2.0
"""Whoever waits and has not asked for so long waits no longer."""


class Step(msgspec.Struct, frozen=True):
    """What one holder does."""

    kind: Literal["want", "renew", "release", "refused", "take"]
    """`refused`: the target itself says that its quota is used up, whatever we thought; the permit is released.
    `take`: the call is under way, whether or not a permit is free."""
    holder: str
    """Unique to the call."""
    rank: int = 1
    """Of those who wait, the lower come first."""


class Permits:
    """The permits of all targets."""

    def __init__(self, connection: Connection) -> None:
        """Uses the shared connection."""
        self._connection = connection

    async def step(self, target: str, quota: Quota, steps: Iterable[Step]) -> list[bool]:
        """Takes the steps and gives out what is free; for each step, whether its holder has a permit then.

        Repeating a call is harmless. Raises `errors.StoreUnavailable`.
        """
        flat = [part for step in steps for part in (step.kind, step.holder, step.rank)]
        key = f"rb:permits:{{{hashlib.sha256(target.encode()).hexdigest()[:16]}}}"
        interval_us = round(1_000_000 / quota.per_second) if quota.per_second else 0
        limits = (quota.concurrency, interval_us, quota.at_once, int(KEPT_S * 1000), int(ASK_AGAIN_S * 1000))
        return [bool(has) for has in await self._connection.run("permits", key, *limits, *flat)]
