"""What every `AIService` must do, whoever is behind it: its answers, and what reaches the vendor."""

import asyncio
import contextlib
from typing import Literal

import pytest

from jobs.model import ModelSettings, Usage
from providers import errors
from providers.service import AIService, Answer, Delta, Image, Message, Metered, Text, ToolCall, ToolResult
from ringback.testing.script import Script, ToolUse
from ringback.testing.vendors.server import VendorServer
from tests.contract.asking import (
    PNG,
    SCHEMA,
    SCRIPT,
    WEATHER,
    Item,
    Way,
    ask_of,
    both_ways,
    closable,
    collect_into,
    only_sent,
    streamed,
    user,
    whole,
)
from tests.contract.case import Case

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
                assert not isinstance(item, Answer)
                text += item.text if isinstance(item, Delta) else ""


async def test_usage_is_told_early(wired: Case, service: AIService, vendor_server: VendorServer) -> None:
    """And once, as long as it does not change: what a broken-off call has cost is then known."""
    vendor_server.script(SCRIPT)
    seen: list[Item] = []

    await collect_into(seen, service.stream(ask_of(wired)))

    told = [item.usage.input_tokens for item in seen if isinstance(item, Metered)]
    assert told == ([40] if wired.meters_early else [])


@both_ways
async def test_nothing_said_is_an_answer(
    wired: Case, way: Way, service: AIService, vendor_server: VendorServer
) -> None:
    vendor_server.script(Script(deltas=()))

    answer = await way(service, ask_of(wired))

    assert (answer.text, answer.finish, answer.tool_calls) == ("", "stop", ())
    assert answer.usage.input_tokens == Script().input_tokens


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


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
@both_ways
async def test_tool_choice(
    wired: Case,
    way: Way,
    choice: Literal["auto", "none", "required"],
    service: AIService,
    vendor_server: VendorServer,
) -> None:
    await way(service, ask_of(wired, tools=(WEATHER,), tool_choice=choice))

    sent = only_sent(wired, vendor_server)
    if choice == "none" and not wired.says_none:
        assert (sent.tools, sent.tool_choice) == ((), None)
    else:
        assert [name for name, _, _ in sent.tools] == ["weather"]
        assert sent.tool_choice == (None if choice == "auto" else choice)


@both_ways
async def test_an_answer_that_the_request_begins(
    wired: Case, way: Way, service: AIService, vendor_server: VendorServer
) -> None:
    begun = (user(Text("하나부터 셋까지 세세요.")), Message(role="assistant", parts=(Text("하나, "),)))

    answer = await way(service, ask_of(wired, messages=begun))

    assert answer.text == Script().text
    assert only_sent(wired, vendor_server).texts[-1] == ("assistant", "하나, ")


@both_ways
async def test_what_a_service_cannot_send_is_unsupported(case: Case, way: Way, service: AIService) -> None:
    """Only of those without a wire: the vendors' protocols have it all, and models are the router's business."""
    if case.vendor is not None:
        return
    beyond = (
        ask_of(case, tools=(WEATHER,)),
        ask_of(case, messages=(user(Image("image/png", PNG), Text("이게 뭐죠?")),)),
        ask_of(case, messages=(user(Text("?")), Message(role="assistant", parts=(ToolCall("a", "weather", {}),)))),
    )
    for ask in beyond:
        with pytest.raises(errors.Unsupported, match=case.provider):
            await way(service, ask)


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
    assert schema is not None
    assert schema["properties"].keys() == {"summary", "category"}
