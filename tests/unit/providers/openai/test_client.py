"""The client against servers that deviate: what they send is written out here byte by byte."""

import asyncio
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec
import pytest
from aiohttp import web

from jobs.errors import ConfigurationError
from providers import errors
from providers.openai import client as openai_client
from providers.openai.client import OpenAIService
from providers.service import Answer, Ask, Delta, Message, Text
from ringback.testing.loopback import LoopbackServer
from ringback.testing.vendors.server import VendorServer

ASK = Ask(model="m", messages=(Message(role="user", parts=(Text("제 비밀번호는 hunter2-hunter2 입니다"),)),))
KEY = "sk-very-secret-key"
HI = b'{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}'
STOP = b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
EVENTS = {"content-type": "text/event-stream"}


class Sends(msgspec.Struct, frozen=True):
    """One response, verbatim."""

    body: bytes
    headers: dict[str, str] = {}
    status: int = 200


class Deviant(LoopbackServer):
    """Answers with what is queued and notes the client's ports."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: deque[Sends] = deque()
        self.ports: list[int] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Sends the next answer."""
        await request.read()
        assert request.transport is not None
        self.ports.append(request.transport.get_extra_info("peername")[1])
        answer = self.answers.popleft()
        return web.Response(body=answer.body, headers=answer.headers, status=answer.status)


@pytest.fixture
def deviant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deviant]:
    with Deviant() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1/")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield server


async def streamed(service: OpenAIService) -> tuple[str, Answer]:
    """The deltas' text, and the answer."""
    text = ""
    async for item in service.stream(ASK):
        if isinstance(item, Answer):
            return text, item
        text += item.text if isinstance(item, Delta) else ""
    raise AssertionError("no answer")


@pytest.mark.parametrize(
    "body",
    [
        b"data: %b\n\ndata: %b\n\ndata: [DONE]\n\n" % (HI, STOP),
        b"data:%b\n\ndata:%b\n\ndata:[DONE]\n\n" % (HI, STOP),
        b"data: %b\r\n\r\ndata: %b\r\n\r\ndata: [DONE]\r\n\r\n" % (HI, STOP),
        b": OPENROUTER PROCESSING\n\ndata: %b\n\n: ping\n\ndata: %b\n\ndata: [DONE]" % (HI, STOP),
        b"data: %b\n\ndata: %b\n\n" % (HI, STOP),
        b"event: x\nid: 1\ndata: %b\n\ndata: %b\n" % (HI, STOP),
        b"data: %b\n\ndata: %b\n\ndata: [DONE]\n\ndata: %b\n\n" % (HI, STOP, HI),
        b"data: " + HI.replace(b",", b",\ndata: ") + b"\n\ndata: %b\n\ndata: [DONE]\n\n" % STOP,
        b"event: ping\ndata: {]\n\ndata:\n\ndata: %b\n\ndata: %b\n\n" % (HI, STOP),
        b"data: %b\n\ndata: %b\n\ndata: {]\n\ndata: [DONE]\n\n" % (HI, STOP),
    ],
)
async def test_streams_in_every_spelling(deviant: Deviant, body: bytes) -> None:
    service = OpenAIService()
    deviant.answers.append(Sends(body, EVENTS))

    text, answer = await streamed(service)

    assert (text, answer.text, answer.finish) == ("Hi", "Hi", "stop")
    await service.aclose()


@pytest.mark.parametrize(
    "body", [b"", b"data: %b\n\n" % HI, b"data: %b\n\n: bye\n\n" % HI, b"data: %b\n\ndata: [DONE]\n\n" % HI]
)
async def test_a_stream_without_a_finish_reason_is_interrupted(deviant: Deviant, body: bytes) -> None:
    service = OpenAIService()
    deviant.answers.append(Sends(body, EVENTS))
    with pytest.raises(errors.StreamInterrupted):
        await streamed(service)
    await service.aclose()


async def test_a_server_that_does_not_stream_is_understood(deviant: Deviant) -> None:
    service = OpenAIService()
    whole = b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}'
    deviant.answers.append(Sends(whole, {"content-type": "application/json"}))
    assert (await streamed(service))[0] == "Hi"
    await service.aclose()


