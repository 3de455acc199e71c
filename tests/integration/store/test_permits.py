"""Permits: never more than there are, in order of class and arrival, and free again when their holder is gone."""

import pytest

from jobs.store import permits as permits_module
from jobs.store.connection import Connection
from jobs.store.permits import Permits, Step

TARGET = "bedrock/claude"


@pytest.fixture
def permits(connection: Connection) -> Permits:
    return Permits(connection)


def want(*holders: str, rank: int = 1) -> list[Step]:
    return [Step("want", holder, rank) for holder in holders]


async def test_there_are_only_so_many(permits: Permits) -> None:
    assert await permits.step(TARGET, 2, want("a", "b", "c")) == [True, True, False]
    assert await permits.step("gemini/flash", 2, want("d")) == [True], "each target has its own"


async def test_what_is_released_goes_to_who_came_first(permits: Permits) -> None:
    await permits.step(TARGET, 1, want("a"))
    await permits.step(TARGET, 1, want("c"))
    await permits.step(TARGET, 1, want("b"))
    await permits.step(TARGET, 1, [Step("release", "a")])
    assert await permits.step(TARGET, 1, want("b", "c")) == [False, True]


async def test_live_traffic_comes_first(permits: Permits) -> None:
    await permits.step(TARGET, 1, want("a"))
    await permits.step(TARGET, 1, want("batch", rank=2))
    await permits.step(TARGET, 1, want("live", rank=0))
    assert await permits.step(TARGET, 1, [Step("release", "a"), *want("batch", "live")]) == [False, False, True]


async def test_repeating_a_call_changes_nothing(permits: Permits) -> None:
    for _ in range(3):
        assert await permits.step(TARGET, 1, want("a", "b")) == [True, False]
    await permits.step(TARGET, 1, [Step("release", "a")])
    for _ in range(3):
        assert await permits.step(TARGET, 1, want("b", "c")) == [True, False]


async def test_who_leaves_the_line_is_passed_over(permits: Permits) -> None:
    await permits.step(TARGET, 1, want("a", "b", "c"))
    await permits.step(TARGET, 1, [Step("release", "b"), Step("release", "a")])
    assert await permits.step(TARGET, 1, want("c")) == [True]


async def test_the_permits_and_turns_of_dead_processes_lapse(permits: Permits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permits_module, "KEPT_S", 0.05)
    monkeypatch.setattr(permits_module, "ASK_AGAIN_S", 0.05)
    assert await permits.step(TARGET, 1, want("dead holder", "dead waiter")) == [True, False]
    has = [False]
    while not any(has):
        has = await permits.step(TARGET, 1, want("alive"))
    assert await permits.step(TARGET, 1, want("dead waiter")) == [False]


async def test_a_permit_that_is_renewed_is_kept(permits: Permits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permits_module, "KEPT_S", 0.2)
    await permits.step(TARGET, 1, want("a"))
    for _ in range(200):
        assert await permits.step(TARGET, 1, [Step("renew", "a"), *want("b")]) == [True, False]


async def test_a_limit_that_was_lowered_holds_for_the_next(permits: Permits) -> None:
    await permits.step(TARGET, 3, want("a", "b", "c"))
    assert await permits.step(TARGET, 1, [Step("release", "a"), *want("d")]) == [False, False]
    assert await permits.step(TARGET, 1, [Step("release", "b"), Step("release", "c"), *want("d")]) == [
        False,
        False,
        True,
    ]
