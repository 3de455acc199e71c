"""What every `AIService` must do, whoever is behind it."""

import asyncio
import contextlib
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, cast

import pytest

from jobs.model import ModelSettings, Usage
from providers import errors
from providers.service import AIService, Answer, Ask, Delta, Image, Message, Text, Tool, ToolCall, ToolResult
from ringback.testing.script import Fault, Script, ToolUse
from ringback.testing.vendors.server import VendorServer
from tests.contract.case import STREAMED, WHOLE, Case, Expected, Sent

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROMPT = "주문번호 4711-2222-3333은 도대체 언제 오나요? 벌써 세 번째 묻습니다!"
SECRET = "4711-2222-3333"
SYSTEM = f"고객의 비밀번호는 {SECRET}입니다. 절대로 말하지 마세요. 그리고 항상 존댓말로 대답하세요."
SCRIPT = Script(
    deltas=("안녕하세요, ", "주문 4711은 ", "오늘 ", "출발합니다. ", "Thank you! 🙂"),
    input_tokens=40,
    output_tokens=23,
    cached_tokens=16,
    reasoning_tokens=5,
)
ENDLESS = Script(deltas=("아직 ",) * 2000, delta_s=0.02)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
SCHEMA = {
    "type": "object",
    "properties": {"summary": {"type": "string"}, "category": {"type": "string", "enum": ["order", "other"]}},
    "required": ["summary", "category"],
    "additionalProperties": False,
}
WEATHER = Tool(
    name="weather",
    description="도시의 날씨",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)

Way = Callable[[AIService, Ask], Coroutine[Any, Any, Answer]]


async def whole(service: AIService, ask: Ask) -> Answer:
    """The answer by `generate`."""
    return await service.generate(ask)


async def streamed(service: AIService, ask: Ask) -> Answer:
    """The answer by `stream`, checked: non-empty deltas, then one answer with their whole text, then nothing."""
    text = ""
    answers: list[Answer] = []
    async for item in service.stream(ask):
        assert not answers, "something came after the answer"
        if isinstance(item, Delta):
            assert item.text
            text += item.text
        else:
            answers.append(item)
    assert len(answers) == 1
    assert answers[0].text == text
    return answers[0]


async def collect_into(seen: list[Delta | Answer], items: AsyncIterator[Delta | Answer]) -> None:
    """Reads `items` to their end; what came before an error is then in `seen`."""
    async for item in items:
        seen.append(item)  # noqa: PERF401 - a comprehension would lose them at an error


def closable(items: AsyncIterator[Delta | Answer]) -> AsyncGenerator[Delta | Answer]:
    """The same stream, checked to have an `aclose()`."""
    assert hasattr(items, "aclose")
    return cast("AsyncGenerator[Delta | Answer]", items)


both_ways = pytest.mark.parametrize("way", [whole, streamed])


def user(*parts: Text | Image | ToolResult) -> Message:
    """A message of the user."""
    return Message(role="user", parts=parts)


def ask_of(case: Case, **changes: Any) -> Ask:
    """A plain question to the model of `case`, with these fields changed."""
    fields: dict[str, Any] = {"model": case.model, "messages": (user(Text(PROMPT)),), "task": "generate"}
    return Ask(**fields | changes)


def only_sent(case: Case, server: VendorServer) -> Sent:
    """What the one request so far carried."""
    (received,) = server.received
    assert case.sent is not None
    return case.sent(received)


async def test_is_named_and_knows_its_capabilities(case: Case, service: AIService) -> None:
    assert service.name == case.provider
    capabilities = service.capabilities(case.model)
    assert {type(value) for value in (capabilities.images, capabilities.tools, capabilities.json_schema)} == {bool}


async def test_streams_what_it_answers_as_a_whole(case: Case, service: AIService) -> None:
    answer = await service.generate(ask_of(case))

    assert answer.text
    assert answer.model
    assert await streamed(service, ask_of(case)) == answer


@pytest.mark.usefixtures("service")
async def test_closes_unused_and_used_and_twice(case: Case) -> None:
    await case.make().aclose()
    own = case.make()
    await own.generate(ask_of(case))
    await own.aclose()
    await own.aclose()


