"""Clients of boto3, made when first needed, whose calls run in threads and end when nobody waits for them."""

import os
import threading
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, TypeVar

from providers.bedrock.bridge import Bridge
from speech import errors

T = TypeVar("T")

CONNECT_S = 10.0
READ_S = 300.0
"""Seconds of silence after which a thread gives up by itself; the limits of callers are far below."""


class Amazon:
    """The clients that one speech service needs. Its instances make no threads and no clients before the first call."""

    def __init__(self, *, provider: str, calls: int) -> None:
        """Up to `calls` at once, each with a thread and a connection while it lasts."""
        self._provider, self._calls = provider, calls
        self._bridge = Bridge(calls)
        self._making = threading.Lock()
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """In a thread: boto3's client, such as `polly`. Raises `errors.BadRequest` for an endpoint that is none."""
        with self._making:
            if service not in self._clients:
                self._clients[service] = self._made(service)
            return self._clients[service]

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

    def _made(self, service: str) -> Any:
        from botocore.config import Config

        from providers.bedrock.connections import announce

        config = Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            max_pool_connections=self._calls,
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            tcp_keepalive=True,
            # Buckets as paths where the endpoint is not Amazon's own, which knows no names below its own.
            s3={"addressing_style": "path" if os.environ.get("AWS_ENDPOINT_URL_S3") else "auto"},
        )
        if service == "s3":
            # Links would else be signed as buckets made since 2020 do not take it.
            config = config.merge(Config(signature_version="s3v4"))
        try:
            client = session().client(service, config=config)
        except ValueError as error:
            raise errors.BadRequest(
                f"{service} cannot be reached as configured: {error}", provider=self._provider
            ) from error
        announce(client)
        return client


def session() -> Any:
    """boto3's session. Of the two variables it reads only AWS_DEFAULT_REGION, all other SDKs only AWS_REGION."""
    import boto3

    return boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)
