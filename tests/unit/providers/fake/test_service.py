"""What the fake does with each word of its script."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.model import Usage
from providers import errors
from providers.fake.script import ERRORS, parse
from providers.fake.service import FakeService
from providers.service import Ask, Delta, Image, Message, Text, Tool
from tests.unit.providers.asks import ask, collect


async def _listen(model: str, heard: list[str]) -> None:
    """Notes the deltas of a stream, also of one that never ends well."""
    async for item in FakeService().stream(ask(model)):
        assert isinstance(item, Delta)
        heard.append(item.text)


async def test_any_bare_name_echoes_word_by_word() -> None:
    for model in ("echo", "anything", "a/b", "echo?"):
        deltas, answer = await collect(FakeService(), ask(model, "안녕하세요, 주문 4711\n언제 오나요?"))
        assert deltas == ["안녕하세요, ", "주문 ", "4711\n", "언제 ", "오나요?"]
        assert (answer.finish, answer.model) == ("stop", model)


async def test_echo_repeats_the_last_user_message() -> None:
    messages = (
        Message(role="user", parts=(Text("first"),)),
        Message(role="user", parts=(Text("second"), Text("part"))),
        Message(role="assistant", parts=(Text("third"),)),
    )
    assert (await FakeService().generate(Ask(model="echo", messages=messages))).text == "second\npart"


async def test_nothing_said_is_an_empty_answer() -> None:
    deltas, answer = await collect(FakeService(), ask("echo", ""))
    assert (deltas, answer.text) == ([], "")


async def test_script_says_text_usage_and_finish() -> None:
    model = (
        "say?text=Hi+there%2C+%EC%9D%91&input_tokens=5&output_tokens=9&cached_tokens=2&reasoning_tokens=3&finish=length"
    )
    deltas, answer = await collect(FakeService(), ask(model, "ignored"))
    assert deltas == ["Hi ", "there, ", "응"]
    assert answer.finish == "length"
    assert answer.usage == Usage(input_tokens=5, output_tokens=9, cached_tokens=2, reasoning_tokens=3)


async def test_usage_counts_words_by_default() -> None:
    answer = await FakeService().generate(ask("say?text=a+b+c", "one two", system="be brief now"))
    assert answer.usage == Usage(input_tokens=5, output_tokens=3)


async def test_filler_in_so_many_deltas() -> None:
    deltas, answer = await collect(FakeService(), ask("say?chars=1000&deltas=60"))
    assert len(answer.text) == 1000
    assert len(deltas) == 60
    deltas, _ = await collect(FakeService(), ask("say?text=abc&deltas=60"))
    assert deltas == ["a", "b", "c"]


@given(st.text(), st.none() | st.integers(1, 50))
def test_pieces_are_never_empty_and_make_the_text(text: str, deltas: int | None) -> None:
    pieces = parse("say" if deltas is None else f"say?deltas={deltas}").pieces(text)
    assert "".join(pieces) == text
    assert all(pieces)


async def test_pauses_before_the_first_and_between_deltas() -> None:
    begun = time.monotonic()
    await collect(FakeService(), ask("say?text=a+b+c&first_ms=40&delta_ms=20"))
    assert time.monotonic() - begun >= 0.08


@pytest.mark.parametrize("code", sorted(ERRORS))
async def test_every_error_by_its_code(code: str) -> None:
    for name in {code, code.removeprefix("provider_")}:
        with pytest.raises(ERRORS[code]) as raised:
            await FakeService().generate(ask(f"say?fail={name}&retry_after=2.5", "hello"))
        assert type(raised.value) is ERRORS[code]
        assert (raised.value.retry_after, raised.value.provider) == (2.5, "fake")


@pytest.mark.parametrize(("after", "seen"), [(0, []), (2, ["a ", "b "]), (99, ["a ", "b ", "c"])])
async def test_fails_after_so_many_deltas(after: int, seen: list[str]) -> None:
    got: list[str] = []
    with pytest.raises(errors.StreamInterrupted):
        await _listen(f"say?text=a+b+c&fail=cut&after={after}", got)
    assert got == seen


async def test_fails_so_many_times_then_succeeds() -> None:
    service = FakeService()
    for model in ("say?text=ok&fail=overloaded&times=2", "say?text=ok&fail=overloaded&times=2&key=other"):
        for _ in range(2):
            with pytest.raises(errors.Overloaded):
                await service.generate(ask(model))
        for _ in range(2):
            assert (await service.generate(ask(model))).text == "ok"


async def test_replies_in_turn() -> None:
    service = FakeService()
    model = 'x?reply=not json|{"summary":"짧음"}'
    assert [(await service.generate(ask(model))).text for _ in range(3)] == ["not json", *['{"summary":"짧음"}'] * 2]


@pytest.mark.parametrize(("fail", "after"), [("hang", 0), ("stall", 2)])
async def test_silence_ends_only_with_its_caller(fail: str, after: int) -> None:
    got: list[str] = []
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_listen(f"say?text=a+b+c&fail={fail}&after={after}", got), 0.05)
    assert len(got) == after


async def test_closing_the_stream_early_is_quiet() -> None:
    stream = FakeService().stream(ask("say?chars=100&delta_ms=60000"))
    assert isinstance(await anext(stream), Delta)
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator, as the contract says of `aclose()`


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("say?colour=red", "colour"),
        ("say?first_ms=soon", "$.first_ms"),
        ("say?first_ms=-1", "$.first_ms"),
        ("say?deltas=0", "$.deltas"),
        ("say?finish=never", "$.finish"),
        ("say?fail=whatever", "whatever"),
        ("say?text=a&text=b", "text given twice"),
        ("say?text=a&chars=3", "chars and text exclude each other"),
        ("say?text", "text"),
    ],
)
async def test_a_script_that_cannot_be_followed_is_named(model: str, named: str) -> None:
    with pytest.raises(errors.BadRequest, match="fake/say") as raised:
        await FakeService().generate(ask(model))
    assert named in raised.value.detail


async def test_images_and_tools_are_unsupported() -> None:
    service = FakeService()
    assert not service.capabilities("echo").images
    image = Message(role="user", parts=(Image("image/png", b"png"),))
    with pytest.raises(errors.Unsupported, match="images"):
        await service.generate(Ask(model="echo", messages=(image,)))
    with pytest.raises(errors.Unsupported, match="tools"):
        await service.generate(ask("echo", "hi", tools=(Tool(name="f", description="", parameters={}),)))
