"""Whole conversations, with images and tools, on every vendor's own wire: one form in, one form out."""

import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from jobs.settings import Settings
from jobs.store.connection import Connection
from ringback.testing.script import Script, ToolUse
from ringback.testing.vendors.server import VendorServer
from tests.contract.case import Case, Sent
from tests.contract.cases import collect
from tests.gallery import JPEG, PNG, Gallery
from tests.unit.workers.stage import Run, Stage

VENDORS = ("openai", "anthropic", "gemini", "bedrock")
CASES = [case for case in collect() if case.id in VENDORS]
QUESTION = {"role": "user", "content": "서울 날씨가 어때요?"}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "weather", "description": "도시의 날씨", "parameters": CITY}
WANTED = Script(
    deltas=(), tool_calls=(ToolUse(id="call_1", name="weather", arguments={"city": "서울"}),), finish="tool_calls"
)
SCHEMA = {
    "type": "object",
    "required": ["n"],
    "properties": {"n": {"type": "integer"}},
    "additionalProperties": False,
}


@pytest.fixture(params=CASES, ids=lambda case: case.id)
def case(request: pytest.FixtureRequest) -> Case:
    given: Case = request.param
    return given


@pytest.fixture
def gallery() -> Iterator[Gallery]:
    with Gallery() as gallery:
        yield gallery


