"""Bad input: each a clear 4xx that names the field, never a job, never a 5xx."""

import socket
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.conftest import Ringback
from tests.integration.gateway.conftest import Gateways, post, submit
from tests.integration.gateway.test_contract import check_problem
from tests.stack import Reply, Stack, request

GOOD: dict[str, Any] = {"type": "summarize", "input": {"text": "x"}, "model": "fake/echo"}
LIMIT = 4 * 1024 * 1024


def check_field(reply: Reply, pointer: str, code: str = "validation_error") -> str:
    """Asserts that the answer is 422 for that field; what it says about it."""
    problem = check_problem(reply, 422, code)
    assert pointer in [error["pointer"] for error in problem["errors"]], problem
    return str(next(error["detail"] for error in problem["errors"] if error["pointer"] == pointer))


def jobs_of(url: str) -> int:
    """How many of the latest jobs there are, to see that none was made."""
    return len(request(f"{url}/v1/jobs?limit=200").json["items"])


@pytest.mark.parametrize(
    ("change", "pointer", "says"),
    [
        ({"type": "sumarize"}, "#/type", "summarize"),
        ({"type": ""}, "#/type", ""),
        ({"type": "x" * 65}, "#/type", "64"),
        ({"type": None}, "#/type", "str"),
        ({"type": 5}, "#/type", "str"),
        ({"type": "요약"}, "#/type", "요약"),
        ({"input": None}, "#/input", "object"),
        ({"input": []}, "#/input", "object"),
        ({"input": "text"}, "#/input", "object"),
        ({"input": {}}, "#/input/text", "required"),
        ({"input": {"text": ""}}, "#/input/text", "blank"),
        ({"input": {"text": " \n\t "}}, "#/input/text", "blank"),
        ({"input": {"text": "\u3000"}}, "#/input/text", "blank"),
        ({"input": {"text": None}}, "#/input/text", "string"),
        ({"input": {"text": 5}}, "#/input/text", "string"),
        ({"input": {"text": ["x"]}}, "#/input/text", "string"),
        ({"input": {"text": "가" * 2_000_000 + "a"}}, None, "bytes"),
        ({"input": {"text": "x" * 2_000_000}}, "#/input/text", "200000"),
        ({"input": {"text": "x", "txt": "y"}}, "#/input/txt", "language"),
        ({"input": {"text": "x", "a/b~c d": "y"}}, "#/input/a~1b~0c%20d", "unknown"),
        ({"input": {"text": "x", "max_sentences": "3"}}, "#/input/max_sentences", "integer"),
        ({"input": {"text": "x", "max_sentences": 1.5}}, "#/input/max_sentences", "integer"),
        ({"input": {"text": "x", "max_sentences": 0}}, "#/input/max_sentences", "at least 1"),
        ({"input": {"text": "x", "max_sentences": True}}, "#/input/max_sentences", "integer"),
        ({"input": {"text": "x", "language": "klingon"}}, "#/input/language", "ko"),
        ({"modell": "fake/echo"}, "#/modell", "known"),
        ({"model": ""}, "#/model", ""),
        ({"model": 5}, "#/model", "str"),
        ({"model": "x" * 257}, "#/model", "256"),
        ({"fallbacks": "fake/echo"}, "#/fallbacks", "array"),
        ({"fallbacks": [5]}, "#/fallbacks/0", "str"),
        ({"fallbacks": ["fake/echo"] * 9}, "#/fallbacks", "8"),
        ({"callback": "http://example.com"}, "#/callback", "object"),
        ({"callback": {}}, "#/callback", "exactly one of url, slack and database"),
        ({"callback": {"url": None}}, "#/callback/url", "str"),
        ({"callback": {"url": ""}}, "#/callback/url", ""),
        ({"callback": {"url": "https://example.com/" + "x" * 2048}}, "#/callback/url", "2048"),
        ({"callback": {"url": "https://example.com", "secret": "x"}}, "#/callback/secret", "known"),
        ({"callback": {"url": "https://example.com", "events": []}}, "#/callback/events", ">= 1"),
        ({"callback": {"url": "https://example.com", "events": None}}, "#/callback/events", "array"),
        ({"callback": {"url": "https://example.com", "events": ["job.done"]}}, "#/callback/events/0", "job.succeeded"),
        ({"callback": {"url": "https://example.com", "events": ["text.delta"]}}, "#/callback/events/0", "job.failed"),
        ({"metadata": []}, "#/metadata", "object"),
        ({"metadata": "x"}, "#/metadata", "object"),
        ({"metadata": None}, "#/metadata", "object"),
        ({"metadata": {"x": "y" * 16_384}}, "#/metadata", "16384"),
        ({"metadata": {"가": "나" * 5_500}}, "#/metadata", "16384"),
        ({"priority": "urgent"}, "#/priority", "high, normal, low"),
        ({"priority": 1}, "#/priority", "str"),
        ({"priority": None}, "#/priority", "str"),
        ({"deadline": 30}, "#/deadline", "object"),
        ({"deadline": {"total": 3}}, "#/deadline/total", "known"),
        ({"deadline": {"total_s": 0}}, "#/deadline/total_s", "> 0"),
        ({"deadline": {"start_s": -1}}, "#/deadline/start_s", "> 0"),
        ({"deadline": {"stall_s": 1e300}}, "#/deadline/stall_s", "86400"),
        ({"deadline": {"first_token_s": "8"}}, "#/deadline/first_token_s", "float"),
        ({"deadline": {"total_s": True}}, "#/deadline/total_s", "float"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_field_is_named(gateways: Gateways, change: dict[str, Any], pointer: str | None, says: str) -> None:
    before = jobs_of(gateways.url)

    reply = submit(gateways.url, **GOOD | change)

    if pointer is None:
        assert says in check_problem(reply, 413, "body_too_large")["detail"]
    else:
        code = "unknown_job_type" if reply.json["code"] == "unknown_job_type" else "validation_error"
        assert says in check_field(reply, pointer, code)
    assert jobs_of(gateways.url) == before


@pytest.mark.parametrize("name", ["type", "input"])
def test_a_missing_field_is_named(gateways: Gateways, name: str) -> None:
    body = {key: value for key, value in GOOD.items() if key != name}

    assert "required" in check_field(post(gateways.url, msgspec.json.encode(body)), f"#/{name}")


@pytest.mark.parametrize("body", [b"[]", b"[" * 1_000_000, b'"x"', b"null", b"5", b"true"])
def test_what_is_no_object_is_refused(gateways: Gateways, body: bytes) -> None:
    assert "object" in check_field(post(gateways.url, body), "#")


@pytest.mark.parametrize(
    "model",
    ["gpt-4o", "fake", "fake/", "/echo", "bedrocks/x", "Fake/echo", "offline/gpt", "fast", "../x", "fake\u0000/echo"],
)
def test_an_unknown_model_is_named(gateways: Gateways, model: str) -> None:
    says = check_field(submit(gateways.url, model=model), "#/model", "unknown_model")
    assert "offline/" in says, "and so is what is known"
    check_field(submit(gateways.url, fallbacks=["fake/echo", model]), "#/fallbacks/1", "unknown_model")


@pytest.mark.parametrize(
    ("provider", "variable"),
    [
        ("bedrock", "AWS_ACCESS_KEY_ID"),
        ("gemini", "GEMINI_API_KEY"),
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("openai", "OPENAI_API_KEY"),
    ],
)
def test_a_provider_without_key_is_refused_with_the_variable_that_it_lacks(
    gateways: Gateways, provider: str, variable: str
) -> None:
    says = check_field(submit(gateways.url, model=f"{provider}/some-model"), "#/model", "provider_disabled")
    assert variable in says
    check_field(submit(gateways.url, fallbacks=[f"{provider}/x"]), "#/fallbacks/0", "provider_disabled")


@pytest.mark.parametrize(
    "url",
    [
        "example.com/hook",
        "//example.com/hook",
        "ftp://example.com",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http://",
        "https:///path",
        "https://user:password@example.com/",
        "https://user@example.com/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:port/",
        "https://exa mple.com/",
        "https://example.com/\r\nHost: internal",
        "https://[::1",
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://100.64.0.1/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://[::]/",
        "http://[fe80::1%25eth0]/",
        "http://[fc00::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::a00:1]/",
        "http://[2002:a00:1::]/",
        "http://0x0a000001/",
        "http://167772161/",
        "http://012.0.0.1/",
        "http://10.1/",
        "http://10.0.0.1./",
        "http://１０.0.0.1/",
        "http://⑩.0.0.1/",
    ],
)
def test_a_callback_that_cannot_or_must_not_be_called_is_refused(gateways: Gateways, url: str) -> None:
    """Loopback itself is allowed to these gateways."""
    check_field(submit(gateways.url, callback={"url": url}), "#/callback/url", "callback_not_allowed")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost:8080/",
        "http://LOCALHOST./",
        "http://a.localhost/",
        "http://[::1]/",
        "http://2130706433/",
        "http://127.1/",
    ],
)
def test_a_loopback_callback_is_refused_unless_allowed(gateways: Gateways, strict: str, url: str) -> None:
    says = check_field(submit(strict, callback={"url": url}), "#/callback/url", "callback_not_allowed")
    assert "RINGBACK_CALLBACK_ALLOW" in says
    expected = 422 if "[" in url else 202  # allowed is 127.0.0.0/8
    assert submit(gateways.url, callback={"url": url}).status == expected


@pytest.fixture(scope="module")
def strict(gateways: Gateways) -> str:
    """A gateway that allows no private address."""
    return gateways.gateway(RINGBACK_CALLBACK_ALLOW="")


class TestJson:
    """Bodies that are not the JSON they should be."""

    @pytest.mark.parametrize(
        ("body", "says"),
        [
            (b"", "empty"),
            (b"  \n", "empty"),
            (b"{", "truncated"),
            (b'{"type":"summarize","input":{"text":"x"}', "truncated"),
            (b'{"type":"summarize","input":{"text":"x"}} x', "trailing"),
            (b'{"type":"summarize","input":{"text":"x"}}{}', "trailing"),
            (b'{"type":"summarize","input":{"text":NaN}}', "invalid"),
            (b'{"type":"summarize","input":{"text":-Infinity}}', "invalid"),
            (b'{"type":"summarize","input":{"text":01}}', "JSON"),
            (b"{'type':'summarize'}", "JSON"),
            (b'{"type":"summarize",}', "JSON"),
            (b'{"type":"summarize"/*x*/}', "JSON"),
            (b'{"type":"summarize","input":{"text":"a\nb"}}', "JSON"),
            (b'{"type":"summarize","input":{"text":"\\x41"}}', "JSON"),
            (b'{"type":"summarize","input":{"text":"\\ud83d"}}', "surrogate"),
            (b'{"type":"summarize","input":{"text":"\\ud83d more"}}', "surrogate"),
            (b'{"type":"summarize","input":{"text":"\\ude47"}}', "surrogate"),
            (b'{"type":"summarize","input":{"\\ud83d":"x"}}', "surrogate"),
            (b'{"type":"summarize","input":{"text":"x"},"metadata":{"a":"\\ud83d"}}', "surrogate"),
            (b'\xef\xbb\xbf{"type":"summarize","input":{"text":"x"}}', "byte 0"),
            (b'{"type":"summarize","input":{"text":"\xff"}}', "UTF-8"),
            (b'{"type":"summarize","input":{"text":"\xed\xa0\xbd"}}', "UTF-8"),
            (b'{"type":"summarize","input":{"text":"\xc0\x80"}}', "UTF-8"),
            ("안녕하세요".encode("euc-kr"), "UTF-8"),
            (msgspec.json.encode(GOOD).decode().encode("utf-16"), "UTF-8"),
            (msgspec.json.encode(GOOD).decode().encode("utf-16-le"), "JSON"),
            (b"\x00" * 100, "JSON"),
            (b'{"type":"summarize","input":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested"),
            (b'{"type":"summarize","input":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "nested"),
            (b"type=summarize&text=x", "JSON"),
        ],
        ids=lambda value: repr(value)[:60],
    )
    def test_what_is_not_json_is_400(self, gateways: Gateways, body: bytes, says: str) -> None:
        reply = post(gateways.url, body)

        assert says in check_problem(reply, 400, "invalid_json")["detail"]

    @pytest.mark.parametrize("field", ["input", "metadata"])
    @pytest.mark.parametrize("number", [b"1e999", b"-1e999"])
    def test_numbers_that_no_one_can_hold_are_refused(self, gateways: Gateways, field: str, number: bytes) -> None:
        body = b'{"type":"generate","input":{"prompt":"x"},"%b":{"prompt":%b}}' % (field.encode(), number)

        check_field(post(gateways.url, body), f"#/{field}")

    @pytest.mark.parametrize("field", ["input", "metadata"])
    @pytest.mark.parametrize("depth", [101, 250, 500, 900, 960])
    def test_deep_nesting_is_refused(self, ringback: Ringback, field: str, depth: int) -> None:
        deep = b'{"schema":' + b'{"a":' * depth + b"1" + b"}" * depth + b',"prompt":"x"}'
        body = b'{"type":"generate","model":"fake/echo","input":{"prompt":"x"},"%b":%b}' % (field.encode(), deep)

        problem = check_problem(post(ringback.url, body), 422, "validation_error")
        assert problem["errors"][0]["pointer"].startswith(f"#/{field}")

    def test_nesting_as_deep_as_allowed_comes_through(self, ringback: Ringback) -> None:
        metadata = b'{"a":' * 100 + b"1" + b"}" * 100
        body = b'{"type":"generate","model":"fake/echo","input":{"prompt":"x"},"metadata":%b}' % metadata

        reply = post(ringback.url, body, {"Prefer": "wait=20"})

        assert (reply.status, reply.json["status"]) == (200, "succeeded")
        assert metadata in reply.body
        assert request(f"{ringback.url}/v1/jobs?limit=5&metadata.b=1").status == 200
        assert metadata in request(f"{ringback.url}/v1/jobs?limit=5&type=generate").body

    def test_the_last_of_equal_keys_counts(self, gateways: Gateways) -> None:
        body = b'{"type":"x","type":"generate","input":5,"input":{"prompt":"a","prompt":"b"},"metadata":{"a":1,"a":2}}'

        reply = post(gateways.url, body)

        assert (reply.status, reply.json["type"]) == (202, "generate")
        assert reply.json["input"] == {"prompt": "b"}

    @pytest.mark.parametrize(
        "text", ["a\x00b", "\x01\x1f\x7f\x85\u2028\u2029", "\ufeffx", "👨‍👩‍👧‍👦", "e\u0301", "\uffff"]
    )
    def test_odd_but_legal_text_comes_through(self, ringback: Ringback, text: str) -> None:
        reply = submit(ringback.url, input={"prompt": text}, metadata={text: text}, headers={"Prefer": "wait=20"})

        assert (reply.status, reply.json["status"]) == (200, "succeeded")
        assert reply.json["output"] == {"text": text}
        assert reply.json["metadata"] == {text: text}
        events = request(f"{ringback.url}{reply.json['links']['events']}").body.decode()
        assert events.count("event: job.succeeded") == 1

    @pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "text/plain", ""])
    def test_the_body_is_json_whatever_it_is_called(self, gateways: Gateways, content_type: str) -> None:
        body = msgspec.json.encode(GOOD)

        assert post(gateways.url, body, {"content-type": content_type}).status == 202


class TestSize:
    """Bodies at and over the limit."""

    def body(self, size: int) -> bytes:
        empty = b'{"type":"generate","input":{"prompt":"x"},"model":"%b"}'
        return empty % (b"x" * (size - len(empty) + 2))

    def test_a_body_at_the_limit_is_read(self, gateways: Gateways) -> None:
        check_field(post(gateways.url, self.body(LIMIT)), "#/model")

    @pytest.mark.parametrize("size", [LIMIT + 1, 3 * LIMIT])
    def test_a_body_over_the_limit_is_413(self, gateways: Gateways, size: int) -> None:
        problem = check_problem(post(gateways.url, self.body(size)), 413, "body_too_large")

        assert str(LIMIT) in problem["detail"]

    def test_a_chunked_body_over_the_limit_is_413(self, gateways: Gateways) -> None:
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        head = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"

        answer = exchange(gateways.url, head + chunk * 80 + b"0\r\n\r\n")

        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"body_too_large" in answer

    def test_a_chunked_body_without_end_is_cut_off(self, gateways: Gateways) -> None:
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        head = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"

        assert 4 < flood(gateways.url, head, chunk) < 200

    def test_who_asks_first_need_not_send_it(self, gateways: Gateways) -> None:
        head = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n"

        answer = exchange(gateways.url, head + b"Connection: close\r\n\r\n")

        assert answer.startswith(b"HTTP/1.1 413 ")

    def test_a_small_chunked_body_is_a_job(self, gateways: Gateways) -> None:
        body = msgspec.json.encode(GOOD)
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
        head = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"

        assert exchange(gateways.url, head + chunks + b"0\r\n\r\n").startswith(b"HTTP/1.1 202 ")

    def test_the_limit_can_be_set(self, own_stack: Stack) -> None:
        url = own_stack.gateway(RINGBACK_MAX_BODY_BYTES="1000")

        assert post(url, msgspec.json.encode(GOOD)).status == 202
        assert "1000" in check_problem(post(url, self.body(1001)), 413, "body_too_large")["detail"]


class TestHeaders:
    """Headers that cannot be used."""

    @pytest.mark.parametrize("key", ["", "k" * 256, "a\tb", "키".encode().decode("latin-1"), "a\xa0b"])
    def test_an_idempotency_key_that_is_none(self, gateways: Gateways, key: str) -> None:
        says = check_field(submit(gateways.url, headers={"Idempotency-Key": key}), "header:Idempotency-Key")
        assert "255" in says


class TestWire:
    """What is barely HTTP."""

    @pytest.mark.parametrize(
        "request_",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"GET\r\n\r\n",
            b"FOO / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
            b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
            b"POST /v1/jobs HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST /v1/jobs HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST /v1/jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        ],
        ids=repr,
    )
    def test_what_cannot_be_understood_is_400_or_dropped(self, gateways: Gateways, request_: bytes) -> None:
        answer = exchange(gateways.url, request_)

        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"application/problem+json" in answer

    def test_headers_without_end_are_refused(self, gateways: Gateways) -> None:
        assert flood(gateways.url, b"GET / HTTP/1.1\r\nX: ", b"x" * 65536) < 200
        assert request(f"{gateways.url}/health/live").status == 200

    @pytest.mark.parametrize("pieces", [1, 2, 40])
    def test_an_offer_of_http_2_loses_nothing(self, gateways: Gateways, pieces: int) -> None:
        """As Java's HttpClient makes it with its first request, body and all."""
        body = msgspec.json.encode(GOOD)
        wire = (
            b"POST /v1/jobs HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: %d\r\nHost: x\r\n"
            b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n"
            b"User-Agent: Java-http-client/21\r\nContent-Type: application/json\r\n\r\n%b" % (len(body), body)
        )
        follow_up = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        with connected(gateways.url) as client:
            size = -(-len(wire) // pieces)
            for start in range(0, len(wire), size):
                client.sendall(wire[start : start + size])
            answers = client.recv(65536)
            client.sendall(follow_up)
            answers += received(client)
        assert answers.startswith(b"HTTP/1.1 202 ")
        assert answers.count(b"HTTP/1.1 200 ") == 1, "the connection goes on in HTTP/1.1"

    def test_an_offer_of_a_websocket_where_there_is_none_is_a_plain_request(self, gateways: Gateways) -> None:
        head = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n"

        assert exchange(gateways.url, head).startswith(b"HTTP/1.1 200 ")

    def test_a_client_that_leaves_in_mid_body_harms_nobody(self, gateways: Gateways) -> None:
        for _ in range(5):
            with connected(gateways.url) as client:
                client.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert submit(gateways.url).status == 202


def connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)


def flood(url: str, head: bytes, piece: bytes) -> int:
    """How often `piece` could be sent after `head` before the server hung up; 1000 if it did not."""
    with connected(url) as client:
        client.sendall(head)
        for sent in range(1000):
            try:
                client.sendall(piece)
            except ConnectionError:
                return sent
    return 1000


def received(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def exchange(url: str, sent: bytes) -> bytes:
    """What comes back until the server hangs up."""
    with connected(url) as client:
        client.sendall(sent)
        return received(client)
