"""Converse's JSON: what the contract suite cannot see of it."""

from typing import Any

import pytest

from jobs.model import ModelSettings, Usage
from providers import errors
from providers.bedrock import mapping
from providers.bedrock.schema import enforceable
from providers.service import Answer, Ask, Message, Text, Tool, ToolCall, ToolResult
from tests.unit.providers.asks import ask

CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"


def text(piece: str, index: int = 0) -> dict[str, Any]:
    """An event with text."""
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": {"text": piece}}}


def tool(index: int, *pieces: str) -> list[dict[str, Any]]:
    """The events of a tool call, its arguments in pieces of JSON."""
    start = {"toolUse": {"toolUseId": f"tooluse_{index}", "name": "weather"}}
    deltas = [
        {"contentBlockDelta": {"contentBlockIndex": index, "delta": {"toolUse": {"input": piece}}}} for piece in pieces
    ]
    return [{"contentBlockStart": {"contentBlockIndex": index, "start": start}}, *deltas]


def stop(reason: str) -> dict[str, Any]:
    """The end mark."""
    return {"messageStop": {"stopReason": reason}}


def read(*events: dict[str, Any]) -> Answer:
    """The answer of a stream of these events."""
    reader = mapping.AnswerReader(ask(CLAUDE))
    for event in events:
        reader.read(event)
    return reader.answer()


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
    ],
)
def test_finish(reason: str, finish: str) -> None:
    assert read(text("네."), stop(reason)).finish == finish


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use", "brand_new_reason", "tool_use"])
def test_a_model_that_gave_up_is_an_error(reason: str) -> None:
    with pytest.raises(errors.MalformedAnswer, match=reason if reason != "tool_use" else "calls none"):
        read(text("네."), stop(reason))


def test_usage_comes_after_the_end_mark_and_may_be_missing() -> None:
    usage = {
        "inputTokens": 5,
        "cacheReadInputTokens": 100,
        "cacheWriteInputTokens": 20,
        "outputTokens": 9,
        "totalTokens": 134,
    }
    metadata = {"metadata": {"usage": usage, "metrics": {"latencyMs": 5}}}

    whole = read({"messageStart": {"role": "assistant"}}, text("네."), stop("end_turn"), metadata)

    assert whole.usage == Usage(input_tokens=125, output_tokens=9, cached_tokens=100)
    assert read(text("네."), stop("end_turn")).usage == Usage()


def test_a_prompt_router_says_who_answered() -> None:
    trace = {"promptRouter": {"invokedModelId": "anthropic.claude-haiku-4-5-20251001-v1:0"}}
    usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}

    answer = read(text("네."), stop("end_turn"), {"metadata": {"usage": usage, "trace": trace}})

    assert answer.model == "anthropic.claude-haiku-4-5-20251001-v1:0"


def test_tool_calls_are_put_together() -> None:
    answer = read(text("볼게요."), *tool(1, "", '{"city": "서', '울"}'), *tool(2), stop("tool_use"))

    assert [(call.id, call.arguments) for call in answer.tool_calls] == [
        ("tooluse_1", {"city": "서울"}),
        ("tooluse_2", {}),
    ]


def test_a_call_cut_by_length_is_left_out() -> None:
    answer = read(text("볼게요."), *tool(1, '{"city": "서'), stop("max_tokens"))

    assert (answer.finish, answer.tool_calls) == ("length", ())


@pytest.mark.parametrize("arguments", ['{"city": "서', "[1]", "null"])
def test_a_call_without_arguments_of_its_own_is_malformed(arguments: str) -> None:
    with pytest.raises(errors.MalformedAnswer):
        read(*tool(1, arguments), stop("tool_use"))


def test_reasoning_is_not_text() -> None:
    thought = {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "음…"}}}}

    assert read(thought, text("네.", 1), stop("end_turn")).text == "네."


@pytest.mark.parametrize(
    "event",
    [{"contentBlockDelta": {}}, {"contentBlockDelta": {"delta": {"text": "a"}}}, {"messageStop": {}}, {"metadata": {}}],
)
def test_an_event_without_its_fields_is_malformed(event: dict[str, Any]) -> None:
    with pytest.raises(errors.MalformedAnswer):
        read(event)


