"""The job types that ship with Ringback."""

from typing import Any

import pytest

from jobs import errors
from prompts import registry
from prompts.registry import JobType, ReplyInvalid, Turn

TYPES = registry.load(None).types
EXAMPLES = [(name, i) for name, made in TYPES.items() for i in range(len(made.input_schema["examples"]))]


def invalid(made: JobType, value: Any) -> dict[str, str]:
    """What is wrong with an input, detail by pointer."""
    with pytest.raises(errors.InvalidRequest) as caught:
        made.validate(value)
    return {error.pointer: error.detail for error in caught.value.errors}


@pytest.mark.parametrize(("name", "index"), EXAMPLES)
def test_every_example_is_valid_and_renders(name: str, index: int) -> None:
    made = TYPES[name]
    example = made.input_schema["examples"][index]
    made.validate(example)
    rendered = made.render(example)
    if made.runner != "answer":
        assert rendered.messages == ()
        return
    assert rendered.messages[-1].role == "user"
    said = "".join(turn.text for turn in rendered.messages)
    assert all(text in said for text in [example.get("text"), example.get("prompt")] if text)


@pytest.mark.parametrize("name", TYPES)
def test_every_field_is_documented(name: str) -> None:
    made = TYPES[name]
    assert all("description" in part for part in made.input_schema["properties"].values())
    assert made.description
    assert len(made.input_schema["examples"]) >= 2


@pytest.mark.parametrize("name", ["soften", "inquiry", "summarize"])
@pytest.mark.parametrize(
    ("value", "problems"),
    [
        ({}, {"#/input/text": "is required"}),
        ({"text": ""}, {"#/input/text": "must not be blank"}),
        ({"text": " \n\u3000 "}, {"#/input/text": "must not be blank"}),
        ({"text": 5}, {"#/input/text": "must be a string (is a number)"}),
        ({"text": None}, {"#/input/text": "must be a string (is null)"}),
        ({"text": "가" * 2_000_000}, {"#/input/text": "must be at most 200000 characters (is 2000000)"}),
        ([], {"#/input": "must be an object (is an array)"}),
        ("x", {"#/input": "must be an object (is a string)"}),
    ],
)
def test_texts_that_are_refused(name: str, value: Any, problems: dict[str, str]) -> None:
    assert invalid(TYPES[name], value) == problems


def test_the_longest_text_is_accepted() -> None:
    made = TYPES["soften"]
    made.validate({"text": "가" * 200_000})
    assert "가" * 200_000 in made.render({"text": "가" * 200_000}).messages[0].text


def test_an_unknown_field_is_named_with_the_known_ones() -> None:
    problems = invalid(TYPES["summarize"], {"text": "x", "lang/uage": "ko", "max_sentences": 0, "style": "haiku"})
    assert problems == {
        "#/input/lang~1uage": "unknown field; known: text, language, style, max_sentences",
        "#/input/max_sentences": "must be at least 1",
        "#/input/style": "must be one of: paragraph, bullets",
    }


def test_a_refusal_repeats_neither_long_names_nor_values() -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        TYPES["summarize"].validate({"text": "x", "k" * 5000: 1, "style": "hunter2" * 100})
    said = str(caught.value) + str(caught.value.errors)
    assert len(said) < 1500
    assert "hunter2" not in said


def test_at_most_twenty_problems_are_listed() -> None:
    problems = invalid(TYPES["soften"], {"text": "x"} | {f"f{i}": 1 for i in range(100)})
    assert len(problems) == 20


def test_summaries_follow_what_was_asked_for() -> None:
    made = TYPES["summarize"]
    plain = made.render({"text": "x"}).system or ""
    assert "language of the text" in plain
    assert "running text" in plain
    asked = made.render({"text": "x", "language": "ko", "style": "bullets", "max_sentences": 3}).system or ""
    assert 'ISO 639-1 code "ko"' in asked
    assert "at most 3 points" in asked
    assert "running text" not in asked
    assert "at most 1\n  sentence." in (made.render({"text": "x", "max_sentences": 1}).system or "")


def test_the_output_of_each_type() -> None:
    value = {"text": "안녕"}
    assert TYPES["summarize"].parse("인사.", value) == {"summary": "인사."}
    assert TYPES["soften"].parse("안녕하세요.", value) == {"text": "안녕하세요."}
    reply = '{"summary": "a", "softened": "b", "sentiment": "neutral", "category": "other"}'
    assert TYPES["inquiry"].parse(reply, value)["category"] == "other"
    with pytest.raises(ReplyInvalid) as caught:
        TYPES["inquiry"].parse(reply.replace("neutral", "furious").replace('"b"', '" "'), value)
    assert sorted(caught.value.reason.split("; ")) == [
        "#/sentiment must be one of: positive, neutral, negative",
        "#/softened must not be blank",
    ]


