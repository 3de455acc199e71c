"""The HTTP client for URLs that callers name: it dials only addresses that they may reach.

A URL is judged as it is spelled, each address that its name resolves to, each address that is dialed, and the peer at
the other end before anything is sent to it. There is one lookup, and what it found is what is dialed.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client import ClientTimeout
from aiohttp.connector import AddrInfoType, Connection
from aiohttp.tracing import Trace

from jobs.addresses import AddressPolicy

CONNECT_S = 10.0
_LOOKUPS = 64
"""Lookups under way at once: names whose servers do not answer must not hold up the lookups of others."""
_BUFFER_BYTES = 32 * 1024
"""aiohttp stops reading an answer when twice as much of it waits to be taken."""
_trusted: ContextVar[bool] = ContextVar("trusted", default=False)
"""Whether the host of the request that a socket is made for is one that the operator allows by name."""


class AddressRefused(aiohttp.ClientOSError):
    """The URL's host is, or resolves to, an address that callers may not reach."""

    def __init__(self, reason: str) -> None:
        """`reason` is for the log of attempts."""
        super().__init__(reason)
        self.strerror = reason  # what aiohttp's own errors quote


def guarded_session(policy: AddressPolicy, *, total_s: float) -> aiohttp.ClientSession:
    """A session for URLs that callers name; it must be made within the event loop, and closed.

    A request, its answer's body included, takes at most `total_s` seconds. Redirects are never followed, proxies
    and credentials of the environment never used, cookies never kept, bodies never unpacked. Who uses it asks
    `policy.objection` about the URL as it was given first, and limits how much of a body is read. What may not be
    dialed raises `AddressRefused`, as it is or as the `os_error` of a `aiohttp.ClientConnectorError`.
    """
    redirects = aiohttp.TraceConfig()
    redirects.on_request_redirect.append(_refuse_redirect)
    return aiohttp.ClientSession(
        connector=GuardedConnector(policy),
        timeout=ClientTimeout(total=total_s, sock_connect=CONNECT_S),
        trace_configs=[redirects],
        read_bufsize=_BUFFER_BYTES,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


def refusal(failure: Exception) -> AddressRefused | None:
    """Why the address may not be called, if that is what failed."""
    cause = failure.os_error if isinstance(failure, aiohttp.ClientConnectorError) else failure
    return cause if isinstance(cause, AddressRefused) else None


async def _refuse_redirect(
    session: aiohttp.ClientSession, context: SimpleNamespace, redirect: aiohttp.TraceRequestRedirectParams
) -> None:
    raise AddressRefused("redirects are not followed")


class GuardedConnector(aiohttp.TCPConnector):
    """Connects to what `policy` allows, whoever asks for it and however it is spelled."""

    def __init__(self, policy: AddressPolicy) -> None:
        """Must be made within the event loop."""
        self._policy = policy
        self._guarded_resolver = GuardedResolver(policy)
        super().__init__(resolver=self._guarded_resolver, socket_factory=self._socket, limit=0, ttl_dns_cache=10)

    async def connect(self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        """A connection, old or new, for that request. Raises `AddressRefused`."""
        # As the client reads the URL, which may differ from how its giver reads it.
        if objection := self._policy.objection(str(req.url)):
            raise AddressRefused(f"the URL {objection}")
        if req.proxy is not None:
            raise AddressRefused("proxies are not used")
        trusted = self._policy.trusts(req.url.raw_host or "")
        token = _trusted.set(trusted)
        try:
            connection = await super().connect(req, traces, timeout)
        finally:
            _trusted.reset(token)
        peer = connection.transport and connection.transport.get_extra_info("peername")
        if not peer:
            connection.close()
            raise aiohttp.ServerDisconnectedError("the peer hung up at once")  # no refusal: worth another attempt
        if not (trusted or self._policy.allows(peer[0])):
            connection.close()
            raise AddressRefused(f"the peer of {req.url.host} is a private address")
        return connection

    def _socket(self, info: AddrInfoType) -> socket.socket:
        """The socket for an address that is about to be dialed."""
        family, kind, protocol, _, address = info
        if not _trusted.get() and not self._policy.allows(str(address[0])):
            raise AddressRefused("this is a private address")
        return socket.socket(family, kind, protocol)

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Closes all connections."""
        await super().close(abort_ssl=abort_ssl)
        await self._guarded_resolver.close()


class GuardedResolver(AbstractResolver):
    """Resolves a name once, for the connection that is then made to that address; all addresses must be allowed."""

    def __init__(self, policy: AddressPolicy) -> None:
        """`policy` decides over the addresses."""
        self._policy = policy
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises `AddressRefused`, or `OSError` if there are none."""
        lookup = partial(
            socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        answers = await asyncio.get_running_loop().run_in_executor(self._threads, lookup)
        found = [_result(host, port, answer) for answer in answers]
        if not self._policy.trusts(host) and not all(self._policy.allows(result["host"]) for result in found):
            raise AddressRefused(f"{host} resolves to a private address")
        return found

    async def close(self) -> None:
        """Begins no more lookups; those under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _result(name: str, port: int, answer: tuple[Any, ...]) -> ResolveResult:
    family, _, protocol, _, address = answer
    zone = f"%{address[3]}" if family == socket.AF_INET6 and address[3] else ""
    return ResolveResult(
        hostname=name,
        host=f"{address[0]}{zone}",
        port=port,
        family=family,
        proto=protocol,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
