"""The HTTP connections below the SDK: unlimited in number, bounded in opening, closed when an answer is dropped.

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
    """How far one request has come, and the means to break it off."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        """`None` until the request has one."""
        self.answering = False
        """The first piece of the answer is there."""

    def close(self) -> None:
        """Closes the connection if the answer is not complete; else it already is another request's, or idle."""
        if self.connection is not None:
            self.connection.close()


CURRENT: ContextVar[Exchange | None] = ContextVar("gemini_exchange", default=None)
"""Whose request is being sent by the running task."""


class Connector(aiohttp.TCPConnector):
    """Gives connections to the SDK and notes to whom."""

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        """A connection, from the pool or a new one. Raises `TimeoutError` after `CONNECT_S`."""
        async with asyncio.timeout(CONNECT_S):
            connection = await super().connect(req, traces, timeout)
        if (exchange := CURRENT.get()) is not None:
            exchange.connection = connection
        return connection


def session() -> aiohttp.ClientSession:
    """The session for the SDK; belongs to the running loop. Proxies are taken from the environment, as the SDK does."""
    return aiohttp.ClientSession(connector=Connector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), trust_env=True)
