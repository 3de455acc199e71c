"""Chat completions and models, asked for with the real `openai` client: whole Ringback, fake vendors."""

import asyncio
import base64
from typing import Any

import openai
import pydantic
import pytest

from ringback.testing.inbox import CallbackInbox
from ringback.testing.script import Fault, Script, ToolUse
from ringback.testing.vendors.server import VendorServer
from tests.conftest import Ringback
from tests.integration.gateway.chat import MESSAGES, Listener, client, ended, finishes, job, post, text
from tests.stack import request

GPT = "openai/gpt-4o"
CLAUDE = "anthropic/claude-sonnet"
ANSWER = ("안녕", "하세요. ", "무엇을 ", "도와드릴까요? 🙂")
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000001"
        "e221bc330000000049454e44ae426082"
    )
).decode()
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Person(pydantic.BaseModel):
    """What is extracted in these tests."""

    name: str
    age: int


async def test_a_whole_answer_is_a_job_with_a_record(ringback: Ringback, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=ANSWER, input_tokens=40, output_tokens=20, cached_tokens=8, reasoning_tokens=5))
    async with client(ringback.url) as made:
        raw = await made.chat.completions.with_raw_response.create(
            model=GPT,
            messages=[{"role": "developer", "content": "Be kind."}, *MESSAGES],
            temperature=0.5,
            top_p=0.9,
            stop="끝",
            max_completion_tokens=64,
            metadata={"ticket": "4711"},
            user="ignored",
            seed=7,
        )
    answer = raw.parse()
    found = job(ringback.url, raw.headers["ringback-job-id"])

    assert answer.choices[0].message.content == "".join(ANSWER)
    assert (answer.choices[0].finish_reason, answer.choices[0].index) == ("stop", 0)
    assert (answer.object, answer.model) == ("chat.completion", GPT)
    assert answer.id == f"chatcmpl-{found['id']}"
    assert answer._request_id == found["id"]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.completion_tokens_details is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (40, 20, 60)
    assert answer.usage.prompt_tokens_details.cached_tokens == 8
    assert answer.usage.completion_tokens_details.reasoning_tokens == 5
    assert (found["type"], found["status"], found["metadata"]) == ("generate", "succeeded", {"ticket": "4711"})
    (received,) = vendor_server.received
    assert [m["role"] for m in received.body["messages"]] == ["system", "user"]
    assert received.body["stop"] == ["끝"]
    assert (received.body["temperature"], received.body["top_p"]) == (0.5, 0.9)
    assert 64 in (received.body.get("max_tokens"), received.body.get("max_completion_tokens"))


