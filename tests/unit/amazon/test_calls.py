"""Calls that the event loop makes itself, against servers that misbehave."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from botocore.credentials import RefreshableCredentials

from amazon.calls import Calls
from amazon.failures import Failure
from amazon.identity import Identity
from ringback.testing.loopback import LoopbackServer

SECRET = "비밀 번호는 사천칠백십일번 입니다."
BODY = json.dumps({"Text": SECRET}).encode()
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Service(LoopbackServer):
    """Answers as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Handler = said(200, b"sound")
        self.seen: list[web.BaseRequest] = []
        self.peers: set[Any] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request."""
        await request.read()
        self.seen.append(request)
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        return await self.answer(request)


def said(status: int, body: bytes, **headers: str) -> Handler:
    """A handler with that answer."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return handler


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A server in Polly's place; this machine's own settings are out of the way."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with Service() as server:
        given = {"AWS_REGION": "ap-northeast-2", "AWS_ACCESS_KEY_ID": "AKIDFAKE", "AWS_SECRET_ACCESS_KEY": "fake"}
        for name, value in {**given, "AWS_ENDPOINT_URL_POLLY": server.url}.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest_asyncio.fixture
async def calls(service: Service) -> AsyncIterator[Calls]:
    """Calls to that server."""
    made = Calls("polly", at_once=2)
    yield made
    await made.aclose()


async def heard(calls: Calls) -> bytes:
    """All of an answer."""
    async with calls.post("/v1/speech", BODY, texts=(SECRET,)) as reply:
        return await reply.whole()


async def failed(calls: Calls) -> Failure:
    """What a call fails with, which does not repeat what was asked."""
    with pytest.raises(Failure) as caught:
        await heard(calls)
    assert SECRET not in f"{caught.value!r} {caught.value.detail} {caught.value.__cause__!r}"
    return caught.value


REFUSALS: list[tuple[Handler, str, int]] = [
    (said(503, b"<html>no</html>"), "", 503),
    (said(500, b'{"message": "\xff\xfe"}'), "", 500),
    (said(502, b"[1, 2]"), "", 502),
    (said(400, b'{"message": {"of": 1}}', x_amzn_ErrorType="ThrottlingException:http://a.b/"), "throttled", 400),
    (said(400, b'{"__type": "com.amazon#ExpiredTokenException"}'), "unauthenticated", 400),
    (said(302, b"", Location="http://169.254.169.254/"), "", 302),
    (said(204, b""), "", 204),
    (said(500, b'{"message": "' + b"x" * 300_000 + b'"}'), "", 500),
]


async def test_refusals_of_any_shape(service: Service, calls: Calls) -> None:
    for service.answer, kind, status in REFUSALS:
        failure = await failed(calls)
        assert (failure.kind, failure.status) == (kind, status)
    assert len(service.seen) == len(REFUSALS), "callers retry, and redirects are not followed"


async def test_a_refusal_without_end_is_not_read_to_it(service: Service, calls: Calls) -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    service.answer = endless
    async with asyncio.timeout(10):
        assert (await failed(calls)).status == 500


async def test_what_is_quoted_is_not_told(service: Service, calls: Calls) -> None:
    body = json.dumps({"message": f"Value '{SECRET}' at 'text' is not valid"}).encode()
    service.answer = said(400, body, x_amzn_ErrorType="ValidationException", Retry_After="3")
    failure = await failed(calls)
    assert (failure.detail, failure.retry_after) == (None, 3.0)


async def test_connections_are_kept_and_those_that_went_away_replaced(service: Service, calls: Calls) -> None:
    for _ in range(3):
        assert await heard(calls) == b"sound"
    assert len(service.peers) == 1

    async def closing(request: web.BaseRequest) -> web.StreamResponse:
        response = web.Response(body=b"last")
        response.force_close()
        return response

    service.answer = closing
    assert [await heard(calls), await heard(calls)] == [b"last", b"last"]


async def test_more_calls_than_connections_wait_for_each_other(service: Service, calls: Calls) -> None:
    assert await asyncio.gather(*(heard(calls) for _ in range(10))) == [b"sound"] * 10
    assert len(service.peers) <= 2


