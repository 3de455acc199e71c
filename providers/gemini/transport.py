"""The HTTP below the SDK: connections unlimited in number and bounded in their opening, and a hold on the response.

The SDK can use httpx2 or aiohttp. With aiohttp a call takes 12 % less CPU, and what the SDK leaves open can be settled
below it: the SDK itself gives no connection a time limit, and does not close one whose stream is dropped.
"""

import asyncio
from contextvars import ContextVar

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

CONNECT_S = 10.0
"""Seconds within which a connection must be open: name, TCP and TLS."""


class Exchange:
    """How far one request has come."""

    def __init__(self) -> None:
        self.connected = False
        """It has a connection."""
        self.response: aiohttp.ClientResponse | None = None
        """What comes back, once its first byte is there."""

    def content(self) -> aiohttp.StreamReader:
        """The body of the response."""
        if self.response is None:
            raise RuntimeError("the SDK has not used the session that it was given")
        return self.response.content

    def close(self) -> None:
        """Closes the connection if the response is not complete; else the connection already is in the pool."""
        if self.response is not None:
            self.response.close()


CURRENT: ContextVar[Exchange | None] = ContextVar("gemini_exchange", default=None)
"""Whose request is being sent by the running task."""


class _Connector(aiohttp.TCPConnector):
    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        """A connection, from the pool or a new one. Raises `TimeoutError` after `CONNECT_S`."""
        async with asyncio.timeout(CONNECT_S):
            connection = await super().connect(req, traces, timeout)
        if (exchange := CURRENT.get()) is not None:
            exchange.connected = True
        return connection


class _Response(aiohttp.ClientResponse):
    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Waits for the headers."""
        started = await super().start(connection)
        if (exchange := CURRENT.get()) is not None:
            exchange.response = self
        return started


def session() -> aiohttp.ClientSession:
    """The session for the SDK; belongs to the running loop. Proxies are taken from the environment, as the SDK does."""
    return aiohttp.ClientSession(
        connector=_Connector(limit=0),
        response_class=_Response,
        headers={"accept-encoding": "identity"},  # a compressed stream may wait for more to compress
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=True,
    )
