"""Permits of one process, with a store that goes away."""

import pytest

from jobs.errors import StoreUnavailable
from jobs.permits import NoPermit, Permits
from jobs.routes import Quota
from jobs.store.permits import Step
from tests.integration.store.sample import until

SOON_S = 5.0


class Shared:
    """Grants everything, while it is there."""

    def __init__(self) -> None:
        self.there = True
        self.asked = 0
        self.told: list[Step] = []

    async def step(self, target: str, quota: Quota, steps: list[Step]) -> list[bool]:
        self.asked += 1
        if not self.there:
            raise StoreUnavailable
        self.told += steps
        return [True] * len(steps)


async def test_what_was_released_while_the_store_was_away_is_free_soon_after() -> None:
    shared = Shared()
    permits = Permits(shared, "fake/one", Quota(concurrency=1))
    async with permits.one("me", "normal", SOON_S):
        shared.there = False

    async def noticed() -> bool:
        return shared.asked > 1

    async def released() -> bool:
        return Step("release", "me") in shared.told

    await until(noticed, timeout=SOON_S)
    shared.there = True
    await until(released, timeout=SOON_S)


async def test_a_store_that_is_away_is_not_asked_all_the_time() -> None:
    shared = Shared()
    shared.there = False
    permits = Permits(shared, "fake/one", Quota(concurrency=1))
    with pytest.raises(NoPermit):
        async with permits.one("me", "normal", 0.5):
            pass
    assert shared.asked < 10