async def test_a_streamed_answer(ringback: Ringback, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=ANSWER, delta_s=0.05, input_tokens=40, output_tokens=20))
    async with client(ringback.url) as made:
        stream = await made.chat.completions.create(
            model=GPT, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    job_id = stream.response.headers["ringback-job-id"]

    assert text(chunks) == "".join(ANSWER)
    assert len(chunks) >= 5, "in pieces"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert finishes(chunks) == ["stop"]
    assert {(chunk.id, chunk.model, chunk.object) for chunk in chunks} == {
        (f"chatcmpl-{job_id}", GPT, "chat.completion.chunk")
    }
    assert [chunk.usage is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 60
    assert job(ringback.url, job_id)["output"] == {"text": "".join(ANSWER)}


async def test_usage_is_told_only_to_who_asks(ringback: Ringback, vendor_server: VendorServer) -> None:
    reply = post(ringback.url, {"model": GPT, "messages": MESSAGES, "stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.body.endswith(b"data: [DONE]\n\n")
    assert b"usage" not in reply.body


@pytest.mark.parametrize("model", [GPT, CLAUDE])
@pytest.mark.parametrize("streamed", [False, True])
async def test_tools_there_and_back(
    ringback: Ringback, vendor_server: VendorServer, model: str, streamed: bool
) -> None:
    calls = (
        ToolUse(id="call_1", name="weather", arguments={"city": "서울"}),
        ToolUse(id="call_2", name="weather", arguments={"city": "부산"}),
    )
    vendor_server.enqueue(Script(deltas=(), finish="tool_calls", tool_calls=calls), Script(deltas=("맑아요.",)))
    async with client(ringback.url) as made:
        options: Any = {"model": model, "tools": [WEATHER]}
        if streamed:
            async with made.chat.completions.stream(messages=MESSAGES, **options) as stream:
                first: Any = await stream.get_final_completion()
        else:
            first = await made.chat.completions.create(messages=MESSAGES, **options)
        message = first.choices[0].message
        assert first.choices[0].finish_reason == "tool_calls"
        assert [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls] == [
            ("call_1", "weather", '{"city":"서울"}'),
            ("call_2", "weather", '{"city":"부산"}'),
        ]
        results = [{"role": "tool", "tool_call_id": c.id, "content": "맑음"} for c in message.tool_calls]
        history: Any = [*MESSAGES, message.model_dump(), *results]
        second = await made.chat.completions.create(messages=history, **options)
    assert second.choices[0].message.content == "맑아요."
    assert second.choices[0].finish_reason == "stop"
    said = str(vendor_server.received[-1].body["messages"])
    assert "call_1" in said
    assert "맑음" in said


async def test_the_tool_that_is_chosen_is_the_only_one_offered(ringback: Ringback, vendor_server: VendorServer) -> None:
    other: Any = {"type": "function", "function": {"name": "other"}}
    call = ToolUse(id="call_1", name="weather", arguments={"city": "서울"})
    vendor_server.script(Script(deltas=(), finish="tool_calls", tool_calls=(call,)))
    async with client(ringback.url) as made:
        await made.chat.completions.create(
            model=GPT,
            messages=MESSAGES,
            tools=[other, WEATHER],
            tool_choice={"type": "function", "function": {"name": "weather"}},
        )
    body = vendor_server.received[-1].body
    assert [tool["function"]["name"] for tool in body["tools"]] == ["weather"]
    assert body["tool_choice"] == "required"


@pytest.mark.parametrize("streamed", [False, True])
async def test_structured_answers_fit_their_schema(
    ringback: Ringback, vendor_server: VendorServer, streamed: bool
) -> None:
    """The first answer does not, and what is sent of a stream cannot be taken back."""
    vendor_server.enqueue(Script(deltas=('{"name":', ' "Mina"}')), Script(deltas=('{"name": "Mina",', ' "age": 31}')))
    async with client(ringback.url) as made:
        options: Any = {"model": GPT, "messages": MESSAGES, "response_format": Person}
        if streamed:
            async with made.chat.completions.stream(**options) as stream:
                answer: Any = await stream.get_final_completion()
        else:
            answer = await made.chat.completions.parse(**options)
    assert answer.choices[0].message.parsed == Person(name="Mina", age=31)
    assert answer.choices[0].message.content == '{"name":"Mina","age":31}'
    assert len(vendor_server.received) == 2


async def test_any_json_object(ringback: Ringback, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=("Here: ", '{"a": [1, 2]}')))
    async with client(ringback.url) as made:
        answer = await made.chat.completions.create(
            model=GPT, messages=MESSAGES, response_format={"type": "json_object"}
        )
    assert answer.choices[0].message.content == '{"a":[1,2]}'


async def test_images(ringback: Ringback, vendor_server: VendorServer) -> None:
    parts: Any = [
        {"type": "text", "text": "뭐가 보여?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"}},
    ]
    async with client(ringback.url) as made:
        await made.chat.completions.create(model=CLAUDE, messages=[{"role": "user", "content": parts}])
    (message,) = vendor_server.received[-1].body["messages"]
    assert [part["type"] for part in message["content"]] == ["text", "image"]
    assert message["content"][1]["source"]["data"] == PIXEL


@pytest.mark.parametrize("streamed", [False, True])
async def test_fallbacks_are_asked_and_named(ringback: Ringback, vendor_server: VendorServer, streamed: bool) -> None:
    vendor_server.script(Script(fault="unauthorized"), vendor="openai")
    vendor_server.script(Script(deltas=("저예요.",)), vendor="anthropic")
    async with client(ringback.url) as made:
        options: Any = {"model": GPT, "messages": MESSAGES, "extra_body": {"fallbacks": [CLAUDE]}}
        if streamed:
            chunks = [chunk async for chunk in await made.chat.completions.create(stream=True, **options)]
            assert text(chunks) == "저예요."
            assert {chunk.model for chunk in chunks} == {CLAUDE}
        else:
            answer = await made.chat.completions.create(**options)
            assert (answer.model, answer.choices[0].message.content) == (CLAUDE, "저예요.")


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_that_reached_its_limit(
    ringback: Ringback, vendor_server: VendorServer, streamed: bool
) -> None:
    vendor_server.script(Script(deltas=ANSWER[:2], finish="length"))
    async with client(ringback.url) as made:
        options: Any = {"model": GPT, "messages": MESSAGES, "max_tokens": 3}
        if streamed:
            chunks = [chunk async for chunk in await made.chat.completions.create(stream=True, **options)]
            assert (text(chunks), finishes(chunks)) == ("안녕하세요. ", ["length"])
        else:
            answer = await made.chat.completions.create(**options)
            assert answer.choices[0].message.content == "안녕하세요. "
            assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("fault", "raised", "status", "code"),
    [
        ("context_too_long", openai.BadRequestError, 400, "context_length_exceeded"),
        ("content_filter", openai.BadRequestError, 400, "content_filter"),
        ("bad_request", openai.BadRequestError, 400, "provider_bad_request"),
        ("model_not_found", openai.NotFoundError, 404, "model_not_found"),
        ("unauthorized", openai.InternalServerError, 502, "provider_authentication_failed"),
    ],
)
async def test_failures_before_the_first_token_have_their_status(
    ringback: Ringback,
    vendor_server: VendorServer,
    fault: Fault,
    raised: type[openai.APIStatusError],
    status: int,
    code: str,
    streamed: bool,
) -> None:
    vendor_server.script(Script(fault=fault))
    async with client(ringback.url) as made:
        with pytest.raises(raised) as caught:
            await made.chat.completions.create(model=f"openai/{fault}-{streamed}", messages=MESSAGES, stream=streamed)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    found = job(ringback.url, caught.value.response.headers["ringback-job-id"])
    assert found["status"] == "failed"
    assert caught.value.request_id == found["id"]
    assert found["error"]["message"] in caught.value.message


@pytest.mark.parametrize(
    ("model", "raised", "status", "code"),
    [
        ("fake/a?fail=rate_limited", openai.RateLimitError, 429, "rate_limit_exceeded"),
        ("fake/a?fail=overloaded", openai.InternalServerError, 503, "provider_overloaded"),
        ("fake/a?fail=first_token_timeout", openai.InternalServerError, 504, "first_token_timeout"),
        ("fake/a?fail=provider_timeout", openai.InternalServerError, 504, "provider_timeout"),
        ("fake/a?fail=permission_denied", openai.InternalServerError, 502, "provider_permission_denied"),
        ("fake/a?fail=unsupported", openai.BadRequestError, 400, "unsupported"),
    ],
)
async def test_what_providers_say_reaches_the_right_exception_class(
    ringback: Ringback, model: str, raised: type[openai.APIStatusError], status: int, code: str
) -> None:
    async with client(ringback.url) as made:
        with pytest.raises(raised) as caught:
            await made.chat.completions.create(model=model, messages=MESSAGES)
    assert (caught.value.status_code, caught.value.code) == (status, code)


async def test_when_every_target_failed_each_is_named(ringback: Ringback) -> None:
    async with client(ringback.url) as made:
        with pytest.raises(openai.InternalServerError) as caught:
            await made.chat.completions.create(
                model="fake/b?fail=permission_denied",
                messages=MESSAGES,
                extra_body={"fallbacks": ["fake/c?fail=authentication_failed"]},
            )
    assert (caught.value.status_code, caught.value.code) == (502, "all_targets_failed")
    assert "fake/b" in caught.value.message
    assert "fake/c" in caught.value.message
    assert caught.value.response.headers["x-should-retry"] == "false", "it has been tried again already"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_leaves_cancels_its_job(
    ringback: Ringback, vendor_server: VendorServer, streamed: bool
) -> None:
    vendor_server.script(Script(deltas=ANSWER, fault="stall", fault_after=2))
    listener = Listener(ringback.url, model=GPT, stream=streamed)
    job_id = await listener.job_id()
    if streamed:
        await listener.until_text("".join(ANSWER[:2]))
    else:
        await vendor_server.wait_received()

    await listener.leave()

    assert (await ended(ringback.url, job_id))["status"] == "cancelled"
    assert len(await vendor_server.wait_disconnected()) == 1


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_background_job_goes_on_without_its_client(
    ringback: Ringback, vendor_server: VendorServer, streamed: bool
) -> None:
    vendor_server.script(Script(deltas=ANSWER, delta_s=0.3))
    listener = Listener(ringback.url, model=GPT, stream=streamed, extra_body={"background": True})
    job_id = await listener.job_id()
    await vendor_server.wait_received()
    await listener.leave()
    assert (await ended(ringback.url, job_id))["output"] == {"text": "".join(ANSWER)}


@pytest.mark.parametrize("second", [ANSWER, ("안녕하세요", ". 무엇을 도와드릴까요? 🙂"), ("반갑습니다.",)])
async def test_a_stream_that_a_provider_cuts_is_gone_on_with_by_the_next_or_ends_in_an_error(
    ringback: Ringback, vendor_server: VendorServer, second: tuple[str, ...]
) -> None:
    vendor_server.script(Script(deltas=ANSWER, delta_s=0.1, fault="cut", fault_after=2), vendor="openai")
    vendor_server.script(Script(deltas=second), vendor="anthropic")
    listener = Listener(ringback.url, model=GPT, extra_body={"fallbacks": [CLAUDE]})
    job_id = await listener.job_id()
    await listener.end()

    found = await ended(ringback.url, job_id)
    assert (found["status"], found["model"], found["output"]) == ("succeeded", CLAUDE, {"text": "".join(second)})
    if "".join(second) == "".join(ANSWER):
        assert (listener.text, finishes(listener.chunks), listener.error) == ("".join(ANSWER), ["stop"], None)
        assert listener.chunks[-1].model == CLAUDE
    else:
        assert listener.error is not None
        assert listener.error.code == "stream_reset"
        assert job_id in listener.error.message
        assert (listener.text, finishes(listener.chunks)) == ("".join(ANSWER[:2]), [])


@pytest.mark.parametrize("form", ['{{"url": "{url}", "events": ["job.succeeded"]}}', "{url}"])
async def test_a_job_with_a_callback_goes_on_and_calls_back(
    ringback: Ringback, vendor_server: VendorServer, callback_inbox: CallbackInbox, form: str
) -> None:
    vendor_server.script(Script(deltas=ANSWER, delta_s=0.3))
    metadata = {"ringback_callback": form.format(url=f"{callback_inbox.url}/hook")}
    listener = Listener(ringback.url, model=GPT, metadata=metadata)
    job_id = await listener.job_id()
    await vendor_server.wait_received()
    await listener.leave()
    (callback,) = await callback_inbox.wait_for(1)
    assert callback.type == "job.succeeded"
    assert callback.path == "/hook"
    assert callback.json["data"]["id"] == job_id
    assert callback.json["data"]["metadata"] == {"tag": listener.tag}


async def test_the_same_idempotency_key_gets_the_same_answer(ringback: Ringback, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=ANSWER))
    async with client(ringback.url) as made:
        options: Any = {
            "model": GPT,
            "messages": MESSAGES,
            "extra_headers": {"Idempotency-Key": "o1"},
        }
        first, second = await asyncio.gather(*(made.chat.completions.create(**options) for _ in range(2)))
        third = await made.chat.completions.create(**options)
        assert first == second == third
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            await made.chat.completions.create(**options, temperature=1)
    assert caught.value.code == "idempotency_key_reused"
    assert len(vendor_server.received) == 1


