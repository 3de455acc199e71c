"""Gemini's JSON: what the contract suite cannot see of it."""

import json
from typing import Any

import pytest

from jobs.model import Usage
from providers import errors
from providers.gemini import mapping
from providers.service import Ask, Message, Tool, ToolCall, ToolResult
from tests.unit.providers.asks import ask

CALLED = (Message(role="assistant", parts=(ToolCall("call_1", "weather", {"city": "서울"}),)),)
WEATHER = Tool(name="weather", description="날씨", parameters={"type": "object"})


def chunk(*parts: dict[str, Any], finish: str | None = None, **fields: Any) -> str:
    """One response with these parts."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    return json.dumps({"candidates": [candidate | ({"finishReason": finish} if finish else {})], **fields})


def read(*documents: str) -> mapping.AnswerReader:
    """A reader that has read these responses."""
    reader = mapping.AnswerReader(ask("gemini-2.5-flash"))
    for document in documents:
        reader.read(mapping.decoded(document))
    return reader


@pytest.mark.parametrize(
    ("model", "vertex", "path"),
    [
        ("gemini-2.5-flash", False, "models/gemini-2.5-flash"),
        ("gemini-2.5-flash", True, "publishers/google/models/gemini-2.5-flash"),
        ("models/gemini-2.5-flash", False, "models/gemini-2.5-flash"),
        ("tunedModels/mine-a1b2", False, "tunedModels/mine-a1b2"),
        ("publishers/meta/models/llama-4", True, "publishers/meta/models/llama-4"),
    ],
)
def test_model_is_a_resource(model: str, vertex: bool, path: str) -> None:
    assert mapping.resource(ask(model), vertex=vertex) == path


@pytest.mark.parametrize(
    "model",
    ["", "../files", "a/../b", "gemini-2.5?alt=json", "gemini#x", "models/", "a b", "x:countTokens", "제미나이"],
)
def test_what_cannot_be_a_model_reaches_no_other_path(model: str) -> None:
    with pytest.raises(errors.ModelNotFound):
        mapping.resource(ask(model), vertex=False)


@pytest.mark.parametrize(
    ("model", "signed"),
    [
        ("gemini-3-pro-preview", True),
        ("gemini-3.1-flash", True),
        ("gemini-flash-latest", True),
        ("gemini-2.5-pro", False),
        ("models/gemini-2.0-flash", False),
        ("gemini-1.5-pro", False),
    ],
)
def test_earlier_calls_need_no_signature(model: str, signed: bool) -> None:
    (part,) = mapping.request(Ask(model=model, messages=CALLED))["contents"][0]["parts"]

    assert part["functionCall"] == {"id": "call_1", "name": "weather", "args": {"city": "서울"}}
    assert part.get("thoughtSignature") == ("skip_thought_signature_validator" if signed else None)


def test_results_are_objects() -> None:
    result = Message(role="user", parts=(ToolResult("call_1", "weather", "맑음"),))

    (content,) = mapping.request(Ask(model="gemini-2.5-pro", messages=(result,)))["contents"]

    response = {"id": "call_1", "name": "weather", "response": {"output": "맑음"}}
    assert content == {"role": "user", "parts": [{"functionResponse": response}]}


def test_schema_gives_way_to_tools() -> None:
    body = mapping.request(ask("gemini-2.5-pro", tools=(WEATHER,), output_schema={"type": "object"}))

    assert "tools" in body
    assert "generationConfig" not in body


def test_thoughts_are_not_text() -> None:
    reader = mapping.AnswerReader(ask("gemini-2.5-flash"))

    texts = [
        reader.read(mapping.decoded(chunk({"text": "고객이 화났다.", "thought": True}, {"text": "죄송"}))),
        reader.read(mapping.decoded(chunk({"text": "합니다."}, finish="STOP", usageMetadata={"promptTokenCount": 3}))),
    ]

    assert texts == ["죄송", "합니다."]
    assert reader.answer().text == "죄송합니다."


def test_usage_is_the_last_one_with_thoughts_in_the_output() -> None:
    first = {"promptTokenCount": 20, "candidatesTokenCount": 1, "totalTokenCount": 21}
    last = {
        "promptTokenCount": 20,
        "toolUsePromptTokenCount": 4,
        "cachedContentTokenCount": 12,
        "candidatesTokenCount": 7,
        "thoughtsTokenCount": 30,
        "totalTokenCount": 61,
    }

    answer = read(
        chunk({"text": "a"}, usageMetadata=first),
        chunk({"text": "b"}, usageMetadata=last),
        chunk(finish="STOP", modelVersion="gemini-2.5-flash-001"),
    ).answer()

    assert answer.usage == Usage(input_tokens=24, output_tokens=37, cached_tokens=12, reasoning_tokens=30)
    assert answer.model == "gemini-2.5-flash-001"


def test_ids_of_calls() -> None:
    """Gemini's own where it sends them, else made from the id of the response: the same for the same answer."""
    calls = chunk(
        {"functionCall": {"name": "weather", "args": {"city": "서울"}}},
        {"functionCall": {"name": "weather"}},
        {"functionCall": {"name": "weather", "id": "fc-77"}},
        finish="STOP",
        responseId="AbC-1_" + "x" * 80,
    )

    one, again = read(calls).answer(), read(calls).answer()
    other = read(calls.replace("AbC-1_", "AbC-2_")).answer()

    ids = [call.id for call in one.tool_calls]
    assert one == again
    assert one.finish == "tool_calls"
    assert [call.arguments for call in one.tool_calls] == [{"city": "서울"}, {}, {}]
    assert ids[2] == "fc-77"
    assert len({*ids, *(call.id for call in other.tool_calls)}) == 5
    assert max(map(len, ids)) <= 64  # Bedrock and OpenAI take no longer ones