def test_inquiry_asks_for_its_schema() -> None:
    rendered = TYPES["inquiry"].render({"text": "x"})
    assert rendered.reply_schema == TYPES["inquiry"].output_schema
    assert rendered.system is not None
    assert '"enum":["delivery","refund","payment","product","account","service","other"]' in rendered.system


GENERATE = TYPES["generate"]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def test_generate_passes_the_conversation_on_word_for_word() -> None:
    value = {
        "messages": [
            {"role": "system", "content": "Be brief.\n"},
            {"role": "user", "content": " {{ hi }} "},
            {"role": "assistant", "content": "Hello"},
            {"role": "system", "content": "한국어로."},
            {"role": "user", "content": "</text-000000000000>"},
        ],
        "temperature": 1,
        "max_tokens": 1024.0,
    }
    GENERATE.validate(value)
    rendered = GENERATE.render(value)
    assert rendered.system == "Be brief.\n\n\n한국어로."
    assert rendered.messages == (
        Turn.of("user", " {{ hi }} "),
        Turn.of("assistant", "Hello"),
        Turn.of("user", "</text-000000000000>"),
    )
    assert (rendered.settings.temperature, rendered.settings.max_tokens) == (1.0, 1024)
    assert rendered.reply_schema is None


def test_generate_with_a_prompt_and_a_schema() -> None:
    value = {"prompt": "one", "schema": SCHEMA}
    GENERATE.validate(value)
    rendered = GENERATE.render(value)
    assert rendered.messages == (Turn.of("user", "one"),)
    assert rendered.reply_schema == SCHEMA
    assert rendered.system is not None
    assert '"required":["n"]' in rendered.system
    assert GENERATE.parse('{"n": 1}', value) == {"data": {"n": 1}}
    with pytest.raises(ReplyInvalid, match="#/n is required"):
        GENERATE.parse("{}", value)
    assert GENERATE.parse("{}", {"prompt": "one"}) == {"text": "{}"}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    ("value", "pointer", "detail"),
    [
        ({}, "#/input/messages", "give exactly one of: messages, prompt"),
        ({"prompt": "x", "messages": [user("x")]}, "#/input/messages", "give exactly one of: messages, prompt"),
        ({"prompt": " "}, "#/input/prompt", "must not be blank"),
        ({"messages": []}, "#/input/messages", "must have at least 1 entries (has 0)"),
        ({"messages": [user(" ")]}, "#/input/messages/0/content", "must not be blank"),
        ({"messages": [user([])]}, "#/input/messages/0/content", "must not be empty"),
        ({"messages": [user(5)]}, "#/input/messages/0/content", "must be a string or an array (is a number)"),
        ({"messages": [{"role": "human", "content": "x"}]}, "#/input/messages/0/role", "must be one of: system, user"),
        ({"messages": [{"role": "user"}]}, "#/input/messages/0/content", "is required"),
        ({"messages": [user("x") | {"name": "y"}]}, "#/input/messages/0/name", "unknown field; known: role, content"),
        ({"messages": [user("x")] * 1001}, "#/input/messages", "must have at most 1000 entries (has 1001)"),
        ({"messages": [1] * 200_000}, "#/input/messages", "must have at most 1000 entries (has 200000)"),
        ({"prompt": "x", "temperature": 2.5}, "#/input/temperature", "must be at most 2"),
        ({"prompt": "x", "max_tokens": 0}, "#/input/max_tokens", "must be at least 1"),
        ({"prompt": "x", "max_tokens": 1.5}, "#/input/max_tokens", "must be an integer (is a number)"),
        ({"prompt": "x", "schema": []}, "#/input/schema", "must be an object (is an array)"),
        ({"prompt": "x", "schema": {}}, "#/input/schema/type", "must be object"),
        ({"prompt": "x", "schema": {"type": "array"}}, "#/input/schema/type", "must be object"),
        (
            {"prompt": "x", "schema": {"type": "object", "properties": {"a": {"type": "text"}}}},
            "#/input/schema/properties/a/type",
            "must be one of: array, boolean",
        ),
    ],
)
def test_what_generate_refuses(value: Any, pointer: str, detail: str) -> None:
    problems = invalid(GENERATE, value)
    assert list(problems) == [pointer]
    assert detail in problems[pointer]


def test_the_repair_attempt_continues_the_conversation() -> None:
    made = TYPES["inquiry"]
    rendered = made.render({"text": "x"})
    again = made.repair(rendered, "Sure!", "the reply has no JSON object")
    assert again.messages[:-2] == rendered.messages
    assert again.messages[-2] == Turn.of("assistant", "Sure!")
    assert again.messages[-1].role == "user"
    assert "the reply has no JSON object" in again.messages[-1].text
    assert (again.system, again.settings, again.reply_schema) == (
        rendered.system,
        rendered.settings,
        rendered.reply_schema,
    )
    assert made.repair(rendered, " \n", "the reply is empty").messages[-2].text.strip()
