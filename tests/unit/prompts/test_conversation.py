"""Conversations with images and tools: what is refused and where, and what a model is told of the rest."""

import base64
import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs import errors
from prompts import image, registry
from prompts.conversation import Rendered
from prompts.registry import JobType, ReplyInvalid, Turn
from prompts.turn import Image, ImageUrl, Text, Tool, ToolCall, ToolResult
from tests.unit.prompts.sample import CHAT, load
from tests.unit.prompts.test_catalog import invalid

GENERATE = registry.load().get("generate")
CONTENT = {
    "image/png": b"\x89PNG\r\n\x1a\n" + bytes(40),
    "image/jpeg": b"\xff\xd8\xff\xe0" + bytes(40),
    "image/gif": b"GIF89a" + bytes(40),
    "image/webp": b"RIFF\x20\0\0\0WEBPVP8 " + bytes(40),
}
WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
ASKED = {"role": "user", "content": "날씨가 어때요?"}


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def png(**fields: Any) -> dict[str, Any]:
    return {"type": "image", "media_type": "image/png", "base64": encoded(CONTENT["image/png"]), **fields}


def link(url: str = "https://example.com/a.png", **fields: Any) -> dict[str, Any]:
    return {"type": "image", "url": url, **fields}


def text(said: Any = "x", **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **fields}


def call(id_: str = "c1", **fields: Any) -> dict[str, Any]:
    return {"id": id_, "name": "weather", "arguments": {"city": "부산"}, **fields}


def calls(*made: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": list(made or (call(),)), **fields}


def result(id_: str = "c1", content: Any = "맑음", **fields: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id_, "content": content, **fields}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def rendered(*messages: Any, **fields: Any) -> Rendered:
    """The prompt for a conversation, which must be valid."""
    value = {"messages": list(messages), **fields}
    GENERATE.validate(value)
    return GENERATE.render(value)


@pytest.mark.parametrize("media_type", CONTENT)
def test_images_come_as_they_were_sent(media_type: str) -> None:
    sent = encoded(CONTENT[media_type])
    part = {"type": "image", "media_type": media_type, "base64": sent}
    prompt = rendered(user(text("둘 중 무엇?"), part, link("http://example.com/b")))
    where = "#/input/messages/0/content/2/url"
    assert prompt.messages == (
        Turn("user", (Text("둘 중 무엇?"), Image(media_type, sent), ImageUrl("http://example.com/b", where))),
    )


def test_results_of_tools_travel_together_and_know_the_name_of_their_tool() -> None:
    prompt = rendered(
        ASKED,
        calls(call("c1"), call("c2", name="time"), content="찾아볼게요."),
        result("c2", [text("9시"), text("KST")]),
        {"role": "system", "content": "존댓말로."},
        result("c1", ""),
        ASKED,
        calls(content=""),
        result(),
    )
    arguments = {"city": "부산"}
    assert prompt.system == "존댓말로."
    assert prompt.messages[1:] == (
        Turn(
            "assistant", (Text("찾아볼게요."), ToolCall("c1", "weather", arguments), ToolCall("c2", "time", arguments))
        ),
        Turn("user", (ToolResult("c2", "time", "9시\n\nKST"), ToolResult("c1", "weather", ""))),
        Turn.of("user", "날씨가 어때요?"),
        Turn("assistant", (ToolCall("c1", "weather", arguments),)),
        Turn("user", (ToolResult("c1", "weather", "맑음"),)),
    )


def test_tools_and_settings_reach_the_model() -> None:
    described = {**WEATHER, "name": "w-2", "description": "날씨"}
    recursive = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "items": {"$ref": "#"}}
    third = {"name": "third", "parameters": recursive}
    prompt = rendered(ASKED, tools=[WEATHER, described, third], tool_choice="required", top_p=0.5, stop=["끝", "END"])
    assert prompt.tools == (
        Tool(name="weather", parameters=WEATHER["parameters"]),  # type: ignore[arg-type]
        Tool(name="w-2", description="날씨", parameters=WEATHER["parameters"]),  # type: ignore[arg-type]
        Tool(name="third", parameters=recursive),
    )
    assert (prompt.tool_choice, prompt.settings.top_p, prompt.settings.stop) == ("required", 0.5, ("끝", "END"))
    assert rendered(ASKED, tools=[WEATHER]).tool_choice == "auto"
    assert GENERATE.render({"prompt": "x", "tools": [WEATHER]}).tools == prompt.tools[:1]


def test_the_model_goes_on_with_the_assistants_last_message() -> None:
    prompt = rendered(ASKED, {"role": "assistant", "content": "오늘 부산은"})
    assert prompt.messages[-1] == Turn.of("assistant", "오늘 부산은")
    assert GENERATE.repair(prompt, "", "the reply is empty") == prompt


