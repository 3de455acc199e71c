"""What of Anthropic's messages the contract suite does not reach: odd requests, odd events, torn answers."""

from typing import Any

import pytest
from anthropic import types
from anthropic._models import construct_type

from jobs.model import ModelSettings, Usage
from providers import errors
from providers.anthropic.mapping import DEFAULT_MAX_TOKENS, Assembly, request
from providers.service import Ask, Image, Message, Text, ToolCall, ToolResult

USAGE = {"input_tokens": 3, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 100, "output_tokens": 1}


def ask_of(*messages: Message, **changes: Any) -> Ask:
    """An Ask with these messages."""
    return Ask(model="claude", messages=messages or (Message(role="user", parts=(Text("hi"),)),), **changes)


def event(**fields: Any) -> Any:
    """An event as the SDK decodes it, without any check."""
    return construct_type(type_=types.RawMessageStreamEvent, value=fields)


def start() -> Any:
    """The event that starts a message."""
    return event(type="message_start", message={"model": "claude-x", "content": [], "usage": USAGE})


def block(index: int, **fields: Any) -> Any:
    """The event that starts a block."""
    return event(type="content_block_start", index=index, content_block=fields)


def delta(index: int, **fields: Any) -> Any:
    """The event that continues a block."""
    return event(type="content_block_delta", index=index, delta=fields)


def end(reason: str, **usage: int) -> list[Any]:
    """The events that end a message."""
    return [event(type="message_delta", delta={"stop_reason": reason}, usage=usage), event(type="message_stop")]


def assembled(*events: Any) -> Assembly:
    """What these events make up."""
    assembly = Assembly(ask_of())
    for each in events:
        assembly.add_event(each)
    return assembly


def test_blank_texts_and_empty_messages_are_left_out() -> None:
    ask = ask_of(
        Message(role="user", parts=(Text("  "), Text("hi"), Text(""))),
        Message(role="assistant", parts=(Text(""),)),
        system=" \n",
    )

    arguments = request(ask, "claude")

    assert arguments["messages"] == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    assert "system" not in arguments


def test_tool_results_come_first() -> None:
    message = Message(role="user", parts=(Text("and?"), Image("image/png", b"x"), ToolResult("c", "f", "21")))

    (wired,) = request(ask_of(message), "claude")["messages"]

    assert [part["type"] for part in wired["content"]] == ["tool_result", "text", "image"]


def test_max_tokens_has_a_default() -> None:
    assert request(ask_of(), "claude")["max_tokens"] == DEFAULT_MAX_TOKENS
    assert request(ask_of(settings=ModelSettings(max_tokens=9)), "claude")["max_tokens"] == 9


def test_a_schema_is_closed_and_rid_of_limits() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
    arguments = request(ask_of(output_schema=schema), "claude-opus-5-5")

    sent = arguments["output_config"]["format"]["schema"]
    assert sent["additionalProperties"] is False
    assert "minimum" not in sent["properties"]["n"]


@pytest.mark.parametrize("schema", [{}, {"type": ["string", "null"]}, {"type": "object", "properties": {"a": True}}])
def test_a_schema_that_cannot_be_said_is_not_sent(schema: dict[str, Any]) -> None:
    assert "output_config" not in request(ask_of(output_schema=schema), "claude-opus-5-5")


def test_usage_is_the_last_word_of_each_count_and_input_includes_the_cache() -> None:
    assembly = assembled(start(), *end("end_turn", output_tokens=9))
    assert assembly.answer().usage == Usage(input_tokens=123, cached_tokens=20, output_tokens=9)

    assembly = assembled(start(), *end("end_turn", output_tokens=9, input_tokens=4, cache_read_input_tokens=0))
    assert assembly.answer().usage == Usage(input_tokens=104, cached_tokens=0, output_tokens=9)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
    ],
)
def test_reasons_to_stop(reason: str, finish: str) -> None:
    text = [block(0, type="text", text=""), delta(0, type="text_delta", text="Hi")]
    answer = assembled(start(), *text, *end(reason, output_tokens=1)).answer()
    assert (answer.finish, answer.model, answer.text) == (finish, "claude-x", "Hi")


@pytest.mark.parametrize("reason", ["pause_turn", "yet_unknown", "tool_use"])
def test_what_is_no_end_of_an_answer(reason: str) -> None:
    text = [block(0, type="text", text=""), delta(0, type="text_delta", text="Hi")]
    with pytest.raises(errors.MalformedAnswer):
        assembled(start(), *text, *end(reason, output_tokens=1)).answer()


def test_thinking_and_unknown_events_are_not_part_of_the_answer() -> None:
    assembly = assembled(
        start(),
        block(0, type="thinking", thinking="", signature=""),
        delta(0, type="thinking_delta", thinking="hm"),
        delta(0, type="signature_delta", signature="s"),
        event(type="content_block_stop", index=0),
        event(type="not_yet_invented", value=1),
        block(1, type="text", text="Hi"),
    )
    with pytest.raises(errors.StreamInterrupted):
        assembly.answer()
    for last in end("end_turn"):
        assembly.add_event(last)
    assert assembly.answer().text == "Hi"


def test_a_call_without_arguments_and_one_that_the_limit_tore() -> None:
    calls = [
        block(0, type="tool_use", id="a", name="f", input={}),
        block(1, type="tool_use", id="b", name="g", input={}),
        delta(1, type="input_json_delta", partial_json='{"x":'),
    ]
    assert assembled(start(), *calls, *end("max_tokens")).answer().tool_calls == (ToolCall("a", "f", {}),)
    with pytest.raises(errors.MalformedAnswer, match="'g'"):
        assembled(start(), *calls, *end("tool_use")).answer()


@pytest.mark.parametrize(
    "odd",
    [
        event(type="content_block_delta", index=0),
        delta(7, type="input_json_delta", partial_json="{"),
        event(type="message_start"),
        event(type="message_delta", usage={}),
        event(type="content_block_start", index=0, content_block=None),
    ],
)
def test_events_that_lack_what_they_must_have_are_malformed(odd: Any) -> None:
    with pytest.raises(errors.MalformedAnswer):
        assembled(odd)


@pytest.mark.parametrize("odd", ["<html>", construct_type(type_=types.Message, value={"content": None})])
def test_a_whole_answer_that_is_none_is_malformed(odd: Any) -> None:
    with pytest.raises(errors.MalformedAnswer):
        Assembly(ask_of()).add_message(odd)
