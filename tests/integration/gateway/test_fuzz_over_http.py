"""Whatever bytes come over a real connection: an honest answer or a closed connection, soon, and never a 5xx."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.integration.gateway.conftest import Gateways
from tests.unit.gateway.test_fuzz import headers, requests, values

ANSWERS_S = 10.0
THOROUGH = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PATHS = ["/v1/jobs", "/v1/jobs/x", "/v1/jobs/x/cancel", "/v1/jobs/x/events", "/v1/job-types", "/health/ready", "/", "*"]
bodies = st.binary(max_size=300) | (requests() | values).map(
    lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")
)


def exchanged(url: str, sent: bytes, *, finish: bool) -> bytes:
    """All that comes back until the server closes. Raises `TimeoutError` if it is silent for `ANSWERS_S` before that.

    `finish`: the client says that it has nothing more to send.
    """
    parts = urlsplit(url)
    received = b""
    with socket.create_connection((parts.hostname, parts.port), timeout=ANSWERS_S) as connection:
        try:
            connection.sendall(sent)
            if finish:
                connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65_536):
                received += piece
        except (ConnectionResetError, BrokenPipeError):
            return received  # it had seen enough
    return received


def check(answer: bytes) -> None:
    """Asserts that this is one honest answer over HTTP, which may follow a `100 Continue`."""
    while answer.startswith(b"HTTP/1.1 100"):
        _, _, answer = answer.partition(b"\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    version, status = line.split(b" ", 2)[:2]
    assert version == b"HTTP/1.1"
    assert 200 <= int(status) < 500, answer
    if int(status) >= 400:
        kinds = [field.partition(b":")[2].strip() for field in fields if field.lower().startswith(b"content-type:")]
        assert kinds == [b"application/problem+json"], answer
        if body:  # a HEAD's answer has none
            problem = msgspec.json.decode(body)
            assert problem["status"] == int(status)
            assert problem["code"]


def request(method: str, path: str, sent: dict[bytes, bytes], body: bytes) -> bytes:
    """The bytes of a request whose body is all there."""
    ours = {b"host": b"x", b"connection": b"close", b"content-length": b"%d" % len(body)}
    fields = ours | {name: value for name, value in sent.items() if name.strip().lower() not in ours}
    lines = [b"%b %b HTTP/1.1" % (method.encode(), path.encode())]
    return b"\r\n".join([*lines, *(b"%b: %b" % field for field in fields.items()), b"", body])


@THOROUGH
@given(body=bodies, sent=headers)
@example(body=b'{"type":"generate","input":{"prompt":"x"},"model":"fake/echo"}', sent={})
def test_jobs_of_any_kind(gateways: Gateways, body: bytes, sent: dict[bytes, bytes]) -> None:
    check(exchanged(gateways.url, request("POST", "/v1/jobs", sent, body), finish=False))


@THOROUGH
@given(
    method=st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "BREW"]),
    path=st.sampled_from(PATHS) | st.text('/?&=%.;:@ \\"<>{}ab0é가\x00\x7f', max_size=20).map("/".__add__),
    names=st.dictionaries(
        st.binary(max_size=20).map(lambda raw: raw.translate(None, b"\r\n")), st.binary(max_size=60), max_size=4
    ),
    body=st.binary(max_size=50),
)
def test_requests_of_any_kind(
    gateways: Gateways, method: str, path: str, names: dict[bytes, bytes], body: bytes
) -> None:
    sent: dict[bytes, Any] = {
        name: value
        for name, value in names.items()
        if name.strip().lower() not in (b"transfer-encoding", b"upgrade", b"expect")
    }
    check(exchanged(gateways.url, request(method, path, sent, body), finish=False))


@THOROUGH
@given(raw=st.binary(max_size=300) | bodies, begun=st.booleans(), chunked=st.booleans())
def test_bytes_of_any_kind(gateways: Gateways, raw: bytes, begun: bool, chunked: bool) -> None:
    how = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 400"
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % how if begun else b""
    if answer := exchanged(gateways.url, head + raw, finish=True):
        check(answer)
