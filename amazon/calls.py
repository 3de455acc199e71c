"""Calls that the event loop makes itself: signed by botocore and sent by aiohttp, where boto3's threads cost too much.

A call through boto3 takes 3 ms of a processor and a thread, such a one less than 1 ms (docs/decisions/0023).
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import aiohttp
import msgspec

from amazon import failures
from amazon.clients import CONNECT_S, READ_S, made
from amazon.failures import Failure
from amazon.identity import Identity
from jobs.disclosure import disclosable

_REFUSAL = 65_536
"""Bytes of a refusal that are read; Amazon's have a few hundred."""


class Calls:
    """The calls to one service, at the endpoint that boto3 finds for it. Belongs to one event loop."""

    def __init__(self, service: str, *, at_once: int) -> None:
        """Up to `at_once` connections."""
        self._service, self._at_once = service, at_once
        self._identity = Identity()
        self._finding = asyncio.Lock()
        self._endpoint = ""
        self._session: aiohttp.ClientSession | None = None
        self._answers: set[aiohttp.ClientResponse] = set()
        """Those that are being read."""
        self._closed = False

    async def warm_up(self) -> None:
        """Finds the endpoint and the credentials. Raises `Failure`."""
        await self._ready()
        with failures.told():
            await self._identity.frozen()

    @asynccontextmanager
    async def post(self, path: str, body: bytes, *, texts: Iterable[str] = ()) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to this JSON, of which the body can be read. Raises `Failure`, which repeats none of `texts`."""
        session = await self._ready()
        url = self._endpoint + path
        with failures.told(texts):
            headers = await self._signed(url, body)
        with _told(texts, "unreachable"):
            response = await session.post(url, data=body, headers=headers, allow_redirects=False)
        async with response:
            self._answers.add(response)
            try:
                with _told(texts, "interrupted"):
                    if response.status != 200:
                        raise _refused(response, await _beginning(response), texts)
                    yield response
            finally:
                self._answers.discard(response)

    async def aclose(self) -> None:
        """Closes all connections; calls that are under way or come later fail."""
        async with self._finding:
            self._closed = True
            for answer in self._answers:  # aiohttp closes a connection without a word to whoever reads from it
                answer.content.set_exception(aiohttp.ServerDisconnectedError("closed"))
            if self._session is not None:
                await self._session.close()

    async def _signed(self, url: str, body: bytes) -> dict[str, str]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        credentials, region = await self._identity.frozen()
        request = AWSRequest("POST", url, data=body, headers={"Content-Type": "application/json"})
        SigV4Auth(credentials, self._service, region).add_auth(request)
        return dict(request.headers.items())

    async def _ready(self) -> aiohttp.ClientSession:
        async with self._finding:
            if self._closed:
                raise Failure("unavailable", f"the connections to {self._service} were closed")
            if self._session is None:
                self._endpoint, proxy, trusted = await asyncio.to_thread(self._found)
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=self._at_once, ssl=trusted),
                    # The wait for one of the connections is not limited: whoever calls has a limit of its own.
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S),
                    # Instead of `trust_env`, which for each call looks for proxies anew and reads ~/.netrc, in threads.
                    proxy=proxy,
                    cookie_jar=aiohttp.DummyCookieJar(),
                )
        return self._session

    def _found(self) -> tuple[str, str | None, ssl.SSLContext]:
        """As boto3 finds them: the endpoint, without a slash at its end; the proxy on the way; who is trusted there."""
        from botocore.httpsession import ProxyConfiguration, get_cert_path
        from botocore.utils import get_environ_proxies

        with failures.told():
            client = made(self._service, calls=1, connect_s=CONNECT_S, read_s=READ_S)
        endpoint = str(client.meta.endpoint_url).rstrip("/")
        bundle = os.environ.get("AWS_CA_BUNDLE") or get_cert_path(True)
        try:
            trusted = ssl.create_default_context(cafile=bundle)
        except OSError as error:
            raise Failure("misconfigured", f"AWS_CA_BUNDLE: {bundle} cannot be read: {error}") from error
        return endpoint, ProxyConfiguration(get_environ_proxies(endpoint)).proxy_url_for(endpoint), trusted


@contextmanager
def _told(texts: Iterable[str], broken: str) -> Iterator[None]:
    """Raises what aiohttp raises as a `Failure`, of the kind `broken` if it is the connection."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise Failure("unreachable", "no connection in time") from error
    except TimeoutError as error:
        raise Failure("silent") from error
    except aiohttp.ClientHttpProxyError as error:
        raise Failure("unreachable", f"the proxy refused: HTTP status {error.status}") from None
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
        detail = disclosable(str(error), texts) if broken == "unreachable" else None
        raise Failure(broken, detail) from error
    except (aiohttp.ClientError, ValueError):
        raise Failure("malformed") from None


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """As much of its body as a refusal has."""
    body = b""
    while len(body) < _REFUSAL and (more := await response.content.read(_REFUSAL)):
        body += more
    return body


def _refused(response: aiohttp.ClientResponse, body: bytes, texts: Iterable[str]) -> Failure:
    said: Mapping[str, Any] = {}
    with suppress(ValueError):  # a proxy's page: the status tells
        said = msgspec.json.decode(body, type=dict[str, Any])
    code = response.headers.get("x-amzn-ErrorType", "") or str(said.get("__type", ""))
    return failures.refusal(
        code.partition(":")[0],
        str(said.get("message") or said.get("Message") or ""),
        status=response.status,
        texts=texts,
        retry_after=response.headers.get("Retry-After"),
    )
