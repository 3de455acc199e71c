"""A second target for those that are silent for unusually long: when it starts, who wins, and what is recorded."""

import asyncio

import pytest

from jobs.model import Usage
from providers import errors
from providers.routing import router
from providers.routing.course import AllTargetsFailed
from providers.routing.router import Asked
from tests.unit.providers.routing.room import Player, Room, Step, answer_text, failure

SILENT = 60.0


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "BACKOFF_S", 0.0)


def warmed(*players: Player) -> Room:
    """A room that knows how soon its first target usually speaks, and may hedge."""
    room = Room(*players)
    first = room.targets.get(f"{players[0].name}/m")
    for _ in range(40):
        first.began(0.01)
        first.hedges.add()
    return room


async def test_a_second_target_answers_for_a_silent_one() -> None:
    first, second = Player("a", [Usage(input_tokens=9), SILENT]), Player("b", ["ja"])
    room = warmed(first, second)
    asked, delta, answer = await room.told(hedge=True)
    assert (asked, delta, answer_text(answer)) == (Asked("b/m"), "ja", "ja")
    calls = {call.model: call for call in room.calls}
    assert (calls["a/m"].outcome, calls["a/m"].usage.input_tokens) == ("superseded", 9)
    assert calls["b/m"].outcome == "answered"
    assert len(room.calls) == 2


async def test_the_first_wins_if_it_speaks_first() -> None:
    first, second = Player("a", [0.1, "ja"]), Player("b", [SILENT])
    room = warmed(first, second)
    delta, answer = await room.told(hedge=True)
    assert (delta, answer_text(answer)) == ("ja", "ja")
    assert {call.model: call.outcome for call in room.calls} == {"a/m": "answered", "b/m": "superseded"}


async def test_no_second_is_asked_while_the_first_is_as_quick_as_usual() -> None:
    second = Player("b", ["no"])
    assert (await warmed(Player("a", ["ja"]), second).told(hedge=True))[0] == "ja"
    assert second.asked == []


async def test_nor_without_being_asked_to() -> None:
    second = Player("b", ["no"])
    assert (await warmed(Player("a", [0.1, "ja"]), second).told())[0] == "ja"
    assert second.asked == []


async def test_nor_for_a_target_of_which_little_is_known() -> None:
    second = Player("b", ["no"])
    room = Room(Player("a", [0.1, "ja"]), second)
    assert (await room.told(hedge=True))[0] == "ja"
    assert second.asked == []


async def test_hedges_are_at_most_a_twentieth_of_the_calls() -> None:
    slow: list[Step] = [0.03, "a"]
    first, second = Player("a", *[slow] * 100), Player("b", *[["b"]] * 100)
    room = warmed(first, second)
    await asyncio.gather(*(room.told(hedge=True) for _ in range(100)))
    assert 1 <= len(second.asked) <= (40 + 100) * 0.05


async def test_a_first_that_fails_leaves_the_field_to_the_second() -> None:
    first, second = Player("a", [0.1, failure(), "no"]), Player("b", [0.2, "ja"])
    asked, delta, _ = await warmed(first, second).told(hedge=True)
    assert (asked, delta) == (Asked("b/m"), "ja")


async def test_a_second_that_fails_leaves_it_to_the_first() -> None:
    first, second = Player("a", [0.2, "ja"]), Player("b", [failure(errors.AuthenticationFailed)])
    assert (await warmed(first, second).told(hedge=True))[0] == "ja"


async def test_when_both_fail_both_are_named() -> None:
    first = Player("a", [0.1, failure(errors.PermissionDenied)])
    second = Player("b", [failure(errors.AuthenticationFailed)])
    (error,) = await warmed(first, second).told(hedge=True)
    assert isinstance(error, AllTargetsFailed)
    assert "a/m: provider_permission_denied" in error.detail
    assert "b/m: provider_authentication_failed" in error.detail


async def test_a_winner_that_breaks_off_is_followed_by_the_next() -> None:
    first, second = Player("a", [SILENT]), Player("b", ["half", failure(errors.StreamInterrupted)])
    third = Player("c", ["whole"])
    items = await warmed(first, second, third).told(hedge=True)
    assert items[:2] == [Asked("b/m"), "half"]
    assert items[3] == "whole"


@pytest.mark.parametrize("heard", [0, 1])
async def test_cancelling_closes_both(heard: int) -> None:
    first, second = Player("a", [SILENT]), Player("b", [0.05, "x", SILENT])
    room = warmed(first, second)
    seen: list[object] = []

    async def listen() -> None:
        async for item in room.stream(hedge=True):
            seen.append(item)  # noqa: PERF401 - a comprehension would lose them

    listening = asyncio.create_task(listen())
    async with asyncio.timeout(10):
        while len(seen) < heard or not second.asked:  # noqa: ASYNC110 - what is awaited happens in another task
            await asyncio.sleep(0.005)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    assert (first.open, second.open) == (0, 0)
    assert len(room.calls) == 2
