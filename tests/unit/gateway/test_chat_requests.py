"""Requests for chat completions: what becomes of each field, and what is said about those that cannot be."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.app import Gateway
from gateway.openai import problems, request
from gateway.openai.request import Asked
from jobs import errors
from jobs.job import Callback, JobError
from tests.unit.gateway.test_fuzz import THOROUGH, ask, headers, scalars, words

USER: dict[str, Any] = {"role": "user", "content": "안녕"}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"서울"}'}}
PATH = "/v1/chat/completions"
DOCS = Path(__file__).parents[3] / "docs"


def asked(**fields: Any) -> Asked:
    return Asked(msgspec.json.encode({"model": "fake/echo", "messages": [USER], **fields}))


def told(**fields: Any) -> dict[str, Any]:
    """The job's input."""
    decoded: dict[str, Any] = msgspec.json.decode(asked(**fields).job.input)
    return decoded


def test_a_plain_request_is_an_urgent_job() -> None:
    plain = asked()
    assert (plain.job.type, plain.job.model, plain.job.priority) == ("generate", "fake/echo", "high")
    assert (plain.streamed, plain.include_usage, plain.outlives_client, plain.structured) == (False,) * 4
    assert told() == {"messages": [USER]}


def test_settings_are_the_jobs() -> None:
    assert told(temperature=0, top_p=0.5, stop="a", max_tokens=5) == {
        "messages": [USER],
        "temperature": 0,
        "top_p": 0.5,
        "stop": ["a"],
        "max_tokens": 5,
    }
    assert told(stop=["a", "b"], max_tokens=5, max_completion_tokens=6)["max_tokens"] == 6
    assert told(stop=[], temperature=None, tools=[], tool_choice="auto", response_format={"type": "text"}) == {
        "messages": [USER]
    }


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "developer", "content": "Be kind."}, {"role": "system", "content": "Be kind."}),
        ({"role": "system", "content": " "}, None),
        ({"role": "assistant", "content": ""}, None),
        ({"role": "assistant", "content": None, "refusal": "No."}, {"role": "assistant", "content": "No."}),
        ({"role": "assistant", "content": "", "tool_calls": []}, None),
        (
            {"role": "assistant", "content": None, "tool_calls": [CALL], "annotations": [], "audio": None},
            {
                "role": "assistant",
                "tool_calls": [{"id": "c1", "name": "weather", "arguments": {"city": "서울"}}],
            },
        ),
        (
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "맑음"}], "name": "x"},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "맑음"}]},
        ),
        ({"role": "tool", "tool_call_id": "c1", "content": ""}, {"role": "tool", "tool_call_id": "c1", "content": ""}),
        (
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": " "},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "high"}},
                    {"type": "image_url", "image_url": {"url": "DATA:image/PNG;charset=x;base64,AAAA"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "image", "url": "https://example.com/a.png"},
                    {"type": "image", "media_type": "image/png", "base64": "AAAA"},
                ],
            },
        ),
    ],
)
def test_messages(message: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert told(messages=[message, USER])["messages"] == [*([expected] if expected else []), USER]


def test_tools_and_the_one_that_is_chosen() -> None:
    bare = {"type": "function", "function": {"name": "other", "strict": True}}
    tools = [bare, TOOL]
    assert told(tools=tools)["tools"] == [
        {"name": "other", "parameters": {"type": "object", "properties": {}}},
        {"name": "weather", "parameters": {"type": "object"}},
    ]
    chosen = told(tools=tools, tool_choice={"type": "function", "function": {"name": "weather"}})
    assert ([tool["name"] for tool in chosen["tools"]], chosen["tool_choice"]) == (["weather"], "required")
    assert told(tools=tools, tool_choice="none")["tool_choice"] == "none"


def test_forms_of_answers() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    assert told(response_format=form)["schema"] == schema
    assert told(response_format={"type": "json_object"})["schema"] == {"type": "object"}
    assert asked(response_format=form).structured


@pytest.mark.parametrize(
    "value",
    [
        "https://example.com/hook",
        '{"url": "https://example.com/hook"}',
        {"url": "https://example.com/hook"},
    ],
    ids=str,
)
def test_a_callback_is_taken_out_of_the_metadata(value: Any) -> None:
    found = asked(metadata={"ringback_callback": value, "ticket": "4711", "수": 1})
    assert found.job.callback == Callback(url="https://example.com/hook")
    assert msgspec.json.decode(found.job.metadata) == {"ticket": "4711", "수": 1}
    assert found.outlives_client


def test_background() -> None:
    found = asked(background=True, fallbacks=["fake/b"])
    assert (found.outlives_client, found.job.priority, found.job.fallbacks) == (True, "normal", ("fake/b",))


@pytest.mark.parametrize("name", request.IGNORED)
def test_what_is_ignored_may_be_anything(name: str) -> None:
    for value in (None, True, "x", 1, {"a": [1]}):
        assert told(**{name: value}) == {"messages": [USER]}


@pytest.mark.parametrize("name", request.DEFAULTS)
def test_what_would_change_the_answer_is_refused_by_name(name: str) -> None:
    for harmless in (None, *request.DEFAULTS[name]):
        assert told(**{name: harmless}) == {"messages": [USER]}
    for value in (2, True, "x", ["audio"], {"50256": -100}, 0.5):
        with pytest.raises(request.UnsupportedParameter) as caught:
            asked(**{name: value})
        fault = problems.of_error(caught.value)
        assert (fault.status, fault.detail.param, fault.detail.code) == (400, name, "unsupported_parameter")


WRONG: list[tuple[dict[str, Any], str | None]] = [
    ({"messages": []}, "messages"),
    ({"messages": None}, "messages"),
    ({"model": ""}, "model"),
    ({"model": 5}, "model"),
    ({"top_k": 5}, "top_k"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": 3}, "temperature"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_completion_tokens": 0}, "max_completion_tokens"),
    ({"stop": [1]}, "stop[0]"),
    ({"fallbacks": ["fake/x"] * 9}, "fallbacks"),
    ({"background": "x"}, "background"),
    ({"metadata": "x"}, "metadata"),
    ({"metadata": {"a": "x" * 20_000}}, "metadata"),
    ({"metadata": {"ringback_callback": "ftp://example.com"}}, "metadata.ringback_callback"),
    ({"metadata": {"ringback_callback": "{"}}, "metadata.ringback_callback"),
    ({"metadata": {"ringback_callback": 7}}, "metadata.ringback_callback"),
    ({"metadata": {"ringback_callback": '{"url": "https://example.com", "x": 1}'}}, "metadata.ringback_callback"),
    ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"content": "x"}]}, "messages[0].role"),
    ({"messages": [USER, {"role": "user", "content": " "}]}, "messages[1].content"),
    ({"messages": [{"role": "system", "content": ""}, {"role": "user", "content": " "}]}, "messages[1].content"),
    ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "system", "content": [{"type": "image_url"}]}, USER]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png,x"}}]}]},
        "messages[0].content[0].image_url.url",
    ),
    (
        {
            "messages": [
                {"role": "system", "content": ""},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": ""},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,###"}},
                    ],
                },
            ]
        },
        "messages[1].content[1].image_url.url",
    ),
    (
        {
            "messages": [
                USER,
                {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "a", "arguments": "["}}]},
            ]
        },
        "messages[1].tool_calls[0].function.arguments",
    ),
    (
        {"messages": [USER, {"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}]},
        "messages[1].tool_calls[0].type",
    ),
    ({"messages": [USER, {"role": "tool", "tool_call_id": "x", "content": "y"}]}, "messages[1].tool_call_id"),
    ({"messages": [{**USER, "audio": {"id": "x"}}]}, "messages[0].audio"),
    ({"tools": [{"type": "custom", "function": {"name": "x"}}]}, "tools[0].type"),
    ({"tools": [{"type": "function", "function": {"name": "weather!"}}]}, "tools[0].function.name"),
    (
        {
            "tools": [TOOL, {"type": "function", "function": {"name": "x", "parameters": {"type": "array"}}}],
            "tool_choice": {"type": "function", "function": {"name": "x"}},
        },
        "tools[1].function.parameters.type",
    ),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}},
        "response_format.json_schema.schema.type",
    ),
]


