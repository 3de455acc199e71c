"""Permits: never more than there are, in order of class and arrival, and free again when their holder is gone."""

import pytest

from jobs.routes import Quota
from jobs.store import permits as permits_module
from jobs.store.connection import Connection
from jobs.store.permits import Permits, Step

TARGET = "bedrock/claude"


@pytest.fixture
def permits(connection: Connection) -> Permits:
    return Permits(connection)


def want(*holders: str, rank: int = 1) -> list[Step]:
    return [Step("want", holder, rank) for holder in holders]


def places(number: int) -> Quota:
    return Quota(concurrency=number)


async def test_there_are_only_so_many(permits: Permits) -> None:
    assert await permits.step(TARGET, places(2), want("a", "b", "c")) == [True, True, False]
    assert await permits.step("gemini/flash", places(2), want("d")) == [True], "each target has its own"


async def test_what_is_released_goes_to_who_came_first(permits: Permits) -> None:
    await permits.step(TARGET, places(1), want("a"))
    await permits.step(TARGET, places(1), want("c"))
    await permits.step(TARGET, places(1), want("b"))
    await permits.step(TARGET, places(1), [Step("release", "a")])
    assert await permits.step(TARGET, places(1), want("b", "c")) == [False, True]


async def test_live_traffic_comes_first(permits: Permits) -> None:
    await permits.step(TARGET, places(1), want("a"))
    await permits.step(TARGET, places(1), want("batch", rank=2))
    await permits.step(TARGET, places(1), want("live", rank=0))
    assert await permits.step(TARGET, places(1), [Step("release", "a"), *want("batch", "live")]) == [False, False, True]


async def test_repeating_a_call_changes_nothing(permits: Permits) -> None:
    for _ in range(3):
        assert await permits.step(TARGET, places(1), want("a", "b")) == [True, False]
    await permits.step(TARGET, places(1), [Step("release", "a")])
    for _ in range(3):
        assert await permits.step(TARGET, places(1), want("b", "c")) == [True, False]


async def test_who_leaves_the_line_is_passed_over(permits: Permits) -> None:
    await permits.step(TARGET, places(1), want("a", "b", "c"))
    await permits.step(TARGET, places(1), [Step("release", "b"), Step("release", "a")])
    assert await permits.step(TARGET, places(1), want("c")) == [True]


async def test_the_permits_and_turns_of_dead_processes_lapse(permits: Permits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permits_module, "KEPT_S", 0.05)
    monkeypatch.setattr(permits_module, "ASK_AGAIN_S", 0.05)
    assert await permits.step(TARGET, places(1), want("dead holder", "dead waiter")) == [True, False]
    has = [False]
    while not any(has):
        has = await permits.step(TARGET, places(1), want("alive"))
    assert await permits.step(TARGET, places(1), want("dead waiter")) == [False]


async def test_a_permit_that_is_renewed_is_kept(permits: Permits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permits_module, "KEPT_S", 0.2)
    await permits.step(TARGET, places(1), want("a"))
    for _ in range(200):
        assert await permits.step(TARGET, places(1), [Step("renew", "a"), *want("b")]) == [True, False]


async def test_a_limit_that_was_lowered_holds_for_the_next(permits: Permits) -> None:
    await permits.step(TARGET, places(3), want("a", "b", "c"))
    assert await permits.step(TARGET, places(1), [Step("release", "a"), *want("d")]) == [False, False]
    assert await permits.step(TARGET, places(1), [Step("release", "b"), Step("release", "c"), *want("d")]) == [
        False,
        False,
        True,
    ]


async def given(permits: Permits, quota: Quota, *holders: str) -> list[str]:
    """Which of them have a permit."""
    has = await permits.step(TARGET, quota, want(*holders))
    return [holder for holder, had in zip(holders, has, strict=True) if had]


SLOW = Quota(per_second=0.01, burst=3)


async def test_a_burst_is_given_out_at_once_and_then_no_more(permits: Permits) -> None:
    names = [f"call {number}" for number in range(6)]
    assert await given(permits, SLOW, *names) == names[:3]
    await permits.step(TARGET, SLOW, [Step("release", name) for name in names[:3]])
    assert await given(permits, SLOW, *names[3:]) == [], "what was released is no faster"


async def test_the_rate_gives_permits_in_order_of_class_and_arrival(permits: Permits) -> None:
    quota = Quota(per_second=100, burst=1)
    waiting = [*want("first"), *want("second"), *want("third", rank=2), *want("live", rank=0)]
    order: list[str] = []
    while waiting:
        has = await permits.step(TARGET, quota, waiting)
        now = [step.holder for step, had in zip(waiting, has, strict=True) if had]
        order += now
        waiting = [step for step in waiting if step.holder not in now]
    assert order == ["live", "first", "second", "third"]


async def test_a_permit_counts_once_however_often_it_is_asked_for(permits: Permits) -> None:
    for _ in range(5):
        assert await given(permits, SLOW, "a", "b") == ["a", "b"]
    assert await given(permits, SLOW, "c", "d") == ["c"]


async def test_a_refusal_by_the_target_uses_the_burst_up(permits: Permits) -> None:
    refused = [Step("refused", "somebody without a permit")]
    for _ in range(2):
        assert await permits.step(TARGET, SLOW, [*refused, *want("a")]) == [False, False]
    quick = Quota(per_second=200, burst=3)
    has = [False]
    while not all(has):
        has = await permits.step(TARGET, quick, want("a"))
    assert await permits.step(TARGET, SLOW, [Step("refused", "a"), *want("b")]) == [False, False], "and is a release"


async def test_both_limits_hold(permits: Permits) -> None:
    quota = Quota(concurrency=1, per_second=0.01, burst=2)
    assert await given(permits, quota, "a", "b", "c") == ["a"]
    await permits.step(TARGET, quota, [Step("release", "a")])
    assert await given(permits, quota, "b", "c") == ["b"]
    await permits.step(TARGET, quota, [Step("release", "b")])
    assert await given(permits, quota, "c") == []
