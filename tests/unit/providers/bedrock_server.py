"""A server that answers boto3 with prepared bytes, for what the vendor server does not do."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from providers.bedrock.client import BedrockService
from ringback.testing.vendors import eventstream


class Raw:
    """A server that answers each request with prepared bytes, and notices when its client goes."""

    def __init__(self, answer: bytes, *, then_wait: bool = False) -> None:
        self._answer = answer
        self._then_wait = then_wait
        self.head = b""
        self.requests = 0
        self.connections = 0
        self.gone = asyncio.Event()
        self.asked = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        self.connections += 1
        try:
            while True:
                self.head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in self.head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.partition(b":")[2]))
                self.requests += 1
                writer.write(self._answer)
                await writer.drain()
                self.asked.set()
                if self._then_wait:
                    await reader.read()
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.gone.set()
            writer.close()


@asynccontextmanager
async def served(raw: Raw, aws: pytest.MonkeyPatch, tls: ssl.SSLContext | None = None) -> AsyncIterator[BedrockService]:
    """A service whose server is `raw`."""
    server = await asyncio.start_server(raw.handle, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    aws.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", f"http{'s' if tls else ''}://127.0.0.1:{port}")
    service = BedrockService()
    try:
        yield service
    finally:
        await service.aclose()
        server.close()


def chunked(*frames: bytes, ended: bool = True) -> bytes:
    """A streamed response."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(frame), frame) for frame in frames) + (b"0\r\n\r\n" if ended else b"")


def event(kind: str, **fields: Any) -> bytes:
    """One frame of a stream."""
    return eventstream.event(kind, msgspec.json.encode(fields))