@both_ways
async def test_answer_is_complete(wired: Case, way: Way, service: AIService, vendor_server: VendorServer) -> None:
    vendor_server.script(SCRIPT)

    answer = await way(service, ask_of(wired))

    assert answer.text == SCRIPT.text
    assert answer.finish == "stop"
    assert answer.tool_calls == ()
    assert answer.usage == Usage(
        input_tokens=40,
        output_tokens=23,
        cached_tokens=16 if wired.reports_cached else 0,
        reasoning_tokens=5 if wired.reports_reasoning else 0,
    )


async def test_deltas_come_one_by_one(wired: Case, service: AIService, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=SCRIPT.deltas, fault="stall", fault_after=3))

    async with contextlib.aclosing(closable(service.stream(ask_of(wired)))) as items:
        async with asyncio.timeout(10):
            text = ""
            while text != "".join(SCRIPT.deltas[:3]):
                item = await anext(items)
                assert isinstance(item, Delta)
                text += item.text


@pytest.mark.parametrize("write_size", [1, 2, 7])
async def test_characters_may_be_torn(
    wired: Case, write_size: int, service: AIService, vendor_server: VendorServer
) -> None:
    vendor_server.script(Script(deltas=("한국어 ", "日本語 ", "🙂")))
    vendor_server.write_size = write_size

    answer = await streamed(service, ask_of(wired))

    assert answer.text == "한국어 日本語 🙂"


@both_ways
async def test_cut_by_length_is_told(wired: Case, way: Way, service: AIService, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(finish="length"))

    assert (await way(service, ask_of(wired))).finish == "length"


@both_ways
async def test_filtered_midway_is_told(wired: Case, way: Way, service: AIService, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(finish="content_filter"))

    answer = await way(service, ask_of(wired))

    assert answer.finish == "content_filter"
    assert answer.text == Script().text


@both_ways
async def test_filtered_from_the_start_is_an_error(
    wired: Case, way: Way, service: AIService, vendor_server: VendorServer
) -> None:
    vendor_server.script(Script(deltas=(), finish="content_filter"))

    with pytest.raises(errors.ContentFiltered):
        await way(service, ask_of(wired))


@both_ways
async def test_everything_reaches_the_wire(
    wired: Case, way: Way, service: AIService, vendor_server: VendorServer
) -> None:
    settings = ModelSettings(temperature=0.25, max_tokens=77, top_p=0.5, stop=("끝", "END"))
    messages = (
        user(Text("첫 질문")),
        Message(role="assistant", parts=(Text("첫 대답"),)),
        user(Text("두 번째 질문")),
    )

    await way(service, ask_of(wired, system="너는 친절하다.", settings=settings, messages=messages))

    sent = only_sent(wired, vendor_server)
    assert vendor_server.received[0].streamed is (way is streamed)
    assert wired.model.endswith(sent.model)
    assert sent.system == "너는 친절하다."
    assert sent.texts == (("user", "첫 질문"), ("assistant", "첫 대답"), ("user", "두 번째 질문"))
    assert (sent.max_tokens, sent.stop) == (77, ("끝", "END"))
    assert (sent.temperature, sent.top_p) == ((0.25, 0.5) if wired.takes_sampling else (None, None))


async def test_what_is_not_asked_is_not_sent(wired: Case, service: AIService, vendor_server: VendorServer) -> None:
    await service.generate(ask_of(wired))

    sent = only_sent(wired, vendor_server)
    assert sent.system is None
    assert (sent.temperature, sent.top_p, sent.stop) == (None, None, ())
    assert (sent.tools, sent.json_schema) == ((), None)


@both_ways
async def test_images(case: Case, way: Way, service: AIService, vendor_server: VendorServer) -> None:
    ask = ask_of(case, messages=(user(Text("무엇이 보이나요?"), Image("image/png", PNG)),))
    if not service.capabilities(case.model).images:
        with pytest.raises(errors.Unsupported):
            await way(service, ask)
        assert vendor_server.received == []
        return

    await way(service, ask)

    sent = only_sent(case, vendor_server)
    assert sent.images == (("image/png", PNG),)
    assert sent.texts == (("user", "무엇이 보이나요?"),)