TOO_LARGE = encoded(CONTENT["image/png"] + bytes(image.SIZE_LIMIT - 47))
MESSAGES = [
    # (messages, where, the reason)
    ([ASKED, result()], "1/tool_call_id", "no earlier message of the assistant has a tool call with this id"),
    ([ASKED, calls(), result("c2"), result()], "2/tool_call_id", "no earlier message"),
    ([ASKED, calls(), result(), result()], "3/tool_call_id", "this tool call has its result already"),
    ([ASKED, calls(), {"role": "tool", "content": "x"}, result()], "2/tool_call_id", "is required"),
    ([ASKED, calls(), {"role": "tool", "tool_call_id": "c1"}], "2/content", "is required"),
    ([ASKED, calls(), result("c1", [png()])], "2/content/0", "only messages of the user can have images"),
    ([ASKED, calls(), ASKED], "2/role", "one tool call has no result yet; a message with the role tool for each must"),
    ([ASKED, calls(call(), call("c2")), calls()], "2/role", "2 tool calls have no result yet"),
    ([ASKED, calls()], "1", "one tool call has no result yet; a message with the role tool for each must follow"),
    ([ASKED, calls(call(), call())], "1/tool_calls/1/id", "another call of this message has the same id"),
    ([ASKED, calls(call(arguments="{}")), result()], "1/tool_calls/0/arguments", "must be an object (is a string)"),
    ([ASKED, calls(call(name="a b")), result()], "1/tool_calls/0/name", "must match ^[A-Za-z0-9_-]{1,64}$"),
    ([ASKED, calls(call("")), result()], "1/tool_calls/0/id", "must not be empty"),
    ([{**ASKED, "tool_calls": [call()]}], "0/tool_calls", "only messages of the assistant have tool calls"),
    ([{**ASKED, "tool_call_id": "c1"}], "0/tool_call_id", "only messages with the role tool have it"),
    ([{"role": "user"}], "0/content", "is required"),
    ([ASKED, {"role": "assistant", "tool_calls": []}, ASKED], "1/content", "is required"),
    ([ASKED, {"role": "assistant", "content": " "}], "1/content", "must not be blank"),
    ([ASKED, {"role": "assistant", "content": [png()]}], "1/content/0", "only messages of the user can have images"),
    ([{"role": "system", "content": [png()]}, ASKED], "0/content/0", "only messages of the user can have images"),
    ([ASKED, {"role": "assistant", "content": "오늘 "}], "1/content", "must not end with white space"),
    ([{"role": "system", "content": "x"}], "", "there must be a message from the user"),
    ([{"role": "assistant", "content": "x"}], "", "there must be a message from the user"),
    (
        [ASKED, {"role": "assistant", "content": "x"}, {"role": "system", "content": "x"}],
        "2/role",
        "the last message must be the user's, a tool's or the assistant's",
    ),
    ([user(text(" "))], "0/content/0/text", "must not be blank"),
    ([user({"type": "text"})], "0/content/0/text", "is required"),
    ([user(text("x", url="http://example.com"))], "0/content/0/url", "has no place in a part of type text"),
    ([user({"type": "audio"})], "0/content/0/type", "must be one of: text, image"),
    ([user("x")], "0/content/0", "must be an object (is a string)"),
    ([user(link(text="x"))], "0/content/0/text", "has no place in a part of type image"),
    ([user(link(detail="low"))], "0/content/0/detail", "unknown field; known: type, text, url, media_type, base64"),
    ([user(png(url="https://example.com"))], "0/content/0", "give either url, or media_type and base64"),
    ([user(link(media_type="image/png"))], "0/content/0", "give either url, or media_type and base64"),
    ([user({"type": "image"})], "0/content/0", "give either url, or media_type and base64"),
    ([user({"type": "image", "base64": "aGk="})], "0/content/0/media_type", "is required"),
    ([user({"type": "image", "media_type": "image/png"})], "0/content/0/base64", "is required"),
    ([user(png(media_type="image/bmp"))], "0/content/0/media_type", "must be one of: image/png, image/jpeg"),
    ([user(png(base64=""))], "0/content/0/base64", "is no PNG, JPEG, GIF or WebP image"),
    ([user(png(base64="aGVsbG8="))], "0/content/0/base64", "is no PNG, JPEG, GIF or WebP image"),
    ([user(png(media_type="image/gif"))], "0/content/0/base64", "is image/png by its content, not image/gif"),
    ([user(png(base64=TOO_LARGE))], "0/content/0/base64", "must be at most 5242880 bytes, decoded (is 5242881)"),
    ([user(*[png()] * 11), user(*[link()] * 10)], "", "must have at most 20 images, all together"),
]


