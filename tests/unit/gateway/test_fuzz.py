"""Whatever comes in, nothing but an honest answer goes out: no 5xx but 503, and every error is a problem."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.app import Gateway
from prompts import registry

THOROUGH = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TYPES = list(registry.load(None).types)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["fake/echo", "offline/rules", "https://example.com", "job.failed", "high", "ko", "bullets", ""])
)
names = st.text(max_size=8) | st.sampled_from(
    [
        *("type", "input", "model", "fallbacks", "callback", "metadata", "priority", "deadline", "url", "events"),
        *(
            "text",
            "prompt",
            "messages",
            "role",
            "content",
            "schema",
            "properties",
            "total_s",
            "start_s",
            "$ref",
            "$defs",
        ),
    ]
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=12
)
words = st.text(min_size=1, max_size=30)
seconds = st.floats(0.001, 86_400) | st.integers(1, 86_400)
rights = {
    "metadata": st.dictionaries(names, values, max_size=5),
    "model": st.sampled_from(["fake/echo", "offline/rules", "fake/x?text=a"]),
    "fallbacks": st.lists(st.sampled_from(["fake/echo", "offline/rules"]), max_size=8),
    "callback": st.fixed_dictionaries({"url": st.sampled_from(["https://example.com", "http://example.com:8080/a?b"])}),
    "priority": st.sampled_from(["high", "normal", "low"]),
    "deadline": st.dictionaries(st.sampled_from(["start_s", "first_token_s", "stall_s", "total_s"]), seconds),
}
"""What each field may be, mostly."""


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request with none, one or two things wrong."""
    name = draw(st.sampled_from(TYPES))
    body = {"type": name, "input": {"prompt" if name == "generate" else "text": draw(words)}}
    body |= draw(st.fixed_dictionaries({}, optional=rights))
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        place = draw(st.sampled_from([body, *(part for part in body.values() if isinstance(part, dict))]))
        place[draw(st.sampled_from(list(place) or ["x"]) | names)] = draw(values)
    return body


header_values = st.binary(max_size=40).map(lambda raw: raw.translate(None, b"\r\n\0")) | st.sampled_from(
    [b"wait=0", b"wait=1e9", b"0", b"1", b"99999999999999999999", b"Bearer x", b"-1", b"\xb2", b"application/json"]
)
headers = st.dictionaries(
    st.sampled_from(
        [
            b"idempotency-key",
            b"prefer",
            b"last-event-id",
            b"authorization",
            b"content-type",
            b"content-length",
            b"expect",
        ]
    ),
    header_values,
    max_size=4,
)


class Answer(msgspec.Struct):
    """What the app sent."""

    status: int = 0
    headers: dict[bytes, bytes] = {}
    body: bytes = b""


async def ask(
    gateway: Gateway,
    method: str,
    path: str,
    *,
    query: bytes = b"",
    sent: dict[bytes, bytes] | None = None,
    body: bytes = b"",
) -> Answer:
    """One request straight into the app; the client is gone once it has sent everything."""
    answer = Answer()
    coming: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return coming.pop() if coming else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status, answer.headers = message["status"], dict(message["headers"])
        else:
            answer.body += message.get("body", b"")

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(errors="replace"),
        "root_path": "",
        "query_string": query,
        "headers": list((sent or {}).items()),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await gateway.app(scope, receive, send)  # type: ignore[arg-type]  # litestar has its own names for these types
    return answer


def check(answer: Answer) -> None:
    """Asserts that the answer is an honest one."""
    assert answer.status < 500, answer.body
    assert answer.status >= 200
    for name, value in answer.headers.items():
        assert b"\n" not in name + value
        assert b"\r" not in name + value
    if answer.status >= 400:
        assert answer.headers[b"content-type"] == b"application/problem+json"
        problem = msgspec.json.decode(answer.body)
        assert problem["status"] == answer.status
        assert problem["code"]
        assert len(answer.body) < 20_000


@THOROUGH
@given(body=requests(), sent=headers)
async def test_requests_that_are_almost_right(gateway: Gateway, body: Any, sent: dict[bytes, bytes]) -> None:
    answer = await ask(gateway, "POST", "/v1/jobs", sent=sent, body=_json(body))

    check(answer)
    if answer.status in (200, 202):
        job = msgspec.json.decode(answer.body)
        read = await ask(gateway, "GET", f"/v1/jobs/{job['id']}")
        assert msgspec.json.decode(read.body) == job
        for query in (b"limit=3", b"metadata.text=x&limit=200", b"type=" + job["type"].encode()):
            check(await ask(gateway, "GET", "/v1/jobs", query=query))


def _json(value: Any) -> bytes:
    """JSON of anything, integers of any size included."""
    return json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")


@THOROUGH
@given(body=st.binary(max_size=200) | st.text(max_size=100).map(str.encode) | values.map(_json), sent=headers)
async def test_bodies_of_any_kind(gateway: Gateway, body: bytes, sent: dict[bytes, bytes]) -> None:
    check(await ask(gateway, "POST", "/v1/jobs", sent=sent, body=body))


@pytest.fixture
async def job_id(gateway: Gateway) -> str:
    body = b'{"type":"generate","input":{"prompt":"x"},"model":"fake/echo","metadata":{"a":1}}'
    return str(msgspec.json.decode((await ask(gateway, "POST", "/v1/jobs", body=body)).body)["id"])


@THOROUGH
@given(
    method=st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"]),
    path=st.text(max_size=30)
    | st.tuples(
        st.sampled_from(["/v1/jobs", "/v1/jobs/{id}", "/v1/job-types", "/health", "/openapi.json", "/docs", ""]),
        st.sampled_from(["", "/", "/cancel", "/events", "/deliveries", "/ready", "/live", "//"]) | st.text(max_size=12),
    ).map("".join),
    query=st.binary(max_size=40)
    | st.lists(
        st.tuples(
            st.sampled_from(["limit", "cursor", "status", "type", "session_id", "metadata.a", "last_event_id", "x"]),
            st.sampled_from(
                ["", "1", "0", "-1", "queued", "generate", "%00", "%ff", "%ED%A0%80", "²", "job_", "9" * 30]
            ),
        ).map("=".join),
        max_size=4,
    ).map(lambda pairs: "&".join(pairs).encode()),
    sent=headers,
)
async def test_paths_and_queries_of_any_kind(
    gateway: Gateway, job_id: str, method: str, path: str, query: bytes, sent: dict[bytes, bytes]
) -> None:
    path = "/" + path.replace("{id}", job_id).lstrip("/")

    check(await ask(gateway, method, path, query=query, sent=sent))
