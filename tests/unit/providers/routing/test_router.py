"""One answer from several targets: when one is asked again, when the next one is, and what the listener is told."""

import asyncio
import time
from contextlib import aclosing

import pytest

from jobs.model import Usage
from providers import errors
from providers.routing import router
from providers.routing.course import AllTargetsFailed
from providers.routing.router import Asked, Limits, Restart
from providers.service import Answer, Delta
from tests.unit.providers.routing.room import Player, Room, Step, answer_text, failure, told


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "BACKOFF_S", 0.0)


async def test_an_answer_is_passed_on_as_it_comes() -> None:
    *deltas, answer = await told(Player("a", ["안", "녕", "!"]))
    assert deltas == ["안", "녕", "!"]
    assert answer_text(answer) == "안녕!"


async def test_each_target_is_asked_for_its_own_model_and_the_same_question() -> None:
    player = Player("a", [failure(errors.ModelNotFound)], ["x"])
    await told(player, names=["a/one/two", "a/three"])
    assert player.asked == ["one/two", "three"]


async def test_a_target_is_asked_once_more_if_it_fails_before_its_first_token() -> None:
    player = Player("a", [failure()], ["ja"])
    assert (await told(player))[0] == "ja"
    assert player.asked == ["m", "m"]


async def test_and_then_the_next_one_is_which_the_listener_is_told() -> None:
    first, second = Player("a", [failure()], [failure()]), Player("b", ["ja"])
    asked, delta, answer = await told(first, second)
    assert asked == Asked("b/m")
    assert (delta, answer_text(answer)) == ("ja", "ja")
    assert (len(first.asked), len(second.asked)) == (2, 1)


RETRYABLE = [
    *(errors.RateLimited, errors.Overloaded, errors.Unavailable, errors.TimedOut, errors.ConnectionFailed),
    *(errors.StreamInterrupted, errors.MalformedAnswer),
]
FINAL = [errors.AuthenticationFailed, errors.PermissionDenied, errors.ModelNotFound, errors.Unsupported]


@pytest.mark.parametrize("kind", RETRYABLE)
async def test_what_may_pass_is_tried_twice(kind: type[errors.ProviderError]) -> None:
    first, second = Player("a", [failure(kind)], [failure(kind)]), Player("b")
    assert (await told(first, second))[0] == Asked("b/m")
    assert len(first.asked) == 2


@pytest.mark.parametrize("kind", FINAL)
async def test_what_cannot_pass_is_not_tried_again_but_another_target_is(kind: type[errors.ProviderError]) -> None:
    first, second = Player("a", [failure(kind)], ["no"]), Player("b")
    assert (await told(first, second))[0] == Asked("b/m")
    assert len(first.asked) == 1


@pytest.mark.parametrize("kind", [errors.BadRequest, errors.ContentFiltered])
@pytest.mark.parametrize("before", [[], ["half"]])
async def test_what_lies_with_the_question_is_passed_on_at_once(
    kind: type[errors.ProviderError], before: list[Step]
) -> None:
    first, second = Player("a", [*before, failure(kind, detail="the vendor's reason")], ["no"]), Player("b")
    *_, error = await told(first, second)
    assert (type(error), error.detail) == (kind, "the vendor's reason")
    assert (len(first.asked), second.asked) == (1, [])


async def test_an_answer_that_a_filter_cut_off_is_none() -> None:
    cut = Answer(text="half", finish="content_filter", usage=Usage(output_tokens=1), model="m")
    first, second = Player("a", ["half", cut]), Player("b")
    room = Room(first, second)
    half, error = await room.told()
    assert half == "half"
    assert isinstance(error, errors.ContentFiltered)
    assert (error.provider, second.asked) == ("a", [])
    assert [call.usage for call in room.calls] == [Usage(output_tokens=1)]


async def test_what_is_too_long_goes_to_a_target_with_a_larger_context() -> None:
    too_long = [failure(errors.ContextTooLong)]
    first = Player("a", too_long, context_tokens=8_000)
    smaller, unknown = Player("b", ["no"], context_tokens=8_000), Player("c", too_long)
    larger = Player("d", ["ja"], context_tokens=100_000)
    assert (await told(first, smaller, unknown, larger))[:3] == [Asked("c/m"), Asked("d/m"), "ja"]
    assert smaller.asked == []