@pytest.mark.parametrize(("messages", "where", "reason"), MESSAGES)
def test_messages_that_are_refused(messages: list[Any], where: str, reason: str) -> None:
    problems = invalid(GENERATE, {"messages": messages})
    assert list(problems) == [f"#/input/messages/{where}".rstrip("/")]
    assert reason in next(iter(problems.values()))


GOOD = encoded(CONTENT["image/png"] + b"x")


@pytest.mark.parametrize(
    "bad",
    [
        *("-" + GOOD[1:], "=" + GOOD[1:], GOOD + "=", GOOD[:-1], GOOD[:-2] + "A=" + "=A", GOOD[:40] + "\n" + GOOD[40:]),
        *(GOOD + "   ", GOOD[:8] + "=" + GOOD[9:], "data:image/png;base64," + GOOD, GOOD[:-4] + "가나다라", "===="),
        *(GOOD[:-4] + "\ud800AAA", "\0" * 8),
    ],
)
def test_what_is_no_base64(bad: str) -> None:
    assert image.objection("image/png", GOOD) is None
    assert "must be base64" in (image.objection("image/png", bad) or "")


TOOLS = [
    ({"tools": []}, "tools", "must have at least 1 entries"),
    ({"tool_choice": "auto"}, "tool_choice", "means nothing without tools"),
    ({"tools": [WEATHER], "tool_choice": "any"}, "tool_choice", "must be one of: auto, none, required"),
    ({"tools": [WEATHER, WEATHER]}, "tools/1/name", "another tool has the same name"),
    ({"tools": [{**WEATHER, "name": "날씨"}]}, "tools/0/name", "must match ^[A-Za-z0-9_-]{1,64}$"),
    ({"tools": [{**WEATHER, "name": "x" * 65}]}, "tools/0/name", "must match"),
    ({"tools": [{"name": "x"}]}, "tools/0/parameters", "is required"),
    ({"tools": [{**WEATHER, "strict": True}]}, "tools/0/strict", "unknown field"),
    ({"tools": [{"name": "x", "parameters": {}}]}, "tools/0/parameters/type", "must be object"),
    ({"tools": [{"name": "x", "parameters": {"type": "array"}}]}, "tools/0/parameters/type", "must be object"),
    (
        {"tools": [{"name": "x", "parameters": {"type": "object", "properties": {"a": {"type": "text"}}}}]},
        "tools/0/parameters/properties/a/type",
        "must be one of: array, boolean",
    ),
    (
        {"tools": [{"name": "x", "parameters": {"type": "object", "$schema": "https://example.com/schema"}}]},
        "tools/0/parameters/$schema",
        "not one of JSON Schema's own",
    ),
    (
        {"tools": [{"name": "x", "parameters": {"type": "object", "description": "x" * 40_000}}]},
        "tools/0/parameters",
        "must be at most 32768 bytes",
    ),
    ({"stop": ["x"] * 9}, "stop", "must have at most 8 entries (has 9)"),
    ({"stop": [""]}, "stop/0", "must not be empty"),
    ({"top_p": 2}, "top_p", "must be at most 1"),
]


@pytest.mark.parametrize(("fields", "where", "reason"), TOOLS)
def test_tools_and_settings_that_are_refused(fields: dict[str, Any], where: str, reason: str) -> None:
    for asked in ({"prompt": "x"}, {"messages": [ASKED]}):
        problems = invalid(GENERATE, {**asked, **fields})
        assert list(problems) == [f"#/input/{where}"]
        assert reason in next(iter(problems.values()))


def test_an_answer_that_fits_a_schema_has_no_beginning() -> None:
    messages = [ASKED, {"role": "assistant", "content": "{"}]
    problems = invalid(GENERATE, {"messages": messages, "schema": {"type": "object"}})
    assert list(problems) == ["#/input/messages/1/role"]


def test_all_urls_are_told_for_a_check() -> None:
    value = {"messages": [user(link("https://a.example/1"), png(), link("ftp://b")), ASKED, user(link("x"))]}
    assert list(GENERATE.urls(value)) == [
        ("#/input/messages/0/content/0/url", "https://a.example/1"),
        ("#/input/messages/0/content/2/url", "ftp://b"),
        ("#/input/messages/2/content/0/url", "x"),
    ]
    assert list(GENERATE.urls({"prompt": "http://10.0.0.1"})) == []
    assert list(registry.load().get("soften").urls({"text": "http://10.0.0.1"})) == []