async def test_a_stream_that_is_asked_for_again_is_told_from_the_beginning(
    ringback: Ringback, vendor_server: VendorServer
) -> None:
    vendor_server.script(Script(deltas=ANSWER, delta_s=0.2))
    async with client(ringback.url) as made:
        options: Any = {"model": GPT, "messages": MESSAGES, "stream": True, "extra_headers": {"Idempotency-Key": "s1"}}
        first = await made.chat.completions.create(**options)
        begun = await anext(aiter(first))
        second = [chunk async for chunk in await made.chat.completions.create(**options)]
        third = [chunk async for chunk in await made.chat.completions.create(**options)]
    assert (text(second), finishes(second)) == ("".join(ANSWER), ["stop"])
    assert (text(third), finishes(third)) == ("".join(ANSWER), ["stop"])
    assert {chunk.id for chunk in (begun, *second, *third)} == {begun.id}
    assert len(vendor_server.received) == 1


async def test_models(ringback: Ringback) -> None:
    async with client(ringback.url) as made:
        listed = (await made.models.list()).data
        one = await made.models.retrieve("anthropic/claude-sonnet")
        with pytest.raises(openai.NotFoundError) as caught:
            await made.models.retrieve("anthropic")
    assert [model.id for model in listed] == ["offline/rules"]
    assert listed[0].owned_by == "offline"
    assert (one.id, one.owned_by, one.object) == ("anthropic/claude-sonnet", "anthropic", "model")
    assert caught.value.code == "model_not_found"


def test_a_path_that_is_not_there_and_a_method_that_is_not(ringback: Ringback) -> None:
    for method, path, status in [
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/chat", 404),
        ("GET", "/v1/chat/nothing", 404),
    ]:
        reply = request(ringback.url + path, method=method)
        assert reply.status == status
        assert set(reply.json) == {"error"}
        assert reply.json["error"]["type"] == "invalid_request_error"
