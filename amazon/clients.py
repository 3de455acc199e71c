"""Clients of boto3, made when first needed, whose calls run in threads and end when nobody waits for them."""

import os
import threading
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, TypeVar

from amazon.bridge import Bridge
from amazon.failures import Failure

T = TypeVar("T")

CONNECT_S = 10.0
READ_S = 300.0
"""Seconds of silence after which a thread gives up by itself; the limits of callers are far below."""


class Clients:
    """The clients that one of ours needs. Makes no threads and no clients before the first call."""

    def __init__(
        self, *, calls: int, read_s: float = READ_S, prepare: Callable[[Any], None] = lambda client: None
    ) -> None:
        """Up to `calls` at once, each with a thread and a connection while it lasts; `prepare` gets each new client."""
        self._calls, self._read_s, self._prepare = calls, read_s, prepare
        self._bridge = Bridge(calls)
        self._making = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}
        """By service and region; empty: the region that boto3 finds."""

    def client(self, service: str, region: str = "") -> Any:
        """In a thread: boto3's client, such as `polly`. Raises `Failure` as `made` does, and what boto3 raises."""
        with self._making:
            if (service, region) not in self._clients:
                self._clients[service, region] = self._made(service, region)
            return self._clients[service, region]

    def region(self, service: str) -> str:
        """That of its clients that name none; a profile's is known once there is one."""
        if (client := self._clients.get((service, ""))) is not None:
            return str(client.meta.region_name)
        return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, in a thread; cancelling closes its connection."""
        return await self._bridge.run(work)

    def iterate(self, work: Callable[[], Generator[T, None, None]]) -> AsyncIterator[T]:
        """What `work` yields or raises, in a thread; cancelling and closing end its connection."""
        return self._bridge.iterate(work)

    async def aclose(self) -> None:
        """Ends all calls and closes the clients."""
        self._bridge.close()
        clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    def _made(self, service: str, region: str) -> Any:
        from amazon.connections import announce

        client = made(service, region=region, calls=self._calls, connect_s=CONNECT_S, read_s=self._read_s)
        announce(client)
        self._prepare(client)
        return client


def made(service: str, *, calls: int, connect_s: float, read_s: float, tries: int = 1, region: str = "") -> Any:
    """A client of boto3 with up to `calls` connections, limits in seconds.

    Raises `Failure` (`misconfigured`) for an endpoint or a region that is none.
    """
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": tries},
        max_pool_connections=calls,
        connect_timeout=connect_s,
        read_timeout=read_s,
        tcp_keepalive=True,
        # Buckets as paths where the endpoint is not Amazon's own, which knows no names below its own.
        s3={"addressing_style": "path" if os.environ.get("AWS_ENDPOINT_URL_S3") else "auto"},
    )
    if service == "s3":
        # Links would else be signed as buckets made since 2020 do not take it.
        config = config.merge(Config(signature_version="s3v4"))
    try:
        return session(region).client(service, config=config)
    except ValueError as error:
        raise Failure("misconfigured", f"{service} cannot be reached as configured: {error}") from error


def session(region: str = "") -> Any:
    """boto3's session. Of the two variables it reads only AWS_DEFAULT_REGION, all other SDKs only AWS_REGION."""
    import boto3

    return boto3.session.Session(region_name=region or os.environ.get("AWS_REGION") or None)