CALL = ToolCall("c1", "weather", {"city": "부산"})
SCHEMA = {"type": "object", "required": ["n"]}


@pytest.mark.parametrize("reply", ["", "잠시만요."])
@pytest.mark.parametrize("more", [{}, {"schema": SCHEMA}, {"tool_choice": "required"}, {"tool_choice": "auto"}])
def test_calls_of_tools_win_over_text_and_data(reply: str, more: dict[str, Any]) -> None:
    output = GENERATE.parse(reply, {"prompt": "x", "tools": [WEATHER], **more}, (CALL,))
    assert output == {"text": reply, "tool_calls": [call()]}


def test_without_calls_the_output_is_what_it_is_without_tools() -> None:
    assert GENERATE.parse("네", {"prompt": "x", "tools": [WEATHER]}) == {"text": "네"}
    assert GENERATE.parse('{"n": 1}', {"prompt": "x", "tools": [WEATHER], "schema": SCHEMA}) == {"data": {"n": 1}}
    with pytest.raises(ReplyInvalid, match="the reply is empty"):
        GENERATE.parse("", {"prompt": "x", "tools": [WEATHER]})


def test_a_model_that_does_not_do_as_it_was_told_about_tools() -> None:
    with pytest.raises(ReplyInvalid, match="a tool must be called, and none was"):
        GENERATE.parse("네", {"prompt": "x", "tools": [WEATHER], "tool_choice": "required"})
    with pytest.raises(ReplyInvalid, match="no tool may be called, and one was"):
        GENERATE.parse("", {"prompt": "x", "tools": [WEATHER], "tool_choice": "none"}, (CALL,))
    with pytest.raises(ReplyInvalid, match="not valid Unicode"):
        GENERATE.parse("", {"prompt": "x", "tools": [WEATHER]}, (ToolCall("c1", "x", {"a": "\ud800"}),))


def test_the_output_schema_says_every_form() -> None:
    import jsonschema_rs

    schema = jsonschema_rs.validator_for(GENERATE.output_schema)
    good = [{"text": "x"}, {"data": {}}, {"text": "", "tool_calls": [call()]}]
    bad = [{}, {"text": "x", "data": {}}, {"tool_calls": [call()]}, {"text": "", "tool_calls": []}]
    assert [schema.is_valid(output) for output in good + bad] == [True] * len(good) + [False] * len(bad)


OPEN = """\
---
name: open
description: A conversation whose schema says as little as it may.
version: "1"
input:
  properties:
    messages:
      type: array
      items:
        type: object
        required: [role]
        properties:
          role: {type: string, enum: [system, user, assistant, tool]}
          content: {type: [string, array]}
    tools:
      type: array
      items:
        type: object
        required: [name, parameters]
        properties: {name: {type: string}, parameters: {type: object}}
    tool_choice: {type: string, enum: [auto, none, required]}
output: {text: text, tool_calls: tool_calls}
conversation: {messages: messages, tools: tools, tool_choice: tool_choice}
---
"""


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> list[JobType]:
    """`generate`, and a type that leaves all checks to the code."""
    return [GENERATE, load(tmp_path_factory.mktemp("open") / "open.md", OPEN)]


LOOSE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=3)
    | st.sampled_from(["text", "image", "c1", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "url", "id", "name", "arguments", "base64"]), inner, max_size=4
        )
    ),
    max_leaves=6,
)
PARTS = st.sampled_from([png(), link(), text(), text(" "), png(base64="x"), link(media_type="image/png")])
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "user", "assistant", "tool", "system"])},
    optional={
        "content": st.sampled_from(["", " ", "x", "y "]) | st.lists(PARTS | LOOSE, max_size=3) | LOOSE,
        "tool_calls": st.lists(st.sampled_from([call(), call("c2"), call(name="?")]) | LOOSE, max_size=2),
        "tool_call_id": st.sampled_from(["c1", "c2"]) | LOOSE,
    },
)


EXCHANGES = [
    [ASKED],
    [user(text(), png(), link())],
    [{"role": "assistant", "content": "네"}],
    [calls(), result()],
    [calls(call(), call("c2"), content=[text()]), result("c2", ""), {"role": "system", "content": "x"}, result()],
]


@st.composite
def conversations(draw: st.DrawFn) -> list[Any]:
    """A valid conversation, mostly; else with one message too many."""
    messages = [
        ASKED,
        *(message for some in draw(st.lists(st.sampled_from(EXCHANGES), max_size=4)) for message in some),
    ]
    for odd in draw(st.just([]) | st.lists(MESSAGE | LOOSE, max_size=1)):
        messages.insert(draw(st.integers(0, len(messages))), odd)
    return messages


