"""`GeminiService`: the SDK's client, made once, and the calls through it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from providers import errors, profiles
from providers.gemini import mapping
from providers.gemini.errors import broken, refused, translated
from providers.gemini.mapping import PROVIDER
from providers.gemini.transport import CURRENT, Exchange, session
from providers.service import Answer, Ask, Capabilities, Delta, Metered
from providers.sse import Events

if TYPE_CHECKING:
    import aiohttp
    from google.genai._api_client import BaseApiClient
    from google.genai.client import Client

_KEYS = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
_VERTEX = ("GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE")


class GeminiService:
    """Gemini, wherever the SDK's own variables lead. Belongs to the event loop of its first call."""

    name = PROVIDER

    def __init__(self) -> None:
        self._making = asyncio.Lock()
        self._client: Client | None = None
        self._session: aiohttp.ClientSession | None = None
        # Only so as not to repeat them in errors; the SDK reads them itself.
        self._secrets = tuple(value for name in _KEYS if (value := os.environ.get(name)))

    def capabilities(self, model: str) -> Capabilities:
        """See `AIService`."""
        return profiles.of(f"{PROVIDER}/{model}")

    def region(self, model: str) -> str:
        """See `AIService`. Vertex has locations, the Gemini API is one place."""
        if self._client is not None:
            return (_requests(self._client).location or "") if self._client.vertexai else ""
        if not any(os.environ.get(name, "").lower() in ("1", "true") for name in _VERTEX):
            return ""
        return os.environ.get("GOOGLE_CLOUD_LOCATION") or "global"

    async def generate(self, ask: Ask) -> Answer:
        """See `AIService`."""
        client = await self._connected()
        path = f"{mapping.resource(ask, vertex=client.vertexai)}:generateContent"
        body, exchange = mapping.request(ask), Exchange()
        with translated(ask, exchange, self._secrets), _sending(exchange):
            response = await _requests(client).async_request("post", path, body)
        reader = mapping.AnswerReader(ask)
        reader.read(mapping.decoded(response.body or ""))
        return reader.answer()

    async def stream(self, ask: Ask) -> AsyncIterator[Delta | Metered | Answer]:
        """See `AIService`."""
        client = await self._connected()
        path = f"{mapping.resource(ask, vertex=client.vertexai)}:streamGenerateContent?alt=sse"
        body, exchange = mapping.request(ask), Exchange()
        reader = mapping.AnswerReader(ask)
        try:
            with translated(ask, exchange, self._secrets), _sending(exchange):
                # Returns once the response has begun, if with success. Its generator is left alone: see docs/decisions.
                await _requests(client).async_request_streamed("post", path, body)
            events = Events(exchange.content(), PROVIDER, lambda error: broken(error, exchange))
            async for event in events:
                try:
                    response = mapping.decoded(event)
                except errors.MalformedAnswer:
                    if not reader.complete:  # else it held no part of the answer
                        raise
                    continue
                if response.error is not None:
                    raise refused(response.error, ask, self._secrets)
                if text := reader.read(response):
                    yield Delta(text)
                if reader.metered is not None:
                    yield Metered(reader.metered)
                    reader.metered = None
                events.limit(complete=reader.complete)
            yield reader.answer()
        finally:
            exchange.close()

    async def warm_up(self) -> None:
        """See `AIService`."""
        await self._connected()

    async def aclose(self) -> None:
        """See `AIService`."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
            await client.aio.aclose()
        http, self._session = self._session, None
        if http is not None:
            await http.close()

    async def _connected(self) -> "Client":
        if self._client is None:
            async with self._making:
                if self._client is None:
                    self._session = self._session or session()
                    # In a thread: the import and the TLS contexts take a second.
                    self._client = await asyncio.to_thread(_make, self._session)
        return self._client


def _requests(client: "Client") -> "BaseApiClient":
    """What sends the SDK's requests, below its typed methods: see docs/decisions."""
    return client._api_client


def _make(http: "aiohttp.ClientSession") -> "Client":
    from google import genai
    from google.auth.exceptions import GoogleAuthError
    from google.genai import types

    options = types.HttpOptions(
        aiohttp_client=http,
        # Without options of its own the SDK tries a failed connection again, after up to ten seconds.
        retry_options=types.HttpRetryOptions(attempts=1),
    )
    try:
        return genai.Client(http_options=options)
    except (ValueError, GoogleAuthError) as error:
        raise errors.AuthenticationFailed(
            "Gemini cannot be used without an API key: set GEMINI_API_KEY", provider=PROVIDER
        ) from error


@contextmanager
def _sending(exchange: Exchange) -> Iterator[None]:
    """Lets `exchange` know the connection of the request that is sent meanwhile."""
    token = CURRENT.set(exchange)
    try:
        yield
    finally:
        CURRENT.reset(token)