async def test_what_is_wrong_is_named(gateway: Gateway) -> None:
    for fields, param in WRONG:
        body = msgspec.json.encode({"model": "fake/echo", "messages": [USER], **fields})
        answer = await ask(gateway, "POST", PATH, body=body)
        error = msgspec.json.decode(answer.body)["error"]
        assert answer.status == 400, (fields, error)
        assert error["param"] == param, fields
        assert error["type"] == "invalid_request_error", fields
        assert error["message"], fields


async def test_bodies_that_are_no_requests(gateway: Gateway) -> None:
    for body in (b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000, b'{"model":"\\ud83d"}'):
        answer = await ask(gateway, "POST", PATH, body=body)
        assert answer.status == 400, body[:20]
        assert msgspec.json.decode(answer.body)["error"]["type"] == "invalid_request_error", body[:20]


async def test_a_body_that_is_too_large(gateway: Gateway) -> None:
    answer = await ask(gateway, "POST", PATH, body=b" " * (4 * 1024 * 1024 + 1))
    assert (answer.status, msgspec.json.decode(answer.body)["error"]["code"]) == (413, "body_too_large")


names = st.sampled_from([*request.ChatRequest.__struct_fields__, "role", "content", "type", "text", "image_url", "url"])
values = st.recursive(
    scalars | st.sampled_from(["user", "tool", "assistant", "text", "image_url", "function", "data:,", "{}"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def completions(draw: st.DrawFn) -> dict[str, Any]:
    """A request with none, one or two things wrong."""
    body: dict[str, Any] = {
        "model": draw(st.sampled_from(["fake/echo", "offline/rules", "x"])),
        "messages": draw(st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": words}), min_size=1)),
        "tools": draw(st.sampled_from([None, [TOOL]])),
    }
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 3]))):
        place = draw(st.sampled_from([body, *body["messages"]] if isinstance(body.get("messages"), list) else [body]))
        if isinstance(place, dict):
            place[draw(names)] = draw(values)
    return body


