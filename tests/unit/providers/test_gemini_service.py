"""Gemini's errors and connections, through the SDK."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from providers import errors
from providers.gemini import transport
from providers.gemini.client import GeminiService
from ringback.testing.script import Script
from ringback.testing.vendors.server import VendorServer
from tests.unit.providers.asks import ask, collect

ASK = ask("gemini-2.5-flash", "안녕하세요? 주문 조회 부탁드립니다.")
KEY = "AIzaSy-not-a-real-key-0123456789abcdefg"


@pytest.fixture
async def service(vendor_server: VendorServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GeminiService]:
    """A service that talks to the vendor server."""
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    for name, value in vendor_server.environment().items():
        monkeypatch.setenv(name, value)
    made = GeminiService()
    yield made
    await made.aclose()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handle: Handler) -> AsyncIterator[int]:
    """The port of a server that does as told with each connection."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def answering(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, content_type: str = "application/json"
) -> AsyncIterator[GeminiService]:
    """A service whose server gives this answer to everything."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 %d X\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (status, content_type.encode(), len(body), body)
        )
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async with listening(handle) as port:
        monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
        monkeypatch.setenv("GEMINI_API_KEY", KEY)
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", f"http://127.0.0.1:{port}")
        service = GeminiService()
        try:
            yield service
        finally:
            await service.aclose()


def refusal(code: int, status: str, message: str, *details: dict[str, Any]) -> bytes:
    """An error as Google's APIs send it."""
    return json.dumps({"error": {"code": code, "status": status, "message": message, "details": details}}).encode()


def retry_info(delay: str) -> dict[str, Any]:
    """Google's way to say when to come back."""
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


@pytest.mark.parametrize(
    ("delay", "seconds"), [("7s", 7.0), ("13.480252s", 13.480252), ("0s", 0.0), ("soon", None), ("-3s", None)]
)
async def test_retry_delay(monkeypatch: pytest.MonkeyPatch, delay: str, seconds: float | None) -> None:
    quota = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []}
    body = refusal(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", quota, retry_info(delay))

    async with answering(monkeypatch, 429, body) as service:
        with pytest.raises(errors.RateLimited, match="exceeded your current quota") as caught:
            await service.generate(ASK)

    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, refusal(401, "UNAUTHENTICATED", "Request had invalid credentials."), errors.AuthenticationFailed),
        (400, refusal(400, "FAILED_PRECONDITION", "User location is not supported."), errors.BadRequest),
        (400, refusal(400, "INVALID_ARGUMENT", "input token count (9) exceeds the maximum"), errors.ContextTooLong),
        (499, refusal(499, "CANCELLED", "The operation was cancelled."), errors.BadRequest),
        (502, b"<html>Bad Gateway</html>", errors.Unavailable),
        (503, b"", errors.Overloaded),
        (413, b"[]", errors.ContextTooLong),
        (500, b"not json", errors.MalformedAnswer),
        (200, b"<html>Welcome</html>", errors.MalformedAnswer),
        (200, b"", errors.MalformedAnswer),
    ],
)
async def test_refusals(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, expected: type[errors.ProviderError]
) -> None:
    content_type = "text/html" if body.startswith(b"<") else "application/json"
    async with answering(monkeypatch, status, body, content_type) as service:
        with pytest.raises(errors.ProviderError) as whole:
            await service.generate(ASK)
        with pytest.raises(errors.ProviderError) as streamed:
            await collect(service, ASK)

    assert type(whole.value) is expected
    if status != 200:
        assert type(streamed.value) is expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (refusal(429, "RESOURCE_EXHAUSTED", "Slow down.", retry_info("2s")), errors.RateLimited),
        (refusal(500, "INTERNAL", "An internal error has occurred."), errors.Unavailable),
        (refusal(504, "DEADLINE_EXCEEDED", "Too late."), errors.TimedOut),
        (b'{"error":{"message":"an error without a code"}}', errors.Unavailable),
        (b"[1]", errors.MalformedAnswer),
    ],
)
async def test_error_events(
    monkeypatch: pytest.MonkeyPatch, event: bytes, expected: type[errors.ProviderError]
) -> None:
    text = b'{"candidates":[{"content":{"parts":[{"text":"\xec\x95\x88"}],"role":"model"}}]}'
    body = b"data: " + text + b"\r\n\r\ndata: " + event + b"\r\n\r\n"

    async with answering(monkeypatch, 200, body, "text/event-stream") as service:
        with pytest.raises(errors.ProviderError) as caught:
            await collect(service, ASK)

    assert type(caught.value) is expected
    assert caught.value.retry_after == (2.0 if expected is errors.RateLimited else None)


async def test_key_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    body = refusal(403, "PERMISSION_DENIED", f"Permission denied: Consumer 'api_key:{KEY}' has been suspended.")

    async with answering(monkeypatch, 403, body) as service:
        with pytest.raises(errors.PermissionDenied) as caught:
            await service.generate(ASK)

    assert KEY not in str(caught.value)


async def test_without_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"):
        monkeypatch.delenv(name, raising=False)
    service = GeminiService()

    with pytest.raises(errors.AuthenticationFailed, match="GEMINI_API_KEY"):
        await service.generate(ASK)

    await service.aclose()


async def test_opening_a_connection_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    monkeypatch.setattr(transport, "CONNECT_S", 0.2)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    async with listening(silent) as port:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", f"https://127.0.0.1:{port}")  # whose TLS never begins
        service = GeminiService()
        try:
            async with asyncio.timeout(20):
                with pytest.raises(errors.ConnectionFailed):
                    await service.generate(ASK)
        finally:
            await service.aclose()


async def test_first_calls_at_once_share_one_client(service: GeminiService, vendor_server: VendorServer) -> None:
    answers = await asyncio.gather(*(service.generate(ASK) for _ in range(5)))

    assert {answer.text for answer in answers} == {Script().text}
    assert len(vendor_server.received) == 5


async def test_unknown_name_asks_nobody(service: GeminiService, vendor_server: VendorServer) -> None:
    with pytest.raises(errors.ModelNotFound):
        await service.generate(ask("../../v1/files?"))

    assert vendor_server.received == []


async def test_region_is_that_of_vertex(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_CLOUD_LOCATION"):
        monkeypatch.delenv(name, raising=False)
    service = GeminiService()
    assert service.region("gemini-2.5-flash") == ""
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "europe-west4")
    assert service.region("gemini-2.5-flash") == ""
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "True")
    assert service.region("gemini-2.5-flash") == "europe-west4"
    monkeypatch.delenv("GOOGLE_CLOUD_LOCATION")
    assert service.region("gemini-2.5-flash") == "global"
