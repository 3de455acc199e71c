"""`OpenAIService`: chat completions over one shared aiohttp session.

Its own client rather than the `openai` package: the protocol is small, compatible servers deviate from that package's
types, and its HTTP stack costs milliseconds of CPU for each call.
"""

import asyncio
import os
import urllib.request
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
from yarl import URL

from jobs.errors import ConfigurationError
from providers import errors, profiles
from providers.openai.errors import PROVIDER, from_client, from_response
from providers.openai.mapping import Assembly, request_body
from providers.service import Answer, Ask, Capabilities, Delta, Metered
from providers.sse import BROKEN, Events

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
_CONNECT_S: Final = 10.0
_KEEP_ALIVE_S: Final = 30.0
_LINGER_S: Final = 1.0
"""How long the end of a stream's connection may come after its end mark, for the connection to be used again."""
_ERROR_BODY: Final = 64 * 1024
_OFFICIAL: Final = ("api.openai.com", ".openai.azure.com")
_END_MARK: Final = b"[DONE]"


class OpenAIService:
    """OpenAI's API and every server that speaks it.

    Reads `OPENAI_BASE_URL` (default: OpenAI's own) and `OPENAI_API_KEY` (local servers need none) when made, and the
    proxy for that URL from `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, as the vendors' SDKs do.
    """

    name = PROVIDER

    def __init__(self) -> None:
        base = os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL
        self._url = URL(f"{base.rstrip('/')}/chat/completions")
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise ConfigurationError(f"OPENAI_BASE_URL: {base!r} is not an http or https URL")
        self._official = (self._url.host or "").endswith(_OFFICIAL)
        self._key = os.environ.get("OPENAI_API_KEY") or ""
        self._proxy = _proxy_for(self._url)
        self._session: aiohttp.ClientSession | None = None

    def capabilities(self, model: str) -> Capabilities:
        """See `AIService`. What models of other servers lack only those know, and say by a refusal."""
        return profiles.of(f"{PROVIDER}/{model}")

    def region(self, model: str) -> str:
        """See `AIService`. A server is in one place."""
        return ""

    async def generate(self, ask: Ask) -> Answer:
        """See `AIService`."""
        response = await self._post(ask, stream=False)
        try:
            return await _whole(response, Assembly(ask))
        finally:
            response.release()

    async def stream(self, ask: Ask) -> AsyncIterator[Delta | Metered | Answer]:
        """See `AIService`."""
        response = await self._post(ask, stream=True)
        marked = False
        try:
            assembly = Assembly(ask)
            if response.content_type != "text/event-stream":  # a server that cannot stream answers as a whole
                answer = await _whole(response, assembly)
                if answer.text:
                    yield Delta(answer.text)
            else:
                events = Events(response.content, PROVIDER, _broken)
                async for event in events:
                    if event.startswith(_END_MARK):
                        marked = True
                        break
                    if text := assembly.add(event):
                        yield Delta(text)
                    if assembly.metered is not None:
                        yield Metered(assembly.metered)
                        assembly.metered = None
                    events.limit(complete=assembly.complete)
                answer = assembly.answer()
            yield answer
        finally:
            if not marked:
                response.close()
            elif not response.content.is_eof():
                # The connection returns to the pool by itself once its last bytes are here, which is about now.
                asyncio.get_running_loop().call_later(_LINGER_S, response.close)

    async def warm_up(self) -> None:
        """Has nothing to load."""

    async def aclose(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, ask: Ask, *, stream: bool) -> aiohttp.ClientResponse:
        """The response, once it has begun and only if it is an answer."""
        body = request_body(ask, stream=stream, official=self._official)
        if self._session is None:
            self._session = self._open()
        try:
            response = await self._session.post(self._url, data=body, allow_redirects=False)
        except BROKEN as error:
            raise from_client(error, answering=False) from error
        if response.status == 200:
            return response
        try:
            refusal = await response.content.read(_ERROR_BODY)
        except BROKEN:
            refusal = b""  # the status says enough
        finally:
            response.release()
        raise from_response(response.status, response.headers, refusal, ask, self._key)

    def _open(self) -> aiohttp.ClientSession:
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        return aiohttp.ClientSession(
            headers=headers,
            proxy=self._proxy,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S),
            timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_S),
        )


def _broken(error: aiohttp.ClientError | OSError) -> errors.ProviderError:
    return from_client(error, answering=True)


async def _whole(response: aiohttp.ClientResponse, assembly: Assembly) -> Answer:
    try:
        body = await response.read()
    except BROKEN as error:
        raise _broken(error) from error
    assembly.add(body)
    return assembly.answer()


def _proxy_for(url: URL) -> str | None:
    if urllib.request.proxy_bypass(url.host or ""):
        return None
    proxy = urllib.request.getproxies().get(url.scheme)
    if proxy is not None and not proxy.startswith(("http://", "https://")):
        raise ConfigurationError(f"{url.scheme.upper()}_PROXY: only http and https proxies are supported")
    return proxy