@THOROUGH
@given(
    body=(completions() | values).map(lambda value: json.dumps(value).encode(errors="surrogatepass")) | st.binary(),
    sent=headers,
)
async def test_whatever_comes_gets_an_honest_answer(gateway: Gateway, body: bytes, sent: dict[bytes, bytes]) -> None:
    """The client is gone once it has sent everything: what is accepted is cancelled, and has no answer."""
    answer = await ask(gateway, "POST", PATH, sent=sent, body=body)
    if answer.status:
        assert 400 <= answer.status < 500, answer
        error = msgspec.json.decode(answer.body)["error"]
        assert error["message"]
        assert error["type"]


def documented() -> dict[str, set[int]]:
    """The statuses that docs/openai.md gives each code."""
    found: dict[str, set[int]] = {}
    rows = re.findall(r"^\| ([\d, ]+) \| (.*) \|$", (DOCS / "openai.md").read_text(), re.MULTILINE)
    for statuses, cell in rows:
        groups = cell.split(" · ") if "," in statuses else [cell]
        for status, group in zip(statuses.split(", "), groups, strict=True):
            for code in re.findall(r"`([a-z_]+)`", group):
                found.setdefault(code, set()).add(int(status))
    return found


def failures(kind: type[errors.RingbackError] = errors.RingbackError) -> set[str]:
    """The codes of all errors that a job can end with."""
    inner = [code for one in kind.__subclasses__() for code in failures(one)]
    return {*inner, *([kind.code] if issubclass(kind, errors.JobFailure) else [])}


def test_every_error_of_a_job_has_the_status_that_is_documented() -> None:
    for module in ("providers.routing.router", "workers.answering", "workers.images"):
        importlib.import_module(module)  # where errors of jobs are defined
    known = documented()
    codes = failures() - {"internal_error", "output_truncated"}
    assert {"provider_rate_limited", "all_targets_failed", "image_unavailable", "circuit_open"} <= codes
    for code in codes:
        fault = problems.of_job("failed", JobError(code=code, message="x"))
        assert fault.status in known.get(str(fault.detail.code), {502}), code
    again = problems.of_job("failed", JobError(code="all_targets_failed", message="x", retryable=True))
    assert again.status == 503


def test_a_providers_pause_is_passed_on() -> None:
    error = JobError(code="provider_rate_limited", message="x", retryable=True, retry_after_s=7.2)
    assert problems.of_job("failed", error).headers["Retry-After"] == "8"
    assert "Retry-After" not in problems.of_job("failed", JobError(code="provider_rate_limited", message="x")).headers


def test_every_error_of_a_request_has_the_status_that_is_documented() -> None:
    known = documented()
    for kind in (
        *(errors.StoreUnavailable, errors.ShuttingDown, errors.QueueFull, errors.Unauthorized, errors.Forbidden),
        *(errors.RateLimited, errors.TooManyQueued, errors.BudgetExhausted, errors.BodyTooLarge, errors.RingbackError),
        *(errors.InvalidRequest, errors.InvalidJson, errors.UnknownModel, errors.ProviderDisabled),
        *(errors.CallbackNotAllowed, errors.UnknownDestination, errors.IdempotencyKeyReused),
        request.UnsupportedParameter,
    ):
        fault = problems.of_error(kind())
        assert fault.status in known[str(fault.detail.code)], kind


def test_every_field_is_documented() -> None:
    text = (DOCS / "openai.md").read_text()
    for name in request.ChatRequest.__struct_fields__:
        assert f"`{name}" in text, name