async def test_what_is_too_long_for_all_is_said_so() -> None:
    first, second = Player("a", [failure(errors.ContextTooLong)], context_tokens=8_000), Player("b", context_tokens=9)
    (error,) = await told(first, second)
    assert isinstance(error, errors.ContextTooLong)
    assert second.asked == []


async def test_a_pause_that_the_vendor_asks_for_is_kept() -> None:
    player = Player("a", [failure(errors.RateLimited, retry_after=0.15)], ["ja"])
    began = time.monotonic()
    assert (await told(player))[0] == "ja"
    assert time.monotonic() - began >= 0.15


async def test_a_target_that_asks_for_a_pause_is_passed_over_if_there_is_another() -> None:
    first = Player("a", [failure(errors.RateLimited, retry_after=600.0)], ["no"])
    assert (await told(first, Player("b", ["ja"])))[:2] == [Asked("b/m"), "ja"]
    assert len(first.asked) == 1


async def test_a_pause_beyond_the_deadline_is_not_waited_for() -> None:
    player = Player("a", [failure(errors.RateLimited, retry_after=600.0)], ["no"])
    deadline = asyncio.get_running_loop().time() + 30
    (error,) = await Room(player).told(deadline=deadline)
    assert (error.code, error.retry_after) == ("provider_rate_limited", 600.0)
    assert len(player.asked) == 1


async def test_retries_are_at_most_a_tenth_of_the_calls() -> None:
    player = Player("a", *[[failure()]] * 200)
    room = Room(player)
    for _ in range(100):
        await room.told()
    assert 100 < len(player.asked) <= 100 + 3 + 12


async def test_an_answer_that_breaks_off_starts_again_on_the_next_target() -> None:
    first, second = Player("a", ["half", failure(errors.StreamInterrupted)]), Player("b", ["whole"])
    assert (await told(first, second))[:3] == ["half", Restart("stream_interrupted", "b/m"), "whole"]
    assert len(first.asked) == 1


async def test_the_last_target_gets_one_more_chance() -> None:
    player = Player("a", ["half", failure(errors.StreamInterrupted)], ["whole"])
    *items, answer = await told(player)
    assert items == ["half", Restart("stream_interrupted", "a/m"), "whole"]
    assert answer_text(answer) == "whole"


async def test_but_only_one() -> None:
    plays: list[list[Step]] = [["one", failure(errors.StreamInterrupted)], ["two", failure()], ["three"]]
    *items, error = await told(Player("a", *plays))
    assert items == ["one", Restart("stream_interrupted", "a/m"), "two"]
    assert isinstance(error, errors.Overloaded), "the last failure of a single target, as it is"


async def test_and_none_if_the_reason_cannot_pass() -> None:
    player = Player("a", ["half", failure(errors.ContentFiltered)], ["no"])
    half, error = await told(player)
    assert half == "half"
    assert isinstance(error, errors.ContentFiltered)
    assert len(player.asked) == 1


async def test_a_restart_and_then_a_silent_failure_are_told_apart() -> None:
    first, second, third = Player("a", ["half", failure()]), Player("b", *[[failure()]] * 2), Player("c", ["whole"])
    items = await told(first, second, third)
    assert items[:4] == ["half", Restart("provider_overloaded", "b/m"), Asked("c/m"), "whole"]


async def test_a_single_targets_error_is_raised_as_it_is() -> None:
    error = failure(errors.ModelNotFound, detail="no such model")
    assert await told(Player("a", [error])) == [error]


async def test_when_every_target_fails_all_are_named_in_order() -> None:
    first = Player("a", [failure(errors.AuthenticationFailed, detail="bad key")])
    second = Player("b", *[[errors.RateLimited("slow down", provider="b")]] * 2)
    asked, error = await told(first, second)
    assert asked == Asked("b/m")
    assert isinstance(error, AllTargetsFailed)
    assert error.code == "all_targets_failed"
    said = error.detail
    assert said.index("a/m: provider_authentication_failed: bad key") < said.index("b/m: provider_rate_limited: slow")
    assert error.provider == "b"
    assert error.retryable, "one of them may be well again"


async def test_all_failed_is_not_retryable_if_no_reason_is() -> None:
    *_, error = await told(
        Player("a", [failure(errors.ModelNotFound)]), Player("b", [failure(errors.PermissionDenied)])
    )
    assert isinstance(error, AllTargetsFailed)
    assert not error.retryable