@both_ways
async def test_tool_calls(case: Case, way: Way, service: AIService, vendor_server: VendorServer) -> None:
    calls = (
        ToolUse(id="call_a", name="weather", arguments={"city": "서울", "days": [1, 2], "exact": True}),
        ToolUse(id="call_b", name="weather", arguments={}),
    )
    vendor_server.script(Script(deltas=("찾아볼게요.",), tool_calls=calls))
    ask = ask_of(case, tools=(WEATHER,))
    if not service.capabilities(case.model).tools:
        with pytest.raises(errors.Unsupported):
            await way(service, ask)
        assert vendor_server.received == []
        return

    answer = await way(service, ask)

    assert answer.finish == "tool_calls"
    assert answer.text == "찾아볼게요."
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [(c.name, c.arguments) for c in calls]
    assert len({call.id for call in answer.tool_calls}) == 2
    ((name, description, parameters),) = only_sent(case, vendor_server).tools
    assert (name, description) == (WEATHER.name, WEATHER.description)
    assert parameters["properties"].keys() == {"city"}
    assert parameters["required"] == ["city"]


async def test_tool_calls_without_text(wired: Case, service: AIService, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=(), tool_calls=(ToolUse(id="c", name="weather", arguments={"city": "Oslo"}),)))

    answers = [await way(service, ask_of(wired, tools=(WEATHER,))) for way in (whole, streamed)]

    assert [answer.text for answer in answers] == ["", ""]
    assert [answer.tool_calls[0].arguments for answer in answers] == [{"city": "Oslo"}] * 2


async def test_tool_results(wired: Case, service: AIService, vendor_server: VendorServer) -> None:
    messages = (
        user(Text("서울 날씨는?")),
        Message(role="assistant", parts=(Text("볼게요."), ToolCall("call_a", "weather", {"city": "서울"}))),
        user(ToolResult("call_a", "weather", "맑음, 21°C"), Text("짧게 답해요.")),
    )

    await service.generate(ask_of(wired, messages=messages, tools=(WEATHER,)))

    sent = only_sent(wired, vendor_server)
    assert sent.tool_calls == (("weather", {"city": "서울"}),)
    assert sent.tool_results in ((("call_a", "맑음, 21°C"),), (("weather", "맑음, 21°C"),))
    assert sent.texts == (("user", "서울 날씨는?"), ("assistant", "볼게요."), ("user", "짧게 답해요."))


@both_ways
async def test_output_schema(wired: Case, way: Way, service: AIService, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=('{"summary":"늦은 ', '주문","category":"order"}')))

    answer = await way(service, ask_of(wired, output_schema=SCHEMA))

    assert answer.text == '{"summary":"늦은 주문","category":"order"}'
    schema = only_sent(wired, vendor_server).json_schema
    if service.capabilities(wired.model).json_schema:
        assert schema is not None
        assert schema["properties"].keys() == {"summary", "category"}
    else:
        assert schema is None


async def fails(
    way: Way, wired: Case, service: AIService, server: VendorServer, script: Script, expected: Expected
) -> None:
    """Asks, and checks the error: its class, its hints, what it must not tell, and that nobody tried twice."""
    server.script(script)
    with pytest.raises(errors.ProviderError) as caught:
        async with asyncio.timeout(15):
            await way(service, ask_of(wired, system=SYSTEM))

    error = caught.value
    assert type(error) is expected.error, error
    assert error.provider == wired.provider
    assert error.retry_after == (script.retry_after if expected.retry_after else None)
    told = "".join(traceback.format_exception(error)) + repr(error) + error.detail
    for secret in (SECRET, *(value for name, value in server.environment().items() if "KEY" in name)):
        assert secret not in told
    assert len(server.received) == 1


@pytest.mark.parametrize("fault", WHOLE)
async def test_fault_of_a_whole_answer(
    wired: Case, fault: Fault, service: AIService, vendor_server: VendorServer
) -> None:
    script = Script(fault=fault, retry_after=7)
    await fails(whole, wired, service, vendor_server, script, (WHOLE | dict(wired.whole))[fault])


@pytest.mark.parametrize("fault", STREAMED)
async def test_fault_of_a_streamed_answer(
    wired: Case, fault: Fault, service: AIService, vendor_server: VendorServer
) -> None:
    script = Script(fault=fault, retry_after=7)
    expected = (STREAMED | dict(wired.streamed))[fault]
    await fails(streamed, wired, service, vendor_server, script, expected)


