"""What is recorded of every call to a model, and how a question is made fit for its target."""

import asyncio
from typing import Any

import msgspec
import pytest

from jobs import routes
from jobs.model import Usage
from providers import errors, tokens
from providers.routing import router
from providers.routing.router import Asked, Limits
from providers.service import Ask, Image, Message, Text, Tool, ToolCall
from tests.unit.providers.routing.room import ASK, Player, Room, failure

IMAGE = Image(media_type="image/png", data=b"\x89PNG")
TOOL = Tool(name="f", description="", parameters={"type": "object"})


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "BACKOFF_S", 0.0)


def asking(*parts: Any, role: Any = "user", **fields: Any) -> Ask:
    """A question whose last message has these parts."""
    first = Message(role="user", parts=(Text("안녕"),))
    return Ask(model="", messages=(first, Message(role=role, parts=parts)), **fields)


async def test_an_answer_is_recorded_with_its_usage_and_times() -> None:
    room = Room(Player("a", [0.02, "ja"]))
    await room.told()
    (call,) = room.calls
    assert (call.model, call.outcome, call.error, call.estimated) == ("a/m", "answered", None, False)
    assert call.first_token_s is not None
    assert 0.02 <= call.first_token_s <= call.duration_s


async def test_a_refused_call_used_nothing() -> None:
    room = Room(Player("a", *[[failure(errors.RateLimited)]] * 2), Player("b"))
    await room.told()
    assert [(call.model, call.outcome, call.error) for call in room.calls] == [
        ("a/m", "failed", "provider_rate_limited"),
        ("a/m", "failed", "provider_rate_limited"),
        ("b/m", "answered", None),
    ]
    assert room.calls[0].usage == Usage()
    assert room.calls[0].first_token_s is None


async def test_what_a_broken_off_answer_used_is_estimated() -> None:
    room = Room(Player("a", ["It was a dark and stormy night. " * 10, failure(errors.StreamInterrupted)]), Player("b"))
    await room.told()
    broken = room.calls[0]
    assert (broken.outcome, broken.estimated) == ("failed", True)
    assert broken.usage.input_tokens == tokens.estimate_ask(ASK)
    assert 50 < broken.usage.output_tokens < 120


async def test_unless_the_vendor_told_in_time() -> None:
    usage = Usage(input_tokens=70, output_tokens=3)
    room = Room(Player("a", [usage, "x", failure(errors.Stalled)]), Player("b"))
    await room.told()
    assert (room.calls[0].usage, room.calls[0].estimated) == (usage, False)


async def test_an_answer_whose_vendor_did_not_tell_is_estimated_too() -> None:
    room = Room(Player("a", ["It was a dark and stormy night."], usage=Usage()))
    await room.told()
    assert room.calls[0].estimated
    assert 4 < room.calls[0].usage.output_tokens < 12


async def test_silence_and_cancellation_are_recorded() -> None:
    room = Room(Player("a", [60.0]), Player("b", ["x", 60.0]))
    items = room.stream(limits=Limits(first_token_s=0.05, stall_s=60))
    assert await anext(items) == Asked("b/m")
    await anext(items)
    await items.aclose()
    silent, cancelled = room.calls
    assert (silent.outcome, silent.error, silent.estimated) == ("failed", "first_token_timeout", True)
    assert (cancelled.model, cancelled.outcome, cancelled.error) == ("b/m", "cancelled", None)


async def test_early_usage_is_no_first_token() -> None:
    room = Room(Player("a", [0.04, Usage(input_tokens=1), 0.04, Usage(input_tokens=2), 60.0]))
    (error,) = await room.told(limits=Limits(first_token_s=0.1, stall_s=60))
    assert isinstance(error, errors.FirstTokenTimeout)


async def test_instructions_go_to_the_user_where_there_is_no_system_part() -> None:
    player = Player("a", ["ja"], system=False)
    await Room(player).told(ask=msgspec.structs.replace(ASK, system="Be brief."))
    (sent,) = player.asks
    assert sent.system is None
    assert sent.messages[0].parts == (Text("Be brief.\n\n"), Text("안녕"))


async def test_a_schema_is_left_to_the_prompt_where_there_is_no_json_mode() -> None:
    schema = {"type": "object"}
    plain, strict = Player("a", [failure(errors.ModelNotFound)]), Player("b", ["{}"], json_schema=True)
    await Room(plain, strict).told(ask=msgspec.structs.replace(ASK, output_schema=schema))
    assert (plain.asks[0].output_schema, strict.asks[0].output_schema) == (None, schema)


@pytest.mark.parametrize(
    ("ask", "ability", "said"),
    [
        (asking(IMAGE), "images", "a/m takes no images"),
        (asking(Text("x"), tools=(TOOL,)), "tools", "a/m calls no tools"),
        (asking(ToolCall("1", "f", {}), role="assistant"), "tools", "a/m calls no tools"),
        (asking(Text("Once upon"), role="assistant"), "prefill", "does not go on with an answer"),
    ],
)
async def test_a_target_that_cannot_take_the_question_is_passed_over(ask: Ask, ability: str, said: str) -> None:
    able: dict[str, Any] = {"images": True, "tools": True, "prefill": True}
    first, second = Player("a", ["no"], **able | {ability: False}), Player("b", ["ja"], **able)
    assert (await Room(first, second).told(ask=ask))[:2] == [Asked("b/m"), "ja"]
    assert first.asked == []
    (error,) = await Room(first).told(ask=ask)
    assert error.code == "unsupported"
    assert said in error.detail


async def test_settings_override_what_is_known_of_a_model() -> None:
    player = Player("a", ["ja"])
    room = Room(player, special={"a/m": routes.Target(images=True)})
    assert (await room.told(ask=asking(IMAGE)))[0] == "ja"


async def test_a_targets_own_limits_are_tighter_than_the_jobs() -> None:
    special = {"a/m": routes.Target(first_token_s=0.05), "b/m": routes.Target(stall_s=0.05, first_token_s=600)}
    room = Room(Player("a", [60.0]), Player("b", ["x", 60.0]), Player("c", ["ja"]), special=special)
    await room.told(limits=Limits(first_token_s=30, stall_s=30))
    assert [call.error for call in room.calls] == ["first_token_timeout", "stream_stalled", None]


async def test_a_limited_target_is_waited_for_and_left_when_the_wait_is_too_long() -> None:
    class Full(list[str]):
        async def step(self, target: str, quota: routes.Quota, steps: list[Any]) -> list[bool]:
            self.extend(step.kind for step in steps)
            return [False] * len(steps)

    first, second = Player("a", ["no"]), Player("b", ["ja"])
    room = Room(first, second, special={"a/m": routes.Target(concurrency=1)})
    store = Full()
    room.targets._permits = store
    assert (await room.told(limits=Limits(first_token_s=0.1, stall_s=9)))[:2] == [Asked("b/m"), "ja"]
    assert first.asked == []
    async with asyncio.timeout(10):
        while store[-1] != "release":  # noqa: ASYNC110 - what is awaited happens in another task
            await asyncio.sleep(0.005)
