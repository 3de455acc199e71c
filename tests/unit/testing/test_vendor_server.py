"""The vendor server as a plain HTTP client sees it: timing, scripts, and faults acted out at the wire."""

import asyncio
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from botocore.eventstream import EventStreamBuffer

from ringback.testing.script import Fault, Script
from ringback.testing.vendors import eventstream
from ringback.testing.vendors.server import VendorServer

ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "안녕?"}]}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def post(session: aiohttp.ClientSession, server: VendorServer, **changes: Any) -> Any:
    """A chat completion request."""
    return session.post(f"{server.url}/v1/chat/completions", json=ASK | changes)


async def text_of(session: aiohttp.ClientSession, server: VendorServer, **changes: Any) -> str:
    """The answer's text."""
    async with post(session, server, **changes) as response:
        document = await response.json()
    return str(document["choices"][0]["message"]["content"])


async def test_most_exact_script_wins(session: aiohttp.ClientSession, vendor_server: VendorServer) -> None:
    assert await text_of(session, vendor_server) == Script().text
    vendor_server.script(Script(deltas=("all",)))
    assert await text_of(session, vendor_server) == "all"
    vendor_server.script(Script(deltas=("vendor",)), vendor="openai")
    vendor_server.script(Script(deltas=("other vendor",)), vendor="gemini")
    assert await text_of(session, vendor_server) == "vendor"
    vendor_server.script(Script(deltas=("model",)), model="gpt-4o")
    assert await text_of(session, vendor_server) == "model"
    vendor_server.script(Script(deltas=("both",)), vendor="openai", model="gpt-4o")
    assert await text_of(session, vendor_server) == "both"
    assert await text_of(session, vendor_server, model="o3") == "vendor"
    vendor_server.script(Script(deltas=("about",)), about="안녕?")
    assert await text_of(session, vendor_server) == "about"
    assert await text_of(session, vendor_server, messages=[{"role": "user", "content": "여보세요?"}]) == "both"
    assert all(request.ended for request in vendor_server.received)


async def test_queue_comes_first_and_once(session: aiohttp.ClientSession, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=("always",)))
    vendor_server.enqueue(Script(deltas=("first",)), Script(deltas=("second",)))

    assert [await text_of(session, vendor_server) for _ in range(3)] == ["first", "second", "always"]


async def test_reset_forgets(session: aiohttp.ClientSession, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=("old",)))
    vendor_server.enqueue(Script(deltas=("older",)))
    await text_of(session, vendor_server)
    vendor_server.reset()

    assert vendor_server.received == []
    assert await text_of(session, vendor_server) == Script().text


async def test_records_requests(session: aiohttp.ClientSession, vendor_server: VendorServer) -> None:
    async with session.post(f"{vendor_server.url}/v1/chat/completions", json=ASK, headers={"X-Trace": "7"}):
        pass

    (received,) = vendor_server.received
    assert (received.vendor, received.model, received.streamed) == ("openai", "gpt-4o", False)
    assert received.body["messages"][0]["content"] == "안녕?"
    assert received.headers["x-trace"] == "7"
    assert not received.disconnected


async def test_delta_is_sent_when_it_is_said(session: aiohttp.ClientSession, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=("하나", "둘"), delta_s=60))

    async with post(session, vendor_server, stream=True) as response, asyncio.timeout(10):
        seen = b""
        while "하나" not in seen.decode(errors="ignore"):
            seen += await response.content.readany()

    assert "둘" not in seen.decode()
    await vendor_server.wait_disconnected()


@pytest.mark.parametrize("script", [Script(fault="hang"), Script(first_s=60), Script(fault="stall", fault_after=0)])
async def test_notices_that_the_client_left(
    session: aiohttp.ClientSession, vendor_server: VendorServer, script: Script
) -> None:
    vendor_server.script(script)
    task = asyncio.create_task(text_of(session, vendor_server, stream=True))
    await vendor_server.wait_received()
    task.cancel()

    (received,) = await vendor_server.wait_disconnected()

    assert received is vendor_server.received[0]


async def test_reset_is_a_tcp_reset(vendor_server: VendorServer) -> None:
    vendor_server.script(Script(fault="reset"))
    body = json.dumps(ASK).encode()
    host, port = vendor_server.url.removeprefix("http://").split(":")

    def ask() -> bytes:
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            return connection.recv(1)

    with pytest.raises(ConnectionResetError):
        await asyncio.to_thread(ask)


MID_STREAM: tuple[Fault, ...] = (
    *("cut", "error_in_stream", "malformed_event", "malformed_delta"),
    *("keep_alives", "no_end_mark", "no_finish"),
)


