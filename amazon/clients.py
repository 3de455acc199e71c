"""Clients of boto3, made when first needed, whose calls run in threads and end when nobody waits for them."""

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from amazon.bridge import Bridge
from amazon.failures import Failure

T = TypeVar("T")

CONNECT_S = 10.0
READ_S = 300.0
"""Seconds of silence after which a thread gives up by itself; the limits of callers are far below."""


class Clients:
    """The clients that one of ours needs. Makes no threads and no clients before the first call."""

    def __init__(self, *, calls: int) -> None:
        """Up to `calls` at once, each with a thread and a connection while it lasts."""
        self._calls = calls
        self._bridge = Bridge(calls)
        self._making = threading.Lock()
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """In a thread: boto3's client, such as `s3`. Raises `Failure` as `made` does, and what boto3 raises."""
        with self._making:
            if service not in self._clients:
                self._clients[service] = self._made(service)
            return self._clients[service]

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, in a thread; cancelling closes its connection."""
        return await self._bridge.run(work)

    async def aclose(self) -> None:
        """Ends all calls and closes the clients."""
        self._bridge.close()
        clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    def _made(self, service: str) -> Any:
        from amazon.connections import announce

        client = made(service, calls=self._calls, connect_s=CONNECT_S, read_s=READ_S)
        announce(client)
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