@pytest.fixture
async def stage(
    connection: Connection, settings: Settings, vendor_server: VendorServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    """A stage with every vendor's real service, all led to `vendor_server`."""
    for name, value in vendor_server.environment().items():
        monkeypatch.setenv(name, value)
    every = msgspec.structs.replace(settings, providers=(*VENDORS, "offline", "fake"), callback_allow=("127.0.0.1",))
    stage = Stage(connection, every)
    yield stage
    await stage.aclose()


def target(case: Case) -> str:
    return f"{case.provider}/{case.model}"


def sent(case: Case, server: VendorServer) -> Sent:
    """What the last request carried."""
    assert case.sent is not None
    return case.sent(server.received[-1])


def conversation(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": list(messages), **fields}


def code(run: Run) -> str:
    assert run.error is not None
    return run.error.code


def test_every_vendor_has_a_case() -> None:
    assert sorted(case.id for case in CASES) == sorted(VENDORS)


async def test_images_of_both_kinds_reach_the_vendor(
    stage: Stage, case: Case, vendor_server: VendorServer, gallery: Gallery
) -> None:
    named = {"type": "image", "url": f"{gallery.url}/jpeg"}
    brought = {"type": "image", "media_type": "image/png", "base64": base64.b64encode(PNG).decode()}
    content = [{"type": "text", "text": "차이가 뭐죠?"}, named, brought]
    run = await stage.run(target(case), asks=conversation({"role": "user", "content": content}))
    assert run.error is None
    assert run.output == {"text": "Hello, world."}
    assert sent(case, vendor_server).images == (("image/jpeg", JPEG), ("image/png", PNG))
    assert sent(case, vendor_server).texts == (("user", "차이가 뭐죠?"),)


async def test_a_tool_is_called_and_its_result_answered_in_one_form(
    stage: Stage, case: Case, vendor_server: VendorServer
) -> None:
    vendor_server.enqueue(WANTED, Script(deltas=("맑아요.",)))
    run = await stage.run(target(case), asks=conversation(QUESTION, tools=[WEATHER], tool_choice="required"))
    assert run.error is None
    (call,) = run.output["tool_calls"]
    assert run.output == {"text": "", "tool_calls": [call]}
    assert (call["name"], call["arguments"]) == ("weather", {"city": "서울"})
    assert sent(case, vendor_server).tools == (("weather", "도시의 날씨", CITY),)
    assert run.names == ["usage"]

    result = {"role": "tool", "tool_call_id": call["id"], "content": "맑음, 12도"}
    called = {"role": "assistant", "tool_calls": run.output["tool_calls"]}
    run = await stage.run(target(case), asks=conversation(QUESTION, called, result, tools=[WEATHER]))
    assert run.error is None
    assert run.output == {"text": "맑아요."}
    assert sent(case, vendor_server).tool_calls == (("weather", {"city": "서울"}),)
    ((call_id, content),) = sent(case, vendor_server).tool_results
    assert (call_id, content) == (call["id"], "맑음, 12도")


async def test_a_conversation_goes_on_with_any_vendor_whatever_the_ids_of_its_calls(
    stage: Stage, case: Case, vendor_server: VendorServer
) -> None:
    given = ("functions.weather:0", "x" * 200, "call_1")
    calls = [{"id": id_, "name": "weather", "arguments": {}} for id_ in given]
    results = [{"role": "tool", "tool_call_id": id_, "content": id_[:9]} for id_ in given]
    asks = conversation(QUESTION, {"role": "assistant", "tool_calls": calls}, *results, tools=[WEATHER])
    run = await stage.run(target(case), asks=asks)
    assert run.error is None
    ids, contents = zip(*sent(case, vendor_server).tool_results, strict=True)
    assert contents == ("functions", "xxxxxxxxx", "call_1")
    assert len(set(ids)) == 3
    assert all(len(id_) <= 40 and id_.replace("_", "").isalnum() for id_ in ids)
    assert ids[2] == "call_1"


async def test_settings_reach_the_vendor(stage: Stage, case: Case, vendor_server: VendorServer) -> None:
    run = await stage.run(target(case), asks=conversation(QUESTION, stop=["끝", "END"], max_tokens=64, top_p=0.5))
    assert run.error is None
    carried = sent(case, vendor_server)
    assert (carried.stop, carried.max_tokens) == (("끝", "END"), 64)
    assert carried.top_p == (0.5 if case.takes_sampling else None)


@pytest.mark.parametrize(
    "model", ["anthropic/claude-haiku-4-5", "gemini/gemini-2.5-flash", "bedrock/anthropic.claude-sonnet-4-5-v1:0"]
)
async def test_a_model_goes_on_with_a_given_beginning(stage: Stage, vendor_server: VendorServer, model: str) -> None:
    vendor_server.enqueue(Script(deltas=()), Script(deltas=(" 맑", "아요.")))
    asks = conversation(QUESTION, {"role": "assistant", "content": "오늘은"})
    run = await stage.run("openai/gpt-4o", "offline/rules", model, asks=asks)
    assert run.error is None
    assert (run.output, run.target) == ({"text": " 맑아요."}, model)
    (case,) = [case for case in CASES if model.startswith(case.provider)]
    assert case.sent is not None
    for received in vendor_server.received:  # an answer that adds nothing is asked for once more, just so
        assert case.sent(received).texts == (("user", "서울 날씨가 어때요?"), ("assistant", "오늘은"))
    assert len(vendor_server.received) == 2


async def test_no_other_model_is_asked_to(stage: Stage, vendor_server: VendorServer) -> None:
    asks = conversation(QUESTION, {"role": "assistant", "content": "오늘은"})
    for model in ("offline/rules", "openai/gpt-4o"):
        run = await stage.run(model, asks=asks)
        assert code(run) == "unsupported"
        assert str(run.error) == f"{model} does not go on with an answer that the request begins"
    assert vendor_server.received == []


async def test_tool_calls_win_over_data(stage: Stage, case: Case, vendor_server: VendorServer) -> None:
    asks = conversation(QUESTION, tools=[WEATHER], schema=SCHEMA)
    vendor_server.enqueue(WANTED)
    run = await stage.run(target(case), asks=asks)
    assert run.output["tool_calls"][0]["name"] == "weather"
    vendor_server.enqueue(Script(deltas=("no json",)), Script(deltas=('{"n":', "2}")))
    run = await stage.run(target(case), asks=asks)
    assert run.output == {"data": {"n": 2}}
    assert run.names.count("usage") == 2


async def test_a_model_that_must_call_a_tool_and_does_not_is_told_so(
    stage: Stage, case: Case, vendor_server: VendorServer
) -> None:
    vendor_server.enqueue(Script(deltas=("몰라요.",)), WANTED)
    run = await stage.run(target(case), asks=conversation(QUESTION, tools=[WEATHER], tool_choice="required"))
    assert run.error is None
    assert run.output["tool_calls"][0]["arguments"] == {"city": "서울"}
    assert "a tool must be called" in sent(case, vendor_server).texts[-1][1]
    run = await stage.run(target(case), asks=conversation(QUESTION, tools=[WEATHER], tool_choice="required"))
    assert code(run) == "output_invalid"


async def test_what_a_model_cannot_take_goes_to_the_next_one(
    stage: Stage, vendor_server: VendorServer, gallery: Gallery
) -> None:
    image = {"type": "image", "url": f"{gallery.url}/png"}
    asks = conversation({"role": "user", "content": [image]})
    run = await stage.run("offline/rules", "fake/echo", "openai/gpt-4o", asks=asks)
    assert (run.output, run.target) == ({"text": "Hello, world."}, "openai/gpt-4o")
    assert gallery.asked == ["/png"]

    run = await stage.run("offline/rules", asks=asks)
    assert (code(run), str(run.error)) == ("unsupported", "offline/rules takes no images")
    run = await stage.run("fake/echo", asks={"prompt": "x", "tools": [WEATHER]})
    assert (code(run), str(run.error)) == ("unsupported", "fake/echo calls no tools")
    run = await stage.run("offline/rules", "fake/echo", asks={"prompt": "x", "tools": [WEATHER]})
    assert code(run) == "all_targets_failed"
    assert "offline/rules calls no tools" in str(run.error)


async def test_no_model_is_asked_when_an_image_cannot_be_had(
    stage: Stage, vendor_server: VendorServer, gallery: Gallery
) -> None:
    for path, retryable in (("status/404", False), ("status/502", True)):
        image = {"type": "image", "url": f"{gallery.url}/{path}"}
        run = await stage.run("openai/gpt-4o", asks=conversation(QUESTION, {"role": "user", "content": [image]}))
        assert code(run) == "image_unavailable"
        assert str(run.error) == f"#/input/messages/1/content/0/url: its host answered {path[-3:]}"
        assert run.error is not None
        assert run.error.retryable is retryable
    assert vendor_server.received == []


async def test_an_answer_cut_short_keeps_its_calls(stage: Stage, case: Case, vendor_server: VendorServer) -> None:
    vendor_server.enqueue(msgspec.structs.replace(WANTED, finish="length"))
    run = await stage.run(target(case), asks=conversation(QUESTION, tools=[WEATHER]))
    assert code(run) == "output_truncated"
    assert run.output["tool_calls"][0]["name"] == "weather"