async def test_neither_cancelling_nor_leaving_early_keeps_a_connection(service: Service, calls: Calls) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"some")
        loop.call_soon_threadsafe(begun.set)
        await asyncio.sleep(60)
        return response

    service.answer = slow
    for _ in range(3):  # more than there are connections
        begun.clear()
        task = asyncio.create_task(heard(calls))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with calls.post("/v1/speech", BODY) as reply:
            assert await reply.some(4) == b"some"
    service.answer = said(200, b"sound")
    assert await heard(calls) == b"sound"


async def test_closing_ends_calls_that_are_under_way_and_all_that_come(service: Service, calls: Calls) -> None:
    async def hung(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async def stalled(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        return await hung(request)

    service.answer = hung
    waiting = asyncio.create_task(failed(calls))
    await service.wait_until(lambda: bool(service.seen), what="a call")
    service.answer = stalled
    async with calls.post("/v1/speech", BODY) as reply:
        reading = asyncio.create_task(reply.whole())
        await asyncio.sleep(0)
        await calls.aclose()
        async with asyncio.timeout(5):
            with pytest.raises(Failure, match="interrupted"):
                await reading
            assert (await waiting).kind == "unreachable"
    assert (await failed(calls)).kind == "unavailable"
    unused = Calls("polly", at_once=1)
    await unused.aclose()
    assert (await failed(unused)).kind == "unavailable"


async def test_a_password_of_this_machine_is_not_sent_in_place_of_the_signature(
    service: Service, calls: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert await heard(calls) == b"sound"
    assert service.seen[0].headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDFAKE/")


async def test_proxies_are_those_of_boto3(service: Service, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_POLLY", "http://polly.example.com")
    monkeypatch.setenv("http_proxy", service.url.replace("http://", "http://user:word@"))
    assert await heard(calls) == b"sound"
    (seen,) = service.seen
    assert seen.headers["Host"] == "polly.example.com"
    assert seen.headers["Proxy-Authorization"].startswith("Basic ")


async def test_a_proxy_that_refuses_is_told_without_its_password(
    service: Service, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_POLLY", "https://polly.example.com")
    monkeypatch.setenv("https_proxy", service.url.replace("http://", "http://user:word@"))
    service.answer = said(407, b"")
    failure = await failed(calls)
    assert failure.kind == "unreachable"
    assert "407" in str(failure)
    assert "word" not in str(failure)


async def test_nobody_there(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_POLLY", "http://127.0.0.1:1")
    assert (await failed(calls)).kind == "unreachable"


def refreshable(seconds: float, fetch: Callable[[], dict[str, str]]) -> RefreshableCredentials:
    """Credentials that end in so many seconds."""
    return RefreshableCredentials("old", "key", "token", datetime.now(UTC) + timedelta(seconds=seconds), fetch, "test")


def fetched(access_key: str, seconds: float) -> dict[str, str]:
    """What comes of refreshing."""
    until = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    return {"access_key": access_key, "secret_key": "key", "token": "token", "expiry_time": until}


def identity(credentials: RefreshableCredentials) -> Identity:
    """With these."""
    made = Identity()
    made._find()  # the region
    made._credentials = credentials
    return made


async def test_credentials_are_refreshed_once_and_not_by_the_loop(service: Service) -> None:
    threads: list[str] = []

    def fetch() -> dict[str, str]:
        threads.append(threading.current_thread().name)
        return fetched("new", 3600)

    who = identity(refreshable(60, fetch))
    assert [(await who.frozen())[0].access_key for _ in range(2)] == ["new", "new"]
    assert len(threads) == 1
    assert threads[0] != threading.main_thread().name


async def test_credentials_that_cannot_be_refreshed_are_used_to_their_end(service: Service) -> None:
    tries: list[int] = []

    def fetch() -> dict[str, str]:
        tries.append(1)
        raise OSError("nobody there")

    who = identity(refreshable(780, fetch))  # of the last 15 minutes the first five are for refreshing at leisure
    assert (await who.frozen())[0].access_key == "old"
    assert len(tries) == 1, "the second try would be the event loop's"


async def test_credentials_that_come_expired_are_told(service: Service) -> None:
    who = identity(refreshable(1, lambda: fetched("new", -60)))
    with pytest.raises(Failure, match="expired") as caught:
        await who.frozen()
    assert caught.value.kind == "unauthenticated"