@pytest.mark.parametrize(
    ("sends", "error", "detail"),
    [
        (Sends(b'{"error":"model \'m\' not found"}', status=404), errors.ModelNotFound, "model 'm' not found"),
        (Sends(b'{"object":"error","message":"no","code":400}', status=400), errors.BadRequest, "no"),
        (Sends(b'{"detail":"Unauthorized"}', status=401), errors.AuthenticationFailed, "Unauthorized"),
        (Sends(b'{"detail":[{"input":"x"}]}', status=422), errors.BadRequest, "HTTP status 422"),
        (Sends(b"<html>Bad Gateway</html>", status=502), errors.Unavailable, "HTTP status 502"),
        (Sends(b"", status=503), errors.Overloaded, "HTTP status 503"),
        (Sends(b"[]", status=500), errors.Unavailable, "HTTP status 500"),
        (Sends(b"", {"location": "http://elsewhere.invalid/"}, 307), errors.BadRequest, "HTTP status 307"),
        (
            Sends(b'{"error":{"code":400,"message":"too big","type":"exceed_context_size_error"}}', status=400),
            errors.ContextTooLong,
            "too big",
        ),
        (
            Sends(b'{"message":"This model\'s maximum context length is 8192 tokens.","code":400}', status=400),
            errors.ContextTooLong,
            "maximum context length",
        ),
        (
            Sends(b'{"error":{"code":"insufficient_quota","message":"You ran out."}}', status=429),
            errors.RateLimited,
            "You ran out.",
        ),
        (Sends(b"<html>hello</html>"), errors.MalformedAnswer, "not a chat completion"),
        (Sends(b'{"error":{"code":502,"message":"upstream"}}'), errors.Unavailable, "upstream"),
        (Sends(b'{"error":{"code":"rate_limit_exceeded"}}'), errors.RateLimited, "rate limit"),
        (Sends(b'data: {"error":{"message":"Overloaded"}}\n\n', EVENTS), errors.Overloaded, "Overloaded"),
        (Sends(b'data: {"error":{"code":429,"message":"slow"}}\n\n', EVENTS), errors.RateLimited, "slow"),
        (Sends(b'data: {"error":"boom"}\n\n', EVENTS), errors.Unavailable, "boom"),
        (Sends(b'{"error":{"message":"bad input: hunter2-hunter2 is"}}', status=400), errors.BadRequest, "HTTP status"),
        (Sends(b'{"error":{"message":"%b is wrong"}}' % KEY.encode(), status=401), errors.AuthenticationFailed, "HTTP"),
    ],
)
async def test_errors_in_every_shape(
    deviant: Deviant, sends: Sends, error: type[errors.ProviderError], detail: str
) -> None:
    service = OpenAIService()
    deviant.answers.append(sends)

    with pytest.raises(errors.ProviderError) as caught:
        await streamed(service)

    assert type(caught.value) is error
    assert detail in caught.value.detail
    assert "hunter2" not in caught.value.detail
    assert KEY not in caught.value.detail
    assert len(deviant.ports) == 1
    await service.aclose()


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"retry-after": "2.5"}, 2.5, 2.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5, 1.5),
        ({"retry-after": "-3"}, 0, 0),
        ({"retry-after": timedelta(seconds=90)}, 30, 90),
        ({"retry-after": timedelta(seconds=-90)}, 0, 0),
        ({"retry-after": "soon"}, None, None),
        ({}, None, None),
    ],
)
async def test_retry_after(
    deviant: Deviant, headers: dict[str, str | timedelta], low: float | None, high: float | None
) -> None:
    service = OpenAIService()
    # A date counts from now, not from when the tests were collected.
    told = {
        name: format_datetime(datetime.now(UTC) + value) if isinstance(value, timedelta) else value
        for name, value in headers.items()
    }
    deviant.answers.append(Sends(b"{}", told, 429))

    with pytest.raises(errors.RateLimited) as caught:
        await service.generate(ASK)

    wait = caught.value.retry_after
    if low is None or high is None:
        assert wait is None
    else:
        assert wait is not None
        assert low <= wait <= high
    await service.aclose()


async def test_connections_are_used_again(deviant: Deviant) -> None:
    service = OpenAIService()
    for _ in range(3):
        deviant.answers.append(Sends(b"data: %b\n\ndata: %b\n\ndata: [DONE]\n\n" % (HI, STOP), EVENTS))
        assert [type(item) for item in [item async for item in service.stream(ASK)]] == [Delta, Answer]
        deviant.answers.append(Sends(b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}'))
        await service.generate(ASK)
        deviant.answers.append(Sends(b'{"error":"no"}', status=400))
        with pytest.raises(errors.BadRequest):
            await service.generate(ASK)

    assert len(set(deviant.ports)) == 1
    await service.aclose()


async def test_a_connection_that_does_not_end_after_the_end_mark_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
        writer.write(head + b"data: %b\n\ndata: %b\n\ndata: [DONE]\n\n" % (HI, STOP))
        while await reader.read(65536):
            pass
        closed.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    monkeypatch.setattr(openai_client, "_LINGER_S", 0.05)
    service = OpenAIService()

    async with asyncio.timeout(10):
        assert (await streamed(service))[1].text == "Hi"
        await closed.wait()

    await service.aclose()
    server.close()


@pytest.mark.parametrize("url", ["api.openai.com/v1", "ftp://host/v1", "http://", "/v1"])
def test_a_base_url_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(ConfigurationError, match="OPENAI_BASE_URL"):
        OpenAIService()


def test_a_proxy_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("https_proxy", "socks5://user:password@10.0.0.1:1080")
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as caught:
        OpenAIService()
    assert "password" not in str(caught.value)


async def test_no_key_no_header(vendor_server: VendorServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{vendor_server.url}/v1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    service = OpenAIService()
    await service.generate(ASK)
    await service.aclose()

    assert "authorization" not in vendor_server.received[0].headers


async def test_the_proxy_of_the_environment_is_used_but_not_for_excepted_hosts(
    deviant: Deviant, vendor_server: VendorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", deviant.url)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{vendor_server.url}/v1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    direct = OpenAIService()
    await direct.generate(ASK)
    assert (len(vendor_server.received), len(deviant.ports)) == (1, 0)

    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY", raising=False)
    deviant.answers.append(Sends(b'{"choices":[{"message":{"content":"by proxy"},"finish_reason":"stop"}]}'))
    proxied = OpenAIService()
    assert (await proxied.generate(ASK)).text == "by proxy"
    assert (len(vendor_server.received), len(deviant.ports)) == (1, 1)
    await direct.aclose()
    await proxied.aclose()
