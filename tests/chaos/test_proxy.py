"""The fault proxy does what it says, to connections that are open and to new ones."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.proxy import CLEAR, FaultProxy, Weather

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionResetError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    """In front of a server that sends back whatever it gets."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with FaultProxy(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as made:
        yield made
    server.close()


async def connected(proxy: FaultProxy) -> Connection:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def said(connection: Connection, words: bytes) -> bytes:
    """What comes back. Raises `TimeoutError` if it is not all there within 5 seconds."""
    reader, writer = connection
    writer.write(words)
    async with asyncio.timeout(5):
        return await reader.readexactly(len(words))


async def silent(reader: asyncio.StreamReader, seconds: float = 0.2) -> bool:
    """Whether nothing comes, no end either, for so long."""
    try:
        async with asyncio.timeout(seconds):
            await reader.read(1)
    except TimeoutError:
        return True
    return False


async def test_it_passes_everything_on(proxy: FaultProxy) -> None:
    connection = await connected(proxy)
    assert await said(connection, b"hello") == b"hello"
    everything = bytes(range(256)) * 4096
    reader, writer = connection
    writer.write(everything)
    assert await reader.readexactly(len(everything)) == everything
    assert len(proxy) == 1
    writer.write_eof()
    assert await reader.read() == b"", "the end is passed on, too"


async def test_it_reaches_unix_sockets(tmp_path: Path) -> None:
    server = await asyncio.start_unix_server(echo, tmp_path / "socket")
    async with FaultProxy(f"unix:{tmp_path / 'socket'}") as proxy:
        assert await said(await connected(proxy), b"hello") == b"hello"
    server.close()


async def test_a_target_that_is_not_there_resets(tmp_path: Path) -> None:
    async with FaultProxy(f"unix:{tmp_path / 'nothing'}") as proxy:
        reader, _ = await connected(proxy)
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_drop(proxy: FaultProxy) -> None:
    before = await connected(proxy)
    await said(before, b"x")
    proxy.set(Weather(fault="drop"))
    assert await before[0].read() == b""
    assert await (await connected(proxy))[0].read() == b""
    proxy.set(CLEAR)
    assert await said(await connected(proxy), b"again") == b"again"


async def test_reset(proxy: FaultProxy) -> None:
    before = await connected(proxy)
    await said(before, b"x")
    proxy.set(Weather(fault="reset"))
    for reader, _ in (before, await connected(proxy)):
        with pytest.raises(ConnectionResetError):
            await reader.read()
    proxy.set(CLEAR)
    assert await said(await connected(proxy), b"again") == b"again"


async def test_half_open_swallows_and_never_lets_the_rest_through(proxy: FaultProxy) -> None:
    idle, before = await connected(proxy), await connected(proxy)
    await said(idle, b"x")
    await said(before, b"x")
    proxy.set(Weather(fault="half_open"))
    during = await connected(proxy)
    for reader, writer in (before, during):
        writer.write(b"lost")
        assert await silent(reader)
    proxy.set(CLEAR)
    for reader, _ in (before, during):
        with pytest.raises(ConnectionResetError):
            await reader.read()
    assert await said(idle, b"still") == b"still", "one that lost nothing goes on"


async def test_freeze_delivers_late(proxy: FaultProxy) -> None:
    before = await connected(proxy)
    await said(before, b"x")
    proxy.set(Weather(fault="freeze"))
    during = await connected(proxy)
    for reader, writer in (before, during):
        writer.write(b"late")
        assert await silent(reader)
    proxy.set(CLEAR)
    for reader, _ in (before, during):
        assert await reader.readexactly(4) == b"late"


async def test_latency(proxy: FaultProxy) -> None:
    connection = await connected(proxy)
    proxy.set(Weather(latency_s=0.1))
    began = time.monotonic()
    await said(connection, b"x")
    assert time.monotonic() - began >= 0.2, "there and back"
    proxy.set(Weather(latency_s=60))
    connection[1].write(b"y")
    assert await silent(connection[0])
    proxy.set(CLEAR)
    assert await connection[0].readexactly(1) == b"y", "the end of the latency ends the wait"


async def test_throttle(proxy: FaultProxy) -> None:
    connection = await connected(proxy)
    await said(connection, b"x")
    proxy.set(Weather(bytes_per_s=20_000))
    began = time.monotonic()
    assert len(await said(connection, b"y" * 10_000)) == 10_000
    assert time.monotonic() - began >= 0.4
