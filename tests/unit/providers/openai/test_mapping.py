"""Requests as different servers want them, and answers as different servers send them."""

import json
from typing import Any

import pytest

from jobs.model import ModelSettings, Usage
from providers import errors
from providers.openai.mapping import Assembly, request_body
from providers.service import Answer, Ask, Message, Text, ToolCall, ToolResult

SETTINGS = ModelSettings(temperature=0.2, max_tokens=50, top_p=0.9)


def ask_of(**changes: Any) -> Ask:
    """A plain question, with these fields changed."""
    fields: dict[str, Any] = {"model": "m", "messages": (Message(role="user", parts=(Text("hi"),)),)}
    return Ask(**fields | changes)


def sent(ask: Ask, *, stream: bool = False, official: bool = False) -> dict[str, Any]:
    """The body, decoded."""
    document: dict[str, Any] = json.loads(request_body(ask, stream=stream, official=official))
    return document


def assembled(*documents: Any) -> Answer:
    """The answer that these completions or chunks make up."""
    assembly = Assembly(ask_of())
    for document in documents:
        assembly.add(json.dumps(document).encode())
    return assembly.answer()


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk of a stream."""
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    } | more


@pytest.mark.parametrize(
    ("model", "official", "limit", "sampled"),
    [
        ("llama3.2:3b", False, "max_tokens", True),
        ("openai/gpt-oss-120b", False, "max_tokens", True),
        ("gpt-4o", False, "max_tokens", True),
        ("gpt-4o", True, "max_completion_tokens", True),
        ("o3-mini", True, "max_completion_tokens", False),
        ("o1", False, "max_completion_tokens", False),
        ("gpt-5", True, "max_completion_tokens", False),
        ("gpt-5.1-mini", True, "max_completion_tokens", False),
        ("openai/gpt-5-nano", False, "max_completion_tokens", False),
        ("gpt-5-chat-latest", True, "max_completion_tokens", True),
        ("o365-assistant", False, "max_tokens", True),
    ],
)
def test_limit_and_sampling_go_where_they_are_taken(model: str, official: bool, limit: str, sampled: bool) -> None:
    body = sent(ask_of(model=model, settings=SETTINGS), official=official)

    assert {name for name in body if name.startswith("max_")} == {limit}
    assert body[limit] == 50
    assert ("temperature" in body, "top_p" in body) == (sampled, sampled)


def test_usage_is_asked_for_only_in_streams() -> None:
    assert sent(ask_of(), stream=True)["stream_options"] == {"include_usage": True}
    assert sent(ask_of()).keys() == {"model", "messages"}


def test_tool_results_are_messages_of_their_own_right_after_the_calls() -> None:
    messages = (
        Message(role="assistant", parts=(ToolCall("c1", "f", {"a": "가"}), ToolCall("c2", "f", {}))),
        Message(role="user", parts=(Text("그리고?"), ToolResult("c1", "f", "1"), ToolResult("c2", "f", "2"))),
    )

    wired = sent(ask_of(messages=messages))["messages"]

    assert [(m["role"], m.get("tool_call_id"), m["content"]) for m in wired] == [
        ("assistant", None, None),
        ("tool", "c1", "1"),
        ("tool", "c2", "2"),
        ("user", None, "그리고?"),
    ]
    assert json.loads(wired[0]["tool_calls"][0]["function"]["arguments"]) == {"a": "가"}


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        (CLOSED | {"properties": {"a": {"type": "array", "items": CLOSED}}}, True),
        (CLOSED | {"properties": {"a": {"anyOf": [CLOSED, {"type": "null"}]}}}, True),
        (CLOSED | {"required": []}, False),
        ({"type": "object", "properties": {}}, False),
        (CLOSED | {"properties": {"a": {"type": "object", "properties": {}}}}, False),
        (CLOSED | {"properties": {"a": {"type": "array", "items": {"type": "object"}}}}, False),
        (CLOSED | {"patternProperties": {}}, False),
        (CLOSED | {"properties": {"a": True}}, False),
        ({"type": "array", "items": CLOSED}, False),
    ],
)
def test_strict_only_where_openai_takes_it(schema: dict[str, Any], strict: bool) -> None:
    given = sent(ask_of(output_schema=schema))["response_format"]["json_schema"]
    assert (given["schema"], given["strict"]) == (schema, strict)


def test_streams_of_openai_vllm_ollama_and_llama_cpp() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    ending = {"choices": [], "usage": usage | {"prompt_tokens_details": None}, "timings": {"predicted_ms": 3}}
    streams = [
        [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hi"}), chunk({}, "stop"), ending],
        [chunk({"role": "assistant"}), chunk({"content": "H"}), chunk({"content": "i"}, "stop", usage=usage)],
        [chunk({"role": "assistant", "content": "Hi"}, usage=usage), chunk({"content": ""}, "stop")],
        [chunk({"reasoning_content": "h"}), chunk({"content": None}), chunk({"content": "Hi"}, "stop"), ending],
        [chunk({"content": [{"type": "text", "text": "Hi"}]}), chunk({}, "eos", usage=usage)],
        [{"choices": [], "prompt_filter_results": []}, chunk({"content": "Hi"}), chunk({}, "stop", usage=usage)],
    ]
    for chunks in streams:
        answer = assembled(*chunks)
        assert (answer.text, answer.finish) == ("Hi", "stop")
        assert answer.usage == Usage(input_tokens=5, output_tokens=2)


def test_missing_usage_is_zero_and_missing_model_is_the_asked_one() -> None:
    answer = assembled({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": None})
    assert (answer.usage, answer.model) == (Usage(), "m")


def test_other_choices_are_not_mixed_in() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "length"}]}
    answer = assembled(chunk({"content": "yes"}), other, chunk({}, "stop"))
    assert (answer.text, answer.finish) == ("yes", "stop")


def call(name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    """A tool call, or a piece of one."""
    return {"function": {"name": name, "arguments": arguments}} | more


@pytest.mark.parametrize(
    "parts",
    [
        [call("f", '{"a":', index=0, id="x"), call("", "1}", index=0), call("g", "{}", index=1, id="y")],
        [call("f", '{"a":1}', index=0, id="x"), call("g", "{}", index=0, id="y")],  # every call has index 0
        [call("f", '{"a":1}', id="x"), call("g", "", id="y")],  # no index; no arguments
        [call("f", {"a": 1}, index=0, id="x"), call("g", {}, index=1, id="y")],  # arguments not as a string
        [call("f", "", index=0, id="x"), call("", '{"a":1}', index=0, id=""), call("g", "{}", index=1, id="y")],
    ],
)
def test_tool_calls_in_every_spelling(parts: list[dict[str, Any]]) -> None:
    answer = assembled(*(chunk({"tool_calls": [part]}) for part in parts), chunk({}, "stop"))

    assert answer.tool_calls == (ToolCall("x", "f", {"a": 1}), ToolCall("y", "g", {}))
    assert answer.finish == "tool_calls"


def test_tool_calls_without_ids_get_some() -> None:
    answer = assembled(chunk({"tool_calls": [call("f", "{}", index=0), call("f", "{}", index=1)]}, "tool_calls"))
    assert [tool_call.id for tool_call in answer.tool_calls] == ["call_0", "call_1"]


def test_a_call_that_the_length_limit_tore_is_dropped() -> None:
    parts = [call("f", "{}", index=0, id="x"), call("g", '{"a":', index=1, id="y")]
    answer = assembled(chunk({"tool_calls": parts}), chunk({}, "length"))
    assert (answer.finish, [tool_call.name for tool_call in answer.tool_calls]) == ("length", ["f"])


@pytest.mark.parametrize("arguments", ['{"a":', "[1]", "null"])
def test_arguments_that_are_no_object_are_malformed(arguments: str) -> None:
    with pytest.raises(errors.MalformedAnswer):
        assembled(chunk({"tool_calls": [call("f", arguments, index=0, id="x")]}, "tool_calls"))


def test_a_refusal_is_no_answer() -> None:
    with pytest.raises(errors.ContentFiltered):
        assembled({"choices": [{"message": {"content": None, "refusal": "I cannot."}, "finish_reason": "stop"}]})


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b'{"choices":[{"delta":{"content":7}}]}', b'{"model":"\xff"}'])
def test_what_is_no_completion_is_malformed(document: bytes) -> None:
    with pytest.raises(errors.MalformedAnswer):
        Assembly(ask_of()).add(document)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", "stop"),
        ("STOP", "stop"),
        ("eos", "stop"),
        ("end_turn", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("content_filter", "content_filter"),
        ("sensitive", "content_filter"),
        ("SAFETY", "content_filter"),
    ],
)
def test_reasons_to_stop(reason: str, finish: str) -> None:
    assert assembled(chunk({"content": "Hi"}), chunk({}, reason)).finish == finish


@pytest.mark.parametrize(
    "reason", ["error", "abort", "network_error", "insufficient_system_resource", "yet_unknown", "tool_calls"]
)
def test_what_is_no_end_of_an_answer(reason: str) -> None:
    """A server that gave up, and calls that did not come, are no success."""
    with pytest.raises(errors.MalformedAnswer):
        assembled(chunk({"content": "Hi"}), chunk({}, reason))


@pytest.mark.parametrize("reason", [None, "", "null"])
def test_without_a_reason_it_is_not_complete(reason: str | None) -> None:
    with pytest.raises(errors.StreamInterrupted):
        assembled(chunk({"content": "Hi"}), chunk({}, reason))


def completeness(*chunks: dict[str, Any]) -> list[bool]:
    """Whether the answer is known to be complete after each chunk."""
    assembly = Assembly(ask_of())
    known = []
    for each in chunks:
        assembly.add(json.dumps(each).encode())
        known.append(assembly.complete)
    return known


def test_a_reason_that_comes_too_early_ends_nothing() -> None:
    """Some proxies put one into every chunk, or into those without text, before the answer has begun."""
    early, text, last = chunk({"content": ""}, "stop"), chunk({"content": "Hi"}), chunk({}, "stop")
    assert completeness(text, last) == [False, True]
    assert completeness(early, text, last) == [False, False, False]
    assert completeness(chunk({"content": "Hi"}, "stop"), chunk({"content": "!"}, "stop")) == [False, False]
    assert completeness(text, last, text, last) == [False, True, False, False]
    assert completeness(chunk({"tool_calls": [call("f", "{}", index=0)]}), chunk({}, "tool_calls")) == [False, True]


def test_usage_in_every_chunk_is_told_when_it_changes() -> None:
    assembly = Assembly(ask_of())
    told = []
    for tokens, finish in ((1, None), (1, None), (2, None), (3, "stop")):
        usage = {"prompt_tokens": 9, "completion_tokens": tokens}
        assembly.add(json.dumps(chunk({"content": "a"}, finish, usage=usage)).encode())
        told.append(assembly.metered.output_tokens if assembly.metered else None)
        assembly.metered = None

    assert told == [1, None, 2, 3]
    assert assembly.answer().usage == Usage(input_tokens=9, output_tokens=3)


def test_a_refusal_beside_text_is_no_success() -> None:
    refused = chunk({"content": "{", "refusal": "I cannot help with that."})
    assert assembled(refused, chunk({}, "stop")).finish == "content_filter"