def test_calls_without_any_id_differ() -> None:
    call = chunk({"functionCall": {"name": "weather"}}, finish="STOP")

    assert read(call).answer().tool_calls[0].id != read(call).answer().tool_calls[0].id


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("CONTINUATION", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
    ],
)
def test_finish(reason: str, finish: str) -> None:
    assert read(chunk({"text": "a"}), chunk(finish=reason)).answer().finish == finish


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER", "BRAND_NEW_REASON"])
def test_a_model_that_gave_up_is_an_error(reason: str) -> None:
    with pytest.raises(errors.MalformedAnswer, match=reason):
        read(chunk({"text": "a"}, finish=reason)).answer()


@pytest.mark.parametrize("finish", [None, "FINISH_REASON_UNSPECIFIED"])
def test_without_a_reason_it_is_not_complete(finish: str | None) -> None:
    with pytest.raises(errors.StreamInterrupted):
        read(chunk({"text": "a"}, finish=finish)).answer()


def test_blocked_prompt_names_the_reason() -> None:
    with pytest.raises(errors.ContentFiltered, match="PROHIBITED_CONTENT"):
        read('{"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}')


@pytest.mark.parametrize("document", ["", "[]", '"x"', '{"candidates": 1}', '{"candidates": [{"content": []}]}'])
def test_what_is_no_response_is_malformed(document: str) -> None:
    with pytest.raises(errors.MalformedAnswer):
        read(document)


def test_new_fields_and_empty_candidates_are_taken() -> None:
    answer = read(
        '{"candidates": [], "brandNew": {"x": 1}}',
        '{"candidates": [{"content": {"role": "model"}, "avgLogprobs": -0.1}]}',
        chunk({"executableCode": {"code": "1+1"}}, {"text": "2"}, finish="STOP"),
    ).answer()

    assert answer.text == "2"


def test_a_reason_that_comes_too_early_ends_nothing() -> None:
    """Earlier models and some proxies put `STOP` into every chunk, also before the first text."""
    early, text, last = chunk(finish="STOP"), chunk({"text": "a"}), chunk({"text": ""}, finish="STOP")
    both = chunk({"text": "a"}, finish="STOP")
    for chunks, complete in (
        ((text, last), True),
        ((text, both), True),
        ((early, text, last), False),
        ((both,), False),
        ((both, both), False),
        ((text, last, text), False),
        ((text, chunk(finish="FINISH_REASON_UNSPECIFIED")), False),
    ):
        assert read(*chunks).complete is complete, chunks


def test_usage_is_told_when_it_changes() -> None:
    reader = mapping.AnswerReader(ask("m"))
    told = []
    for tokens in (1, 1, 5):
        usage = {"promptTokenCount": 9, "candidatesTokenCount": tokens}
        reader.read(mapping.decoded(chunk({"text": "a"}, usageMetadata=usage)))
        told.append(reader.metered)
        reader.metered = None

    assert told == [Usage(input_tokens=9, output_tokens=1), None, Usage(input_tokens=9, output_tokens=5)]