@pytest.mark.parametrize("fault", MID_STREAM)
async def test_faults_in_mid_stream(session: aiohttp.ClientSession, vendor_server: VendorServer, fault: Fault) -> None:
    vendor_server.script(Script(deltas=("a1", "b2", "c3", "d4"), fault=fault, fault_after=2))
    seen, broken = b"", False

    async with post(session, vendor_server, stream=True) as response:
        try:
            async for chunk in response.content.iter_any():
                seen += chunk
        except aiohttp.ClientPayloadError:
            broken = True

    assert broken is (fault == "cut")
    assert b'"a1"' in seen
    assert b'"b2"' in seen
    assert (b'"c3"' in seen) is (fault not in ("cut", "error_in_stream", "malformed_delta"))
    assert (b'"d4"' in seen) is (fault not in ("cut", "error_in_stream"))
    assert (b'"stop"' in seen) is (fault not in ("cut", "error_in_stream", "no_finish"))
    assert (b"[DONE]" in seen) is (fault in ("malformed_event", "malformed_delta", "keep_alives"))
    assert (b'"error"' in seen) is (fault == "error_in_stream")
    assert seen.count(b"event: ping") == (4 if fault == "keep_alives" else 0)


@pytest.mark.parametrize("fault", ["malformed_event", "malformed_delta"])
async def test_a_fault_after_the_last_delta(
    session: aiohttp.ClientSession, vendor_server: VendorServer, fault: Fault
) -> None:
    vendor_server.script(Script(deltas=("a1",), fault=fault, fault_after=2))

    async with post(session, vendor_server, stream=True) as response:
        events = (await response.text()).split("\n\n")

    assert '"a1"' in events[1]
    assert events[2].endswith('{"content"')


@pytest.mark.parametrize("streamed", [True, False])
async def test_only_a_prefill_is_rejected(
    session: aiohttp.ClientSession, vendor_server: VendorServer, streamed: bool
) -> None:
    vendor_server.script(Script(fault="rejects_prefill"))
    begun = [*ASK["messages"], {"role": "assistant", "content": "네"}]

    async with post(session, vendor_server, stream=streamed) as response:
        assert response.status == 200
    async with post(session, vendor_server, stream=streamed, messages=begun) as response:
        assert response.status == 400


async def test_a_proxy_s_page(session: aiohttp.ClientSession, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(fault="html_error"))
    async with post(session, vendor_server) as response:
        assert (response.status, response.content_type) == (502, "text/html")
        assert "Bad Gateway" in await response.text()


@pytest.mark.parametrize(("fault", "seen"), [("hang_after_headers", b""), ("open_end", b'"stop"')])
async def test_silence_on_an_open_connection(
    session: aiohttp.ClientSession, vendor_server: VendorServer, fault: Fault, seen: bytes
) -> None:
    vendor_server.script(Script(fault=fault))

    async with asyncio.timeout(10), post(session, vendor_server, stream=True) as response:
        assert response.status == 200
        body = b""
        while seen not in body:
            body += await response.content.readany()
        assert not response.content.at_eof()
        assert b"[DONE]" not in body
    await vendor_server.wait_disconnected()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", b"{", 400),
        ("/v1/chat/completions", b"[]", 400),
        ("/v1/chat/completions", b'{"model":"m","messages":[]}', 400),
        ("/v1/messages", b'{"model":"m","messages":[{"role":"user","content":"hi"}]}', 400),
        ("/v1/nothing", b"{}", 404),
    ],
)
async def test_refuses_what_no_vendor_takes(
    session: aiohttp.ClientSession, vendor_server: VendorServer, path: str, body: bytes, status: int
) -> None:
    async with session.post(vendor_server.url + path, data=body) as response:
        assert response.status == status
    assert vendor_server.received == []


async def test_waiting_has_an_end(vendor_server: VendorServer) -> None:
    with pytest.raises(TimeoutError, match="2 disconnects"):
        await vendor_server.wait_disconnected(2, timeout=0.02)


def test_port_in_use_is_told(vendor_server: VendorServer) -> None:
    with pytest.raises(OSError, match="in use"):
        VendorServer(port=int(vendor_server.url.rpartition(":")[2])).start()


def test_event_stream_frames_are_what_amazon_s_own_reader_takes() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(eventstream.event("chunk", "안녕".encode()) + eventstream.exception("throttlingException", b"{}"))

    event, exception = list(buffer)

    assert event.headers == {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    assert event.payload.decode() == "안녕"
    assert exception.headers[":exception-type"] == "throttlingException"
    assert exception.to_response_dict()["status_code"] == 400


def test_event_stream_frame_has_the_documented_layout() -> None:
    frame = eventstream.frame({"a": "b"}, b"xyz")

    total, headers = struct.unpack(">II", frame[:8])
    assert total == len(frame)
    assert frame[12 : 12 + headers] == b"\x01a\x07\x00\x01b"
    assert frame[12 + headers : -4] == b"xyz"


@pytest.fixture
def served() -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """`python -m ringback.testing.vendors` in a process of its own, and its URL."""
    command = [sys.executable, "-m", "ringback.testing.vendors", "--text", "가나다라", "--deltas", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            if process.poll() is None:
                process.kill()


async def test_serves_from_a_shell(session: aiohttp.ClientSession, served: tuple[str, "subprocess.Popen[str]"]) -> None:
    url, process = served
    async with session.post(f"{url}/v1/chat/completions", json=ASK | {"stream": True}) as response:
        body = await response.text()

    assert '"가나"' in body
    assert '"다라"' in body
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 10) == 0


def test_plugin_imports_nothing_heavy() -> None:
    script = (
        "import sys, ringback.testing.plugin; print(*{'aiohttp', 'msgspec', 'uvloop', 'anthropic'} & {*sys.modules})"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == ""
