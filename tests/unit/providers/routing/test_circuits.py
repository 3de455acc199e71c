"""What the router does with targets whose circuit is open, and what it tells the breakers."""

import asyncio

import pytest

from providers import errors
from providers.routing import router, target
from providers.routing.course import AllTargetsFailed
from providers.routing.router import Asked, Limits, Restart
from tests.unit.providers.routing.room import Player, Room, a_circuit, answer_text, failure


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "BACKOFF_S", 0.0)


def opened(room: Room, name: str = "a/m", in_s: float = 600.0, openings: int = 1) -> None:
    """Opens the circuit of a target, here and in the store."""
    room.store.circuits[name] = circuit = a_circuit(is_open=True, in_s=in_s, openings=openings)
    room.targets.get(name).breaker.update(circuit)


async def test_a_target_whose_circuit_is_open_is_passed_over() -> None:
    first, second = Player("a", ["no"]), Player("b", ["ja"])
    room = Room(first, second)
    opened(room)
    assert (await room.told())[:2] == [Asked("b/m"), "ja"]
    assert first.asked == []


async def test_but_asked_last_of_all_once_it_may_be_probed() -> None:
    first, second = Player("a", ["ja"]), Player("b", *[[failure()]] * 2)
    room = Room(first, second)
    opened(room, in_s=0.05)
    assert (await room.told())[:3] == [Asked("b/m"), Asked("a/m"), "ja"]
    assert ("a/m", "", True) in room.store.told, "the probe's success is told"


async def test_a_single_target_is_waited_for() -> None:
    player = Player("a", ["ja"])
    room = Room(player)
    opened(room, in_s=0.05)
    delta, answer = await room.told()
    assert (delta, answer_text(answer)) == ("ja", "ja")


async def test_but_not_beyond_the_deadline() -> None:
    room = Room(Player("a", ["no"]))
    opened(room, in_s=600)
    (error,) = await room.told(deadline=asyncio.get_running_loop().time() + 30)
    assert (error.code, error.retryable, error.provider) == ("circuit_open", True, "a")
    assert "provider_overloaded" in error.detail
    assert 590 < error.retry_after <= 600


async def test_a_probe_goes_to_the_target_first_and_costs_the_caller_nothing() -> None:
    first, second = Player("a", [failure()], ["no"]), Player("b", ["ja"])
    room = Room(first, second)
    opened(room, in_s=0.0)
    assert (await room.told())[:2] == [Asked("b/m"), "ja"]
    assert len(first.asked) == 1, "a probe is one call"
    assert ("a/m", "provider_overloaded", True) in room.store.told


async def test_a_silent_probe_is_given_up_soon_if_there_is_another_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "PROBE_FIRST_TOKEN_S", 0.05)
    first, second = Player("a", [60.0]), Player("b", ["ja"])
    room = Room(first, second)
    opened(room, in_s=0.0)
    assert (await room.told())[:2] == [Asked("b/m"), "ja"]


async def test_who_gets_no_leave_to_probe_waits_for_the_probe_of_another() -> None:
    player = Player("a", ["ja"])
    room = Room(player)
    opened(room, in_s=0.0)
    room.store.leave = False
    asking = asyncio.create_task(room.told())
    await asyncio.wait([asking], timeout=0.05)
    assert player.asked == []
    room.store.circuits.clear()
    room.targets.get("a/m").breaker.update(a_circuit(is_open=False))
    assert (await asking)[0] == "ja"


async def test_and_gives_up_when_that_one_fails() -> None:
    room = Room(Player("a", ["no"]))
    room.store.leave = False
    opened(room, in_s=60)
    asking = asyncio.create_task(room.told())
    await asyncio.wait([asking], timeout=0.05)
    opened(room, in_s=60, openings=2)
    (error,) = await asking
    assert error.code == "circuit_open"


async def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "WAITERS", 1)
    room = Room(Player("a", ["ja"]))
    opened(room, in_s=0.1)
    first, second = await asyncio.gather(room.told(), room.told())
    assert first[0] == "ja"
    assert second[0].code == "circuit_open"


async def test_its_own_failure_counts_for_more_than_the_open_circuit() -> None:
    room = Room(Player("a", [failure(errors.RateLimited, retry_after=600.0)]), Player("b", *[[failure()]] * 2))
    *_, error = await room.told(deadline=asyncio.get_running_loop().time() + 30)
    assert isinstance(error, AllTargetsFailed)
    assert "a/m: provider_rate_limited" in error.detail
    assert "circuit_open" not in error.detail


BLAMED = [errors.Overloaded, errors.RateLimited, errors.TimedOut, errors.ConnectionFailed, errors.AuthenticationFailed]
SPARED = [errors.BadRequest, errors.ContentFiltered, errors.ContextTooLong, errors.ModelNotFound, errors.Unsupported]


@pytest.mark.parametrize("kind", BLAMED)
async def test_failures_of_the_target_are_told(kind: type[errors.ProviderError]) -> None:
    room = Room(Player("a", *[[failure(kind)]] * 2))
    await room.told()
    assert ("a/m", kind.code, False) in room.store.told


@pytest.mark.parametrize("kind", SPARED)
async def test_failures_of_the_question_are_not(kind: type[errors.ProviderError]) -> None:
    room = Room(Player("a", *[[failure(kind)]] * 2))
    await room.told()
    assert room.store.told == []


async def test_stalls_and_silence_are_told() -> None:
    room = Room(Player("a", ["x", 60.0]), Player("b", [60.0]), Player("c", ["ja"]))
    items = await room.told(limits=Limits(first_token_s=0.05, stall_s=0.05))
    assert items[:2] == ["x", Restart("stream_stalled", "b/m")]
    assert [code for _, code, _ in room.store.told] == ["stream_stalled", "first_token_timeout"]


async def test_a_rest_that_the_target_asks_for_keeps_everybody_away() -> None:
    first, second = Player("a", [failure(errors.RateLimited, retry_after=600.0)], ["no"]), Player("b", ["1"], ["2"])
    room = Room(first, second)
    room.store.circuits["a/m"] = a_circuit(is_open=True, in_s=600)
    assert (await room.told())[1] == "1"
    assert (await room.told())[1] == "2"
    assert len(first.asked) == 1


async def test_what_others_found_out_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "REFRESH_S", 0.01)
    room = Room(Player("a", ["1"]))
    await room.told()
    breaker = room.targets.get("a/m").breaker
    room.store.circuits["a/m"] = a_circuit(is_open=True, in_s=600)
    learning = asyncio.create_task(room.targets.keep_informed())
    async with asyncio.timeout(10):
        while breaker.closed:  # noqa: ASYNC110 - what is awaited happens in another task
            await asyncio.sleep(0.005)
    assert ("a/m", "", False) in room.store.told or not learning.done(), "successes are told on that occasion"
    learning.cancel()
