"""Clients that begin a request and do not go on: each is told so and cut off, and the others are not."""

import socket

import msgspec
import pytest

from tests.integration.gateway.conftest import Gateways
from tests.integration.gateway.test_bad_input import connected, received
from tests.stack import request

BODY = msgspec.json.encode({"type": "generate", "input": {"prompt": "안녕"}, "model": "fake/echo"})
HEAD = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(BODY)


@pytest.fixture(scope="module")
def hurried(gateways: Gateways) -> str:
    """A gateway that waits for half a second where others wait for many."""
    hurry = "server.HEAD_S=0.5 server.BODY_S=0.5"
    return gateways.gateway(module="tests.integration.gateway.hurry", HURRY=hurry)


def refusal(client: socket.socket) -> dict[str, object]:
    """The problem with which the server hangs up."""
    answer = received(client)
    assert answer.startswith(b"HTTP/1.1 408 "), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"content-type: application/problem+json" in answer
    problem: dict[str, object] = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])
    assert (problem["status"], problem["code"]) == (408, "request_timeout")
    return problem


@pytest.mark.parametrize("sent", [b"G", b"GET / HT", HEAD, HEAD + b"X-Slow: "], ids=repr)
def test_a_head_that_does_not_end(hurried: str, sent: bytes) -> None:
    with connected(hurried) as client:
        client.sendall(sent)
        assert "headers" in str(refusal(client)["detail"])


def test_a_head_that_drips_has_no_more_time(hurried: str) -> None:
    with connected(hurried) as client:
        client.sendall(HEAD)
        client.settimeout(0.1)
        answer = b""
        for _ in range(200):
            try:
                if answer := client.recv(65536):
                    break
            except TimeoutError:
                client.sendall(b"X: x\r\n")
        assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", b"{", BODY[:-1]], ids=repr)
def test_a_body_that_does_not_go_on(hurried: str, sent: bytes) -> None:
    with connected(hurried) as client:
        client.sendall(HEAD + b"\r\n" + sent)
        assert "body" in str(refusal(client)["detail"])
    assert request(f"{hurried}/health/live").status == 200


def test_a_body_that_goes_on_slowly_is_taken(hurried: str) -> None:
    with connected(hurried) as client:
        client.sendall(HEAD + b"Connection: close\r\n\r\n")
        client.settimeout(0.1)
        for byte in BODY[:12]:
            client.sendall(bytes([byte]))
            with pytest.raises(TimeoutError):
                client.recv(1)
        client.settimeout(20)
        client.sendall(BODY[12:])
        assert received(client).startswith(b"HTTP/1.1 202 ")


def test_a_second_request_that_comes_in_part_waits_for_the_first(hurried: str) -> None:
    """The first takes longer than the second would have."""
    waiting = HEAD + b"Prefer: wait=2\r\n\r\n" + BODY
    with connected(hurried) as client:
        client.sendall(waiting + b"GET /health/live HT")
        first = client.recv(65536)
        assert first.startswith(b"HTTP/1.1 202 "), first
        client.sendall(b"TP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"HTTP/1.1 200 " in received(client)


def test_one_answered_before_its_body_came_is_let_go(hurried: str) -> None:
    with connected(hurried) as client:
        client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        answer = received(client)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b"HTTP/1.1 ") == 1


def test_headers_that_are_too_long_are_told(hurried: str) -> None:
    with connected(hurried) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        client.settimeout(0.02)
        answer = b""
        for _ in range(20):
            client.sendall(b"X: " + b"x" * 7_000 + b"\r\n")
            try:
                if answer := client.recv(65536):
                    break
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"headers_too_large" in answer
