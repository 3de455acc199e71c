"""From a model's reply to a job's output."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompts.output import AsAsked, PlainText, ReplyInvalid, Structured
from prompts.schema import Schema

STRICT = Structured(
    Schema(
        {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {"name": {"type": "string"}, "rows": {"type": "array", "items": {"type": "integer"}}},
        }
    )
)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXTS,
    "integer": INTEGERS,
    "number": FLOATS,
    "boolean": st.booleans(),
    "null": st.none(),
}


@st.composite
def typed(draw: st.DrawFn, depth: int = 2) -> tuple[dict[str, Any], Any]:
    """A schema and a value that fits it."""
    kind = draw(st.sampled_from([*SCALARS, *(["object", "array"] if depth else [])]))
    if kind == "object":
        return draw(objects(depth - 1))
    if kind == "array":
        schema, value = draw(typed(depth - 1))
        return {"type": "array", "items": schema}, [value] * draw(st.integers(0, 3))
    return {"type": kind}, draw(SCALARS[kind])


@st.composite
def objects(draw: st.DrawFn, depth: int = 2) -> tuple[dict[str, Any], dict[str, Any]]:
    """A schema of an object and one that fits it."""
    fields = draw(st.dictionaries(TEXTS, typed(depth), max_size=4))
    schema = {
        "type": "object",
        "properties": {name: part for name, (part, _) in fields.items()},
        "required": list(fields),
        "additionalProperties": False,
    }
    return schema, {name: value for name, (_, value) in fields.items()}


PROSE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{}"), max_size=20)


@settings(max_examples=200, deadline=None)
@given(pair=objects(), ascii_only=st.booleans(), indent=st.none() | st.integers(0, 4), before=PROSE, after=PROSE)
def test_valid_json_comes_back_as_it_was(
    pair: tuple[dict[str, Any], dict[str, Any]], ascii_only: bool, indent: int | None, before: str, after: str
) -> None:
    schema, value = pair
    reply = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    output = Structured(Schema(schema))
    assert output.parse(reply, {}) == value
    assert output.parse(f"```json\n{reply}\n```", {}) == value
    assert output.parse(f"{before}x\n{reply}\n{after}", {}) == value
    asked = AsAsked(text=PlainText("text"), data="data", source="schema")
    assert asked.parse(reply, {"schema": schema}) == {"data": value}


@settings(max_examples=300, deadline=None)
@given(reply=st.text() | st.lists(st.sampled_from('{}[]",:1 a\\u\ud800'), max_size=30).map("".join))
def test_any_reply_is_an_output_or_invalid(reply: str) -> None:
    for output in (STRICT, PlainText("text")):
        with contextlib.suppress(ReplyInvalid):
            json.dumps(output.parse(reply, {}), ensure_ascii=False).encode()


def test_large_numbers_keep_every_digit() -> None:
    output = Structured(Schema({"type": "object"}))
    assert output.parse('{"n": 123456789012345678901}', {}) == {"n": 123456789012345678901}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "the reply has no JSON object"),
        ("SECRET", "the reply has no JSON object"),
        ('["SECRET"]', "the reply must be a JSON object (is an array)"),
        ('"SECRET {}"', "the reply must be a JSON object (is a string)"),
        ('{"name": "SECRET"', "the reply is not one valid JSON object"),
        ('{"name": {"name": "SECRET"}, ', "the reply is not one valid JSON object"),
        ('{"name": "SECRET"} or {"name": "SECRET"}', "the reply is not one valid JSON object"),
        ("{'name': 'SECRET'}", "the reply is not one valid JSON object"),
        ('{"name": NaN}', "the reply is not one valid JSON object"),
        ('{"name": "\\ud800"}', "the reply is not one valid JSON object"),
        ("\ud800{}", "the reply is not valid Unicode text"),
        ("{" * 5000, "the reply is not one valid JSON object"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "the reply is not one valid JSON object"),
        ("{}", "#/name is required"),
        ('{"name": 5}', "#/name must be a string (is a number)"),
        ('{"name": "", "SECRET": 5}', "#/* unknown field; known: name, rows"),
        ('{"name": "", "rows": [1, "SECRET"]}', "#/rows/1 must be an integer (is a string)"),
    ],
)
def test_a_reason_says_where_but_not_what(reply: str, reason: str) -> None:
    with pytest.raises(ReplyInvalid) as caught:
        STRICT.parse(reply, {})
    assert caught.value.reason == reason
    assert str(caught.value) == reason


def test_a_reason_is_short() -> None:
    wide = Structured(Schema({"type": "object", "required": [f"field_{i}" * 30 for i in range(30)]}))
    with pytest.raises(ReplyInvalid) as caught:
        wide.parse("{}", {})
    assert len(caught.value.reason) <= 300


@pytest.mark.parametrize("reply", ["", " \n\t", "\u3000"])
def test_a_blank_reply_is_none(reply: str) -> None:
    with pytest.raises(ReplyInvalid, match="the reply is empty"):
        PlainText("text").parse(reply, {})


def test_plain_text_is_what_the_model_wrote() -> None:
    assert PlainText("summary").parse(" 안녕 {} \n", {}) == {"summary": " 안녕 {} \n"}
    with pytest.raises(ReplyInvalid, match="not valid Unicode"):
        PlainText("summary").parse("a\ud800", {})
