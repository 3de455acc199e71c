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
from yarl import URL

from amazon import failures
from amazon.clients import CONNECT_S, READ_S, made
from amazon.failures import Failure
from amazon.identity import Identity
from jobs.disclosure import disclosable

_REFUSAL = 65_536
"""Bytes of a refusal that are read; Amazon's have a few hundred."""


class Calls:
    """The calls to one service, at the endpoint that boto3 finds for it. Belongs to one event loop."""

    def __init__(
        self, service: str, *, at_once: int, region: str = "", read_s: float = READ_S, token: str = ""
    ) -> None:
        """Up to `at_once` connections, given up after `read_s` seconds without a byte.

        `region`: instead of the one that boto3 finds. `token`: the variable of the environment with a bearer token,
        which is then shown instead of a signature.
        """
        self._service, self._at_once, self._region, self._read_s = service, at_once, region, read_s
        self._token = token
        self._identity = Identity(region)
        self._finding = asyncio.Lock()
        self._endpoint = self._signed_as = ""
        self._session: aiohttp.ClientSession | None = None
        self._answers: set[aiohttp.ClientResponse] = set()
        """Those that are being read."""
        self._closed = False

    @property
    def region(self) -> str:
        """The region; a profile's is known only once a call was made."""
        return self._region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""

    async def warm_up(self) -> None:
        """Finds the endpoint and the credentials. Raises `Failure`."""
        await self.ready()
        if not os.environ.get(self._token):
            with failures.told():
                await self._identity.frozen()

    @asynccontextmanager
    async def post(self, path: str, body: bytes, *, texts: Iterable[str] = ()) -> AsyncIterator["Reply"]:
        """The answer to this JSON; `path` is quoted. Raises `Failure`, which repeats none of `texts`."""
        session = await self.ready()
        url = URL(self._endpoint + path, encoded=True)
        with failures.told(texts):
            headers = await self._headers(str(url), body)
        with _told("unreachable", texts):
            response = await session.post(url, data=body, headers=headers, allow_redirects=False)
        async with response:
            self._answers.add(response)
            try:
                reply = Reply(response)
                if response.status != 200:
                    raise _refused(response, await _beginning(reply), texts)
                yield reply
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

    async def ready(self) -> aiohttp.ClientSession:
        """Finds the endpoint. Raises `Failure`."""
        async with self._finding:
            if self._closed:
                raise Failure("unavailable", f"the connections to {self._service} were closed")
            if self._session is None:
                proxy, trusted = await asyncio.to_thread(self._find)
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=self._at_once, ssl=trusted),
                    # The wait for one of the connections is not limited: whoever calls has a limit of its own.
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=self._read_s),
                    # Instead of `trust_env`, which for each call looks for proxies anew and reads ~/.netrc, in threads.
                    proxy=proxy,
                    cookie_jar=aiohttp.DummyCookieJar(),
                )
        return self._session

    async def _headers(self, url: str, body: bytes) -> dict[str, str]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        headers = {"Content-Type": "application/json"}
        if token := os.environ.get(self._token):
            return headers | {"Authorization": f"Bearer {token}"}
        credentials, region = await self._identity.frozen()
        request = AWSRequest("POST", url, data=body, headers=headers)
        SigV4Auth(credentials, self._signed_as, region).add_auth(request)
        return dict(request.headers.items())

    def _find(self) -> tuple[str | None, ssl.SSLContext]:
        """As boto3 finds them: the endpoint, without a slash at its end; the proxy on the way; who is trusted there."""
        from botocore.httpsession import ProxyConfiguration, get_cert_path
        from botocore.utils import get_environ_proxies

        with failures.told():
            client = made(self._service, region=self._region, calls=1, connect_s=CONNECT_S, read_s=self._read_s)
        endpoint = str(client.meta.endpoint_url).rstrip("/")
        bundle = os.environ.get("AWS_CA_BUNDLE") or get_cert_path(True)
        try:
            trusted = ssl.create_default_context(cafile=bundle)
        except OSError as error:
            raise Failure("misconfigured", f"AWS_CA_BUNDLE: {bundle} cannot be read: {error}") from error
        self._endpoint, self._region = endpoint, str(client.meta.region_name)
        self._signed_as = client.meta.service_model.signing_name
        return ProxyConfiguration(get_environ_proxies(endpoint)).proxy_url_for(endpoint), trusted


class Reply:
    """An answer whose body is still to be read. What reading raises is a `Failure`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    def header(self, name: str) -> str | None:
        """That header of it."""
        return self._response.headers.get(name)

    async def whole(self) -> bytes:
        """All of the body."""
        with _told("interrupted"):
            return await self._response.read()

    async def some(self, most: int) -> bytes:
        """What has come of the body, up to so many bytes; empty at its end."""
        with _told("interrupted"):
            return await self._response.content.read(most)


@contextmanager
def _told(broken: str, texts: Iterable[str] = ()) -> Iterator[None]:
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


async def _beginning(reply: Reply) -> bytes:
    """As much of its body as a refusal has."""
    body = b""
    while len(body) < _REFUSAL and (more := await reply.some(_REFUSAL)):
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