def test_new_events_and_blocks_are_passed_over() -> None:
    image = {"contentBlockStart": {"contentBlockIndex": 0, "start": {"image": {"format": "png"}}}}
    citation = {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"citation": {"title": "x"}}}}

    assert read({"brandNew": {"x": 1}}, image, citation, text("네.", 1), stop("end_turn")).text == "네."


def test_blank_texts_are_not_sent() -> None:
    message = Message(role="user", parts=(Text(" \n"), Text("네?"), Text("")))

    body = mapping.request(Ask(model=CLAUDE, system=" ", messages=(message,)))

    assert body == {"messages": [{"role": "user", "content": [{"text": "네?"}]}]}


def test_what_one_side_says_in_a_row_is_one_message() -> None:
    messages = (
        Message(role="user", parts=(Text("하나"),)),
        Message(role="user", parts=(Text("둘"),)),
        Message(role="assistant", parts=(ToolCall("t1", "weather", {}),)),
        Message(role="user", parts=(ToolResult("t1", "weather", " "),)),
        Message(role="user", parts=(Text("셋"),)),
    )
    sent = mapping.request(Ask(model=CLAUDE, messages=messages))["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert sent[0]["content"] == [{"text": "하나"}, {"text": "둘"}]
    result = {"toolResult": {"toolUseId": "t1", "content": [{"text": "(no output)"}]}}
    assert sent[2]["content"] == [result, {"text": "셋"}]


def test_zero_is_a_setting() -> None:
    body = mapping.request(ask(CLAUDE, "네?", settings=ModelSettings(temperature=0.0, top_p=0.0)))

    assert body["inferenceConfig"] == {"temperature": 0.0, "topP": 0.0}


def test_a_tool_may_have_no_description() -> None:
    body = mapping.request(ask(CLAUDE, "네?", tools=(Tool(name="now", description="", parameters={"type": "object"}),)))

    assert body["toolConfig"]["tools"] == [{"toolSpec": {"name": "now", "inputSchema": {"json": {"type": "object"}}}}]


WEATHER = Tool(name="weather", description="", parameters={"type": "object"})


def test_tools_that_must_not_be_called_are_left_out_unless_the_conversation_holds_calls() -> None:
    """Converse has no such choice, and refuses calls and results in a conversation without tools."""
    called = (
        Message(role="user", parts=(Text("서울 날씨는?"),)),
        Message(role="assistant", parts=(ToolCall("a", "weather", {}),)),
        Message(role="user", parts=(ToolResult("a", "weather", "맑음"),)),
    )
    assert "toolConfig" not in mapping.request(ask("m", "네?", tools=(WEATHER,), tool_choice="none"))

    sent = mapping.request(Ask(model="m", messages=called, tools=(WEATHER,), tool_choice="none"))

    assert sent["toolConfig"].keys() == {"tools"}


def test_schema_is_closed_and_rid_of_limits() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "description": "요약",
        "properties": {
            "summary": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^."},
            "at": {"type": "string", "format": "date-time"},
            "phone": {"type": "string", "format": "phone"},
            "tags": {"type": "array", "minItems": 1, "items": {"type": "string", "enum": ["a", "b"]}},
            "place": {
                "oneOf": [
                    {"type": "null"},
                    {"type": "object", "properties": {"x": {"type": "number", "minimum": 0}}, "required": ["x"]},
                ]
            },
        },
        "required": ["summary", "tags"],
    }

    assert enforceable(schema) == {
        "type": "object",
        "description": "요약",
        "properties": {
            "summary": {"type": "string"},
            "at": {"type": "string", "format": "date-time"},
            "phone": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
            "place": {
                "anyOf": [
                    {"type": "null"},
                    {
                        "type": "object",
                        "properties": {"x": {"type": "number"}},
                        "required": ["x"],
                        "additionalProperties": False,
                    },
                ]
            },
        },
        "required": ["summary", "tags"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "inner",
    [
        {"type": "object"},
        {"type": ["object", "null"], "additionalProperties": {"type": "string"}},
        {"$ref": "#"},
        {"allOf": [{"type": "string"}]},
        {"type": "array", "items": {"patternProperties": {"^x": {}}}},
        True,
    ],
)
def test_what_cannot_be_enforced_is_not_sent(inner: Any) -> None:
    schema = {"type": "object", "properties": {"inner": inner}}

    assert enforceable(schema) is None
    assert "outputConfig" not in mapping.request(ask(CLAUDE, "네?", output_schema=schema))