async def test_a_restarted_last_target_is_named_once_with_its_last_error() -> None:
    first = Player("a", [failure(errors.ModelNotFound)])
    second = Player("b", ["x", failure(errors.StreamInterrupted)], *[[failure(errors.Overloaded)]] * 2)
    *_, error = await told(first, second)
    assert isinstance(error, AllTargetsFailed)
    assert error.detail.count("b/m") == 1
    assert "b/m: provider_overloaded" in error.detail


async def test_a_provider_that_this_worker_does_not_have_is_passed_over() -> None:
    second = Player("b", ["ja"])
    assert (await told(second, names=["a/m", "b/m"]))[:2] == [Asked("b/m"), "ja"]


async def test_and_named_if_there_is_no_other() -> None:
    (error,) = await told(names=["a/m"])
    assert (error.code, error.retryable) == ("provider_disabled", False)
    assert "'a' is not configured" in error.detail


async def test_silence_before_the_first_token_is_limited_and_not_tried_again() -> None:
    first, second = Player("a", [60.0], ["no"]), Player("b", ["ja"])
    items = await told(first, second, limits=Limits(first_token_s=0.05, stall_s=20))
    assert items[:2] == [Asked("b/m"), "ja"]
    assert len(first.asked) == 1


async def test_silence_is_named_with_its_limit() -> None:
    (error,) = await told(Player("a", [60.0]), limits=Limits(first_token_s=0.05, stall_s=20))
    assert (error.code, error.provider, error.retryable) == ("first_token_timeout", "a", True)
    assert "0.05 s" in error.detail


async def test_each_silence_in_the_middle_is_limited_by_itself() -> None:
    slow = Player("a", ["a", 0.15, "b", 0.15, "c", 0.15, "d"])
    assert (await told(slow, limits=Limits(first_token_s=0.3, stall_s=0.3)))[:4] == ["a", "b", "c", "d"]
    stalled, second = Player("a", ["a", 60.0, "b"]), Player("b", ["whole"])
    items = await told(stalled, second, limits=Limits(first_token_s=20, stall_s=0.05))
    assert items[:3] == ["a", Restart("stream_stalled", "b/m"), "whole"]


async def test_a_slow_listener_is_no_stall() -> None:
    limits = Limits(first_token_s=0.05, stall_s=0.05)
    heard = []
    async for item in Room(Player("a", ["a", "b"])).stream(limits=limits):
        await asyncio.sleep(0.1)
        heard.append(item)
    assert [item.text for item in heard if isinstance(item, Delta)] == ["a", "b"]


async def test_a_stream_without_an_answer_was_interrupted() -> None:
    (error,) = await told(Player("a", [None], [None]))
    assert isinstance(error, errors.StreamInterrupted)
    *items, error = await told(Player("a", ["x", None], ["y", None]))
    assert items == ["x", Restart("stream_interrupted", "a/m"), "y"]
    assert isinstance(error, errors.StreamInterrupted)


async def test_an_answer_without_any_text_is_an_answer() -> None:
    (answer,) = await told(Player("a", []))
    assert answer_text(answer) == ""


async def test_what_is_no_failure_of_a_provider_is_a_bug_and_passes_through() -> None:
    first, second = Player("a", [ZeroDivisionError()]), Player("b")
    with pytest.raises(ZeroDivisionError):
        await told(first, second)
    assert (first.open, second.asked) == (0, [])


@pytest.mark.parametrize("heard", [1, 2])
async def test_closing_the_iterator_closes_the_service(heard: int) -> None:
    player = Player("a", ["a", "b", 60.0])
    items = Room(player).stream()
    for _ in range(heard):
        await anext(items)
    assert player.open == 1
    await items.aclose()
    assert player.open == 0


async def test_closing_after_the_answer_closes_the_service() -> None:
    player = Player("a", ["a"])
    async with aclosing(Room(player).stream()) as items:
        async for item in items:
            if isinstance(item, Answer):
                break
    assert player.open == 0


@pytest.mark.parametrize("play", [[60.0], ["a", 60.0], [failure(errors.RateLimited, retry_after=9.0)]])
async def test_cancelling_the_listener_closes_the_service(play: list[Step]) -> None:
    player = Player("a", play)

    async def listen() -> None:
        async for _ in Room(player).stream():
            pass

    listening = asyncio.create_task(listen())
    await asyncio.wait([listening], timeout=0.05)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    assert (player.open, len(player.asked)) == (0, 1)