@settings(max_examples=200, deadline=None)
@given(
    messages=conversations() | LOOSE,
    fields=st.fixed_dictionaries({}, optional={"tools": st.just([WEATHER]) | LOOSE, "tool_choice": LOOSE}),
)
def test_any_conversation_is_refused_or_can_be_asked(types: list[JobType], messages: Any, fields: Any) -> None:
    value = {"messages": messages, **fields}
    for made in types:
        with contextlib.suppress(errors.InvalidRequest):
            made.validate(value)
            prompt = made.render(value)
            assert prompt.messages
            assert all(turn.parts for turn in prompt.messages)
            named = [part.url for turn in prompt.messages for part in turn.parts if isinstance(part, ImageUrl)]
            assert named == [url for _, url in made.urls(value)]


ASSISTANT = CHAT.replace("enum: [user, assistant]", "enum: [user, assistant, tool]").replace(
    "output: {text: reply}\nconversation: {messages: messages}",
    "output: {text: reply, tool_calls: wants}\nconversation: {messages: messages, tools: abilities, tool_choice: pick}",
)
ABILITIES = """\
    pick: {type: string, enum: [auto, required]}
    abilities:
      type: array
      items:
        type: object
        required: [name, parameters]
        properties: {name: {type: string}, parameters: {type: object}}
"""
ASSISTANT = ASSISTANT.replace("output:", ABILITIES + "output:")


def test_a_prompt_file_of_ones_own_can_have_tools_under_its_own_names(tmp_path: Path) -> None:
    made = load(tmp_path / "x.md", ASSISTANT)
    value = {"messages": [ASKED, {**calls(), "content": ""}, result()], "abilities": [WEATHER], "pick": "required"}
    made.validate(value)
    prompt = made.render(value)
    assert (prompt.system, prompt.tool_choice, prompt.tools[0].name) == (
        "You speak ko for the shop.",
        "required",
        "weather",
    )
    assert made.parse("", value, (CALL,)) == {"reply": "", "wants": [call()]}
    assert list(invalid(made, {"messages": [ASKED], "pick": "auto"})) == ["#/input/pick"]


def test_a_file_with_a_loose_schema_still_gets_only_what_it_can_use(tmp_path: Path) -> None:
    loose = CHAT.replace("content: {type: string}", "content: {type: [string, array]}")
    made = load(tmp_path / "x.md", loose)
    for part in (1, "x", {}, {"type": "audio"}, {"type": "text", "text": 1}, {"type": "image", "url": []}):
        problems = invalid(made, {"messages": [user(part)]})
        assert all(place.startswith("#/input/messages/0/content/0") for place in problems), problems
    wrong = {"role": "assistant", "content": "x", "tool_calls": [{"id": 1}]}
    assert list(invalid(made, {"messages": [ASKED, wrong]})) == ["#/input/messages/1/tool_calls/0"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("reply, tool_calls: wants", "reply", "`tool_calls` and the `tools` of a conversation need each other"),
        ("tools: abilities, tool_choice: pick", "tool_choice: pick", "need each other"),
        (", tools: abilities, tool_choice: pick", "", "need each other"),
        ("tools: abilities", "tools: pick", "'pick' must be an input field of type array"),
        ("tool_choice: pick", "tool_choice: abilities", "'abilities' must be an input field of type string"),
        ("[auto, required]", "[auto, any]", "'pick' must be an enum of auto, none, required"),
        ("required: [name, parameters]", "required: [name]", "its items must be objects that require `name`"),
        ("parameters: {type: object}", "parameters: {type: array}", "its items must be objects that require `name`"),
        ("{type: object}}", "{type: object}, description: {}}", "`description` must be of type string"),
        ("content: {type: string}", "content: {type: object}", "its items must be objects that require `role`"),
        ("required: [role, content]", "required: [content]", "its items must be objects that require `role`"),
        ("text: reply,", "schema: {type: object},", "needs `text`"),
    ],
)
def test_prompt_files_that_are_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert ASSISTANT.count(old) == 1
    with pytest.raises(errors.ConfigurationError) as caught:
        load(tmp_path / "x.md", ASSISTANT.replace(old, new))
    assert reason in caught.value.detail


def test_a_stop_from_the_input_is_a_list_of_strings(tmp_path: Path) -> None:
    stop = "    stop: {type: array, items: {type: integer}}\noutput:"
    text = CHAT.replace("output:", stop).replace("conversation:", "settings_from: [stop]\nconversation:")
    with pytest.raises(errors.ConfigurationError, match="the items of 'stop' must be of type string"):
        load(tmp_path / "x.md", text)
