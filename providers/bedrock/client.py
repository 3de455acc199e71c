"""`BedrockService`: the boto3 client, made once, and the calls through it."""

import os
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import closing
from typing import Any

from providers import errors
from providers.bedrock import mapping
from providers.bedrock.bridge import Bridge
from providers.bedrock.errors import translated
from providers.bedrock.mapping import PROVIDER
from providers.service import Answer, Ask, Capabilities, Delta

CONNECT_S = 10.0
READ_S = 900.0
"""Seconds of silence after which a thread gives up by itself; the limits of jobs are far below."""
CALLS = 1024
"""Calls at once, each with a thread and a connection while it lasts."""


class BedrockService:
    """Bedrock's Converse, with the credentials, profile, region and endpoint that boto3 finds; `AWS_REGION` too."""

    name = PROVIDER

    def __init__(self) -> None:
        self._bridge = Bridge(CALLS)
        self._making = threading.Lock()
        self._client: Any = None

    def capabilities(self, model: str) -> Capabilities:
        """See `AIService`."""
        return mapping.capabilities(model)

    async def generate(self, ask: Ask) -> Answer:
        """See `AIService`."""
        return await self._bridge.run(lambda: self._converse(ask))

    def stream(self, ask: Ask) -> AsyncIterator[Delta | Answer]:
        """See `AIService`."""
        return self._bridge.iterate(lambda: self._converse_stream(ask))

    async def aclose(self) -> None:
        """See `AIService`."""
        self._bridge.close()
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _converse(self, ask: Ask) -> Answer:
        reader = mapping.AnswerReader(ask)
        with translated(ask):
            response = self._connected().converse(**mapping.request(ask))
        reader.read_whole(response)
        return reader.answer()

    def _converse_stream(self, ask: Ask) -> Generator[Delta | Answer, None, None]:
        reader = mapping.AnswerReader(ask)
        with translated(ask):
            events = self._connected().converse_stream(**mapping.request(ask))["stream"]
            with closing(events):
                for event in events:
                    if text := reader.read(event):
                        yield Delta(text)
        yield reader.answer()

    def _connected(self) -> Any:
        with self._making:
            if self._client is None:
                self._client = _make()
        return self._client


def _make() -> Any:
    import boto3
    from botocore.config import Config

    from providers.bedrock.connections import announce

    # Of the two variables boto3 itself reads only AWS_DEFAULT_REGION, all other SDKs of Amazon only AWS_REGION.
    session = boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=CALLS,
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        tcp_keepalive=True,
    )
    try:
        client = session.client("bedrock-runtime", config=config)
    except ValueError as error:
        raise errors.BadRequest(f"Bedrock cannot be reached as configured: {error}", provider=PROVIDER) from error
    client.meta.events.register("before-parse.bedrock-runtime.Converse", _complete)
    announce(client)
    return client


def _complete(response_dict: dict[str, Any], **_: Any) -> None:
    """Refuses a body that is shorter than announced: botocore takes it for the whole one."""
    announced = response_dict["headers"].get("content-length")
    if announced is not None and len(response_dict["body"]) < int(announced):
        raise errors.StreamInterrupted(provider=PROVIDER)