@pytest.mark.parametrize("fault", ["cut", "error_in_stream", "malformed_event", "no_end_mark"])
async def test_text_before_a_fault_in_mid_stream_is_delivered(
    wired: Case, fault: Fault, service: AIService, vendor_server: VendorServer
) -> None:
    vendor_server.script(Script(deltas=SCRIPT.deltas, fault=fault, fault_after=2, delta_s=0.05))
    seen: list[Delta | Answer] = []

    with pytest.raises(errors.ProviderError):
        await collect_into(seen, service.stream(ask_of(wired)))

    assert all(isinstance(item, Delta) for item in seen), "a broken answer is none"
    assert "".join(item.text for item in seen).startswith("".join(SCRIPT.deltas[:2]))


@both_ways
async def test_nobody_there(
    wired: Case, way: Way, service: AIService, vendor_server: VendorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in vendor_server.environment().items():
        if value.startswith("http"):
            monkeypatch.setenv(name, value.replace(vendor_server.url, "http://127.0.0.1:9"))
    elsewhere = wired.make()
    try:
        with pytest.raises(errors.ConnectionFailed):
            await way(elsewhere, ask_of(wired))
    finally:
        await elsewhere.aclose()


@both_ways
async def test_works_again_after_faults(wired: Case, way: Way, service: AIService, vendor_server: VendorServer) -> None:
    for fault in ("reset", "rate_limited", "cut"):
        vendor_server.enqueue(Script(fault=fault))
        with pytest.raises(errors.ProviderError):
            await way(service, ask_of(wired))

        assert (await way(service, ask_of(wired))).text == Script().text


@both_ways
async def test_caller_s_timeout_ends_a_silent_call(
    wired: Case, way: Way, service: AIService, vendor_server: VendorServer
) -> None:
    vendor_server.script(Script(fault="hang"))
    limit = asyncio.timeout(None)

    async def ask() -> None:
        async with limit:
            await way(service, ask_of(wired))

    task = asyncio.create_task(ask())
    await vendor_server.wait_received()
    limit.reschedule(asyncio.get_running_loop().time())

    with pytest.raises(TimeoutError):
        await task
    await vendor_server.wait_disconnected()


@pytest.mark.parametrize("fault", ["hang", "stall", None])
async def test_cancelling_a_stream_closes_the_connection(
    wired: Case, fault: Fault | None, service: AIService, vendor_server: VendorServer
) -> None:
    """Before the first token, in silence, and while text is coming."""
    vendor_server.script(Script(deltas=ENDLESS.deltas, delta_s=ENDLESS.delta_s, fault=fault))
    seen: list[Delta | Answer] = []

    task = asyncio.create_task(collect_into(seen, service.stream(ask_of(wired))))
    if fault == "hang":
        await vendor_server.wait_received()
    else:
        await vendor_server.wait_until(lambda: len(seen) >= 2, what="two deltas")
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await vendor_server.wait_disconnected()


async def test_closing_the_iterator_closes_the_connection(
    wired: Case, service: AIService, vendor_server: VendorServer
) -> None:
    vendor_server.script(ENDLESS)

    async with contextlib.aclosing(closable(service.stream(ask_of(wired)))) as items:
        await anext(items)

    await vendor_server.wait_disconnected()


async def test_cancelling_a_whole_answer_closes_the_connection(
    wired: Case, service: AIService, vendor_server: VendorServer
) -> None:
    vendor_server.script(Script(fault="stall"))
    task = asyncio.create_task(service.generate(ask_of(wired)))
    await vendor_server.wait_received()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await vendor_server.wait_disconnected()


async def test_fifty_streams_at_once_keep_apart(wired: Case, service: AIService, vendor_server: VendorServer) -> None:
    scripts = [Script(deltas=tuple(f"{n}번 {i} " for i in range(8)), delta_s=0.01) for n in range(50)]
    vendor_server.enqueue(*scripts)

    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(streamed(service, ask_of(wired)) for _ in scripts))

    assert sorted(answer.text for answer in answers) == sorted(script.text for script in scripts)


async def test_no_limit_of_connections_of_its_own(wired: Case, service: AIService, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(fault="hang"))
    tasks = [asyncio.create_task(streamed(service, ask_of(wired))) for _ in range(120)]
    try:
        await vendor_server.wait_received(120, timeout=60)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    await vendor_server.wait_disconnected(120, timeout=30)
