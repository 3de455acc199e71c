"""What the HTTP client for callers' URLs dials, seen at the sockets: whatever may not be called is not connected to."""

import asyncio
import contextlib
import errno
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_address
from typing import Any

import aiohttp
import pytest

from jobs.addresses import BAD_PORTS, AddressPolicy
from jobs.settings import Settings
from ringback.testing.inbox import CallbackInbox
from tests.unit.jobs.test_addresses import NO_URLS, PRIVATE
from workers.destinations.guard import AddressRefused, GuardedResolver, guarded_session

REFUSED = (aiohttp.ClientError, ValueError)


class Trap:
    """Sees every connection that this process begins over the network, and lets none through that is not `open`."""

    def __init__(self) -> None:
        self.dialed: list[tuple[str, int]] = []
        self.looked_up: list[str] = []
        self.open: set[str] = set()

    def see(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.connect" and args[0].family != socket.AF_UNIX:
            self.dialed.append(args[1][:2])
            if args[1][0] not in self.open:
                raise ConnectionRefusedError(errno.ECONNREFUSED, "trapped")
        elif event == "socket.getaddrinfo":
            self.looked_up.append(args[0])


_set: list[Trap] = []
sys.addaudithook(lambda event, args: _set[-1].see(event, args) if _set else None)


@pytest.fixture
def trap() -> Iterator[Trap]:
    _set.append(Trap())
    yield _set[-1]
    _set.clear()


Open = Callable[..., aiohttp.ClientSession]


@pytest.fixture
async def session() -> AsyncIterator[Open]:
    """Opens sessions for deployments that allow these networks and hosts."""
    async with contextlib.AsyncExitStack() as stack:

        def opened(*allow: str, policy: AddressPolicy | None = None) -> aiohttp.ClientSession:
            made = guarded_session(policy or AddressPolicy.of(Settings(callback_allow=allow)), total_s=10)
            stack.push_async_callback(made.close)
            return made

        yield opened


class Names:
    """A resolver under the test's control; the last answer stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[list[str]] = []
        self.asked: list[str] = []
        monkeypatch.setattr(socket, "getaddrinfo", self.lookup)

    def lookup(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in found
        ]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


def addresses() -> list[str]:
    """Those of the bad hosts that a resolver could answer with."""
    found = []
    for host in PRIVATE:
        with contextlib.suppress(ValueError):
            found.append(str(ip_address(host.strip("[]"))))
    return sorted(set(found))


def port_of(server: CallbackInbox) -> int:
    return int(server.url.rpartition(":")[2])


async def test_the_trap_sees_what_is_dialed(session: Open, trap: Trap) -> None:
    with pytest.raises(aiohttp.ClientConnectorError, match="trapped"):
        await session("127.0.0.0/8").get("http://127.0.0.1:8080/")
    assert trap.dialed == [("127.0.0.1", 8080)]


async def test_nothing_is_dialed_or_looked_up_for_a_bad_host(session: Open, trap: Trap) -> None:
    for host in PRIVATE:
        with pytest.raises(REFUSED):
            await session().post(f"http://{host}:8080/hook", data=b"{}")
        assert (trap.dialed, trap.looked_up) == ([], []), host


async def test_no_odd_url_leads_around_the_check(session: Open, trap: Trap, names: Names) -> None:
    names.answers = [["127.0.0.1"]]
    for url in NO_URLS:
        with pytest.raises(REFUSED):
            await session().post(url, data=b"{}")
        assert trap.dialed == [], url


async def test_there_are_many_bad_addresses() -> None:
    assert len(addresses()) >= 45


async def test_no_port_of_another_service_is_dialed(session: Open, trap: Trap) -> None:
    for port in sorted(BAD_PORTS):
        with pytest.raises(REFUSED):
            await session("127.0.0.0/8").get(f"http://127.0.0.1:{port}/")
        assert trap.dialed == [], port


@pytest.mark.parametrize("beside", [[], ["8.8.8.8"]], ids=["alone", "with a public one"])
async def test_no_name_leads_to_a_bad_address(session: Open, trap: Trap, names: Names, beside: list[str]) -> None:
    for address in addresses():
        names.answers, names.asked = [[*beside, address]], []
        with pytest.raises(aiohttp.ClientConnectorError) as refused:
            await session().get("http://orders.example:8080/")
        assert isinstance(refused.value.os_error, AddressRefused), address
        assert (trap.dialed, names.asked) == ([], ["orders.example"]), address


async def test_no_socket_is_made_for_a_bad_address_even_if_a_resolver_lets_it_pass(
    session: Open, trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = ""

    async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[Any]:
        return [{"hostname": host, "host": answer, "port": port, "family": family, "proto": 0, "flags": 0}]

    monkeypatch.setattr(GuardedResolver, "resolve", resolve)
    for answer in addresses():
        with pytest.raises(aiohttp.ClientConnectorError) as refused:
            await session().get("http://orders.example:8080/")
        assert isinstance(refused.value.os_error, AddressRefused), answer
        assert trap.dialed == [], answer


async def test_a_name_that_changes_its_address_is_caught(
    session: Open, trap: Trap, names: Names, callback_inbox: CallbackInbox
) -> None:
    """127.0.0.1 stands for a public address here, 127.0.0.2 for a private one."""
    trap.open = {"127.0.0.1", "127.0.0.2"}
    names.answers = [["127.0.0.1"], ["127.0.0.2"]]
    client, port = session("127.0.0.1"), port_of(callback_inbox)

    async with client.post(f"http://rebinding.example:{port}/", data=b"{}", headers={"connection": "close"}) as reply:
        assert reply.status == 204
    assert (names.asked, trap.dialed) == (["rebinding.example"], [("127.0.0.1", port)]), "one lookup, which is dialed"

    assert isinstance(client.connector, aiohttp.TCPConnector)
    client.connector.clear_dns_cache()
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.post(f"http://rebinding.example:{port}/", data=b"{}")
    assert len(names.asked) == 2
    assert trap.dialed == [("127.0.0.1", port)]
    assert len(callback_inbox.received) == 1


async def test_a_cached_lookup_is_checked_again_when_it_is_dialed(
    session: Open, trap: Trap, names: Names, callback_inbox: CallbackInbox
) -> None:
    trap.open = {"127.0.0.1"}
    names.answers = [["127.0.0.1"]]
    client, port = session("orders.internal"), port_of(callback_inbox)
    async with client.get(f"http://orders.internal:{port}/") as reply:
        assert reply.status == 204
    for url in (f"http://127.0.0.1:{port}/", f"http://other.example:{port}/"):
        with pytest.raises(aiohttp.ClientConnectionError, match="private"):
            await client.get(url)
    assert len(trap.dialed) == 1, "an address that a trusted name has is open to that name only"


class Changing(AddressPolicy, frozen=True):
    """Allows an address when it is dialed, and no longer when it has been."""

    looks: Any = None

    def allows(self, address: str) -> bool:  # type: ignore[override]  # the cache would remember the first look
        return bool(next(self.looks))


async def test_nothing_is_sent_to_a_peer_that_may_not_be_called(session: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = session(policy=Changing(looks=iter([True, True, False])))
        with pytest.raises(AddressRefused, match="peer"):
            await client.post(f"http://127.0.0.1:{listener.getsockname()[1]}/", data=b"secret")
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            assert await asyncio.to_thread(connection.recv, 100) == b""


async def test_redirects_are_not_followed(session: Open, callback_inbox: CallbackInbox) -> None:
    callback_inbox.fail("redirect")
    with pytest.raises(AddressRefused, match="redirects"):
        await session("127.0.0.0/8").get(callback_inbox.url)
    assert len(callback_inbox.received) == 1


async def test_no_proxy_is_used(
    session: Open, trap: Trap, callback_inbox: CallbackInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap.open = {"127.0.0.1"}
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1081")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    client = session("127.0.0.0/8")
    async with client.get(callback_inbox.url) as reply:
        assert reply.status == 204
    with pytest.raises(AddressRefused):
        await client.get(callback_inbox.url, proxy="http://127.0.0.1:1081")
    assert trap.dialed == [("127.0.0.1", port_of(callback_inbox))]


async def test_an_endless_answer_is_left_where_reading_stops(session: Open) -> None:
    sent = [0]

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while sent[0] < 1 << 30:
                sent[0] += connection.send(b"x" * 65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        async with session("127.0.0.0/8").get(f"http://127.0.0.1:{listener.getsockname()[1]}/") as reply:
            assert len(await reply.content.read(4096)) == 4096
        await asyncio.to_thread(server.join, 20)
    assert not server.is_alive(), "the connection is closed"
    assert sent[0] < 64 << 20, "what the sockets of both ends hold, and little more"


async def test_names_without_answer_do_not_hold_up_others(session: Open, names: Names, trap: Trap) -> None:
    release = threading.Event()
    answer = names.lookup

    def lookup(host: str, port: int, **options: Any) -> list[Any]:
        if host.startswith("silent"):
            release.wait(30)
        return answer(host, port, **options)

    names.answers = [["10.0.0.1"]]
    client = session()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lookup)
        waiting = [asyncio.create_task(client.get(f"http://silent{n}.example/")) for n in range(40)]
        try:
            async with asyncio.timeout(10):
                await asyncio.sleep(0)
                with pytest.raises(aiohttp.ClientConnectorError):
                    await client.get("http://quick.example/")
            assert names.asked == ["quick.example"]
        finally:
            release.set()
            await asyncio.gather(*waiting, return_exceptions=True)
    assert trap.dialed == []
