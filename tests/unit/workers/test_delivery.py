"""Delivering callbacks to receivers of every kind: kind, slow, hostile, and those that may not be called."""

import asyncio
import base64
import contextlib
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook

from jobs import signing
from jobs.addresses import AddressPolicy
from jobs.destinations import Destinations
from jobs.job import Callback
from jobs.settings import Destination, Settings
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.dead_letters import DeadLetters
from jobs.store.deliveries import EXCERPT_BYTES, ROUND_S, Delivery, Due, Outbox
from jobs.store.jobs import JobStore
from ringback.testing.inbox import CallbackInbox
from tests.integration.store.sample import callback_of, ended, running, until
from workers import delivery
from workers.delivery import SCHEDULE_S, Deliverer
from workers.destinations import throttle
from workers.destinations.guard import AddressRefused, GuardedResolver
from workers.destinations.http import HttpSender

SECRET = signing.new_secret()
LOOPBACK = ("127.0.0.0/8",)


class Sender:
    """A deliverer on a real outbox."""

    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        allow: tuple[str, ...],
        destinations: Destinations | None = None,
    ) -> None:
        self.connection = connection
        self.store, self.outbox = JobStore(connection, settings), Outbox(connection, settings)
        policy = AddressPolicy.of(Settings(callback_allow=allow))
        known = destinations or Destinations(Settings(webhook_secret=SECRET))
        http = HttpSender(policy, known, delivery.ATTEMPT_S)
        self.deliverer = Deliverer(self.outbox, {"http": http}, known)

    async def put(self, url: str) -> tuple[str, Due]:
        """Ends a job with a callback to `url`, leased to this process; the job's id and the delivery."""
        claim = await running(self.store, callback=Callback(url=url))
        job = ended(claim, output={"text": "끝"})
        made = callback_of(job)
        assert made is not None
        last = await self.store.end(claim.fence, job, delivery=made, deliver_after_s=30)
        return job.id, Due.fresh(made, job.id, last)

    async def send(self, url: str) -> Delivery:
        """One attempt at a callback to `url`: the delivery after it."""
        job_id, due = await self.put(url)
        await asyncio.wait_for(self.deliverer.deliver(due), 30)
        return (await self.outbox.of_job(job_id))[0]


Make = Callable[..., Sender]


@pytest.fixture
async def make(connection: Connection, settings: Settings) -> AsyncIterator[Make]:
    """Makes senders that may call these private networks and hosts."""
    async with contextlib.AsyncExitStack() as stack:

        def made(*allow: str) -> Sender:
            sender = Sender(connection, settings, allow or LOOPBACK)
            stack.push_async_callback(sender.deliverer.aclose, 5.0)
            return sender

        yield made


@pytest.fixture
def second_inbox() -> Iterator[CallbackInbox]:
    """Another receiver."""
    with CallbackInbox() as inbox:
        yield inbox


class RawServer:
    """Answers every connection with the same bytes, and keeps it open or not."""

    def __init__(self, reply: bytes, *, drip_s: float = 0.0) -> None:
        self._reply, self._drip_s = reply, drip_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/hook"
        self._over = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(self._reply)
            while self._drip_s and not self._over.wait(self._drip_s):
                connection.sendall(b"x")

    def close(self) -> None:
        self._over.set()
        self._listener.close()


@pytest.fixture
def raw() -> Iterator[Callable[..., RawServer]]:
    """Starts servers that answer with raw bytes."""
    with contextlib.ExitStack() as stack:

        def started(reply: bytes, **options: Any) -> RawServer:
            server = RawServer(reply, **options)
            stack.callback(server.close)
            return server

        yield started


async def test_a_callback_carries_what_standard_webhooks_asks_for(make: Make, callback_inbox: CallbackInbox) -> None:
    found = await make().send(callback_inbox.url + "/hook?주문=1")
    (callback,) = callback_inbox.received
    assert callback.signature_problem(SECRET) is None
    assert Webhook(SECRET).verify(callback.body, callback.headers)["type"] == "job.succeeded"
    assert (callback.method, callback.id, callback.type) == ("POST", found.webhook_id, "job.succeeded")
    assert callback.headers["content-type"] == "application/json"
    assert callback.headers["ringback-sequence"] == "2"
    assert (found.status, found.next_attempt_at) == ("delivered", None)
    (attempt,) = found.attempts
    assert (attempt.number, attempt.status_code, attempt.error) == (1, 204, None)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_2xx_is_success(make: Make, callback_inbox: CallbackInbox, status: int) -> None:
    callback_inbox.fail(status)
    assert (await make().send(callback_inbox.url)).status == "delivered"


@pytest.mark.parametrize("status", [300, 301, 304, 400, 401, 404, 408, 429, 500, 502, 503, 504, 599])
async def test_every_other_status_is_tried_again(make: Make, callback_inbox: CallbackInbox, status: int) -> None:
    callback_inbox.fail(status)
    found = await make().send(callback_inbox.url)
    assert (found.status, found.attempts[0].status_code) == ("pending", status)
    assert found.next_attempt_at is not None
    assert 4 < (found.next_attempt_at - datetime.now(UTC)).total_seconds() <= SCHEDULE_S[0] * 1.1


async def test_gone_is_given_up(make: Make, callback_inbox: CallbackInbox) -> None:
    callback_inbox.fail(410, headers={"retry-after": "1"})
    found = await make().send(callback_inbox.url)
    assert (found.status, found.next_attempt_at) == ("failed", None)


async def test_a_redirect_is_not_followed(make: Make, callback_inbox: CallbackInbox) -> None:
    callback_inbox.fail("redirect")
    found = await make().send(callback_inbox.url)
    assert (found.status, found.attempts[0].status_code) == ("pending", 307)
    assert len(callback_inbox.received) == 1


async def test_a_reset_and_a_closed_port_are_recorded(make: Make, callback_inbox: CallbackInbox) -> None:
    callback_inbox.fail("reset")
    found = await make().send(callback_inbox.url)
    callback_inbox.close()
    for seen in (found, await make().send(callback_inbox.url)):
        assert (seen.status, seen.attempts[0].status_code) == ("pending", None)
        assert seen.attempts[0].error


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\r\n",
        b"220 smtp.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 100_000 + b"\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        b"\xff\xfe\x00" * 1000,
    ],
)
async def test_an_answer_that_is_no_http_is_a_recorded_failure(
    make: Make, raw: Callable[..., RawServer], reply: bytes
) -> None:
    found = await make().send(raw(reply).url)
    assert found.status == "pending"
    (attempt,) = found.attempts
    assert attempt.error
    assert len(attempt.error) <= 500


async def test_only_the_beginning_of_an_endless_answer_is_kept(make: Make, raw: Callable[..., RawServer]) -> None:
    endless = raw(b"HTTP/1.1 200 OK\r\n\r\n" + "가".encode() * 1_000_000, drip_s=0.001)
    found = await make().send(endless.url)
    assert found.status == "delivered"
    excerpt = found.attempts[0].response_excerpt
    assert excerpt.startswith("가" * 1000)
    assert len(excerpt.encode()) <= EXCERPT_BYTES


async def test_an_excerpt_of_anything_can_be_kept(make: Make, raw: Callable[..., RawServer]) -> None:
    body = bytes(range(256))
    found = await make().send(
        raw(b"HTTP/1.1 500 no\r\nContent-Encoding: gzip\r\nContent-Length: 256\r\n\r\n" + body).url
    )
    assert found.attempts[0].response_excerpt == body.decode(errors="replace")


async def test_an_excerpt_of_what_is_no_text_is_no_longer_than_others(
    make: Make, raw: Callable[..., RawServer]
) -> None:
    found = await make().send(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"\xff" * 9000).url)
    assert 4000 < len(found.attempts[0].response_excerpt.encode()) <= EXCERPT_BYTES


async def test_a_receiver_that_drips_has_no_more_time_than_others(
    make: Make, raw: Callable[..., RawServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "ATTEMPT_S", 0.4)
    for reply in (b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "):
        found = await make().send(raw(reply, drip_s=0.02).url)
        (attempt,) = found.attempts
        assert (found.status, attempt.error) == ("pending", "no complete answer within 0.4 s")


async def test_a_receiver_that_never_answers_is_left(
    make: Make, callback_inbox: CallbackInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "ATTEMPT_S", 0.2)
    callback_inbox.fail("hang")
    found = await make().send(callback_inbox.url)
    assert (found.attempts[0].status_code, found.attempts[0].error) == (None, "no complete answer within 0.2 s")


def http_date(in_s: float) -> str:
    """The time in so many seconds."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=in_s), usegmt=True)


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("0", 5, 6),
        ("3", 5, 6),
        ("7200", 7200, 7200),
        (" 120 ", 120, 120),
        ("9999999999", 86_400, 86_400),
        ("9" * 400, 86_400, 86_400),
        ("9" * 5000, 86_400, 86_400),
        (3600, 3590, 3600),
        (-3600, 5, 6),
        ("-5", 5, 6),
        ("1.5", 5, 6),
        ("soon", 5, 6),
        ("", 5, 6),
        ("²", 5, 6),
        ("٣٠٠٠", 5, 6),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", 5, 6),
        ("Wed, 21 Oct 2099 07:28:00 +999999999999", 5, 6),
        ("Wed, 99 Oct 2099 99:99:99 GMT", 5, 6),
        ("Wed, 21 Oct 2099 07:28:00", 5, 86_400),
    ],
)
async def test_a_receiver_may_ask_for_a_pause(
    make: Make, callback_inbox: CallbackInbox, value: str | int, least: float, most: float
) -> None:
    """`value` is the header, or an HTTP date in so many seconds."""
    header = value if isinstance(value, str) else http_date(value)
    callback_inbox.fail(503, headers={"retry-after": header})
    found = await make().send(callback_inbox.url)
    assert (found.status, found.attempts[0].status_code, found.attempts[0].error) == ("pending", 503, None)
    assert found.next_attempt_at is not None
    pause = (found.next_attempt_at - datetime.now(UTC)).total_seconds()
    assert least - 2 <= pause <= most + 1


async def test_the_schedule_is_that_of_standard_webhooks(
    make: Make, callback_inbox: CallbackInbox, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "OPENS_AFTER", 1_000)
    sender = make()
    callback_inbox.fail(500, times=20)
    job_id, due = await sender.put(callback_inbox.url)
    for tries in range(len(SCHEDULE_S) + 1):
        await sender.deliverer.deliver(due)
        (found,) = await sender.outbox.of_job(job_id)
        assert len(found.attempts) == found.attempts[-1].number == tries + 1
        if tries == len(SCHEDULE_S):
            break
        assert found.next_attempt_at is not None
        pause = (found.next_attempt_at - datetime.now(UTC)).total_seconds()
        assert SCHEDULE_S[tries] - 2 < pause <= SCHEDULE_S[tries] * 1.1
        await connection.redis.zadd(keys.due(0), {due.id: 1})
        (due,) = await sender.outbox.take(limit=1, lease_s=30)
    assert (found.status, found.next_attempt_at) == ("failed", None)
    assert len({callback.id for callback in callback_inbox.received}) == 1
    assert all(callback.signature_problem(SECRET) is None for callback in callback_inbox.received)
    assert 60 * 3600 < sum(SCHEDULE_S) < 80 * 3600


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://2130706433:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://①②⑦.⓪.⓪.①:{port}/",
        "http://127。0。0。1:{port}/",
        "http://0.0.0.0:{port}/",
        "ftp://127.0.0.1:{port}/",
        "http://user@example.com:{port}/",
        "not a url",
    ],
)
async def test_what_may_not_be_called_is_a_recorded_failure(
    make: Make, callback_inbox: CallbackInbox, url: str
) -> None:
    found = await make("10.9.9.9").send(url.format(port=callback_inbox.url.rpartition(":")[2]))
    (attempt,) = found.attempts
    assert attempt.error is not None
    assert attempt.error.startswith("refused: ")
    assert (found.status, attempt.status_code, callback_inbox.received) == ("failed", None, [])
    assert found.next_attempt_at is None


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Every name resolves to these addresses."""

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address.partition("%")[0], port, 0, int(zone or 0)))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
            for zone in [address.partition("%")[2]]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("8.8.8.8", "127.0.0.1"),
        ("127.0.0.1", "8.8.8.8"),
        ("2606:4700::1111", "::1"),
        ("::ffff:169.254.169.254",),
        ("fe80::1%2",),
    ],
)
async def test_a_name_that_resolves_to_a_private_address_is_not_called(
    make: Make, callback_inbox: CallbackInbox, monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    resolving(monkeypatch, *addresses)
    port = callback_inbox.url.rpartition(":")[2]
    found = await make("10.9.9.9").send(f"http://orders.example:{port}/")
    assert found.status == "failed"
    assert found.attempts[0].error == "refused: orders.example resolves to a private address"
    assert callback_inbox.received == []


@pytest.mark.parametrize("host", ["orders.internal", "Orders.Internal", "orders.internal.", "orders。internal"])
async def test_a_name_that_the_operator_allows_is_called_wherever_it_is(
    make: Make, callback_inbox: CallbackInbox, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    resolving(monkeypatch, "127.0.0.1")
    port = callback_inbox.url.rpartition(":")[2]
    assert (await make("orders.internal").send(f"http://{host}:{port}/")).status == "delivered"
    assert callback_inbox.received[0].headers["host"].lower().startswith("orders.internal")


async def test_what_it_dials_is_what_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "8.8.8.8", "2606:4700::1111")
    resolver = GuardedResolver(AddressPolicy())
    assert [found["host"] for found in await resolver.resolve("x.example")] == ["8.8.8.8", "2606:4700::1111"]
    resolving(monkeypatch, "8.8.8.8", "10.0.0.1")
    with pytest.raises(AddressRefused):
        await resolver.resolve("x.example")
    await resolver.close()


async def test_a_name_that_does_not_resolve_is_recorded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    found = await make().send("http://nobody.invalid/")
    assert found.status == "pending"
    assert found.attempts[0].error


async def test_no_proxy_of_the_environment_is_used(
    make: Make, callback_inbox: CallbackInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert (await make().send(callback_inbox.url)).status == "delivered"


async def test_what_falls_due_is_delivered(
    make: Make, callback_inbox: CallbackInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "POLL_S", 0.02)
    monkeypatch.setattr(delivery, "SCHEDULE_S", (0.05, 0.05, 0.05))
    sender = make()
    callback_inbox.fail(500, times=2)
    keeping = asyncio.create_task(sender.deliverer.keep_delivering())
    job_id, due = await sender.put(callback_inbox.url)
    sender.deliverer.start(due)

    async def delivered() -> bool:
        return (await sender.outbox.of_job(job_id))[0].status == "delivered"

    await until(delivered)
    keeping.cancel()
    assert [callback.answered for callback in callback_inbox.received] == [500, 500, 204]
    assert len({callback.id for callback in callback_inbox.received}) == 1


async def test_closing_finishes_what_is_under_way_for_a_while(make: Make, callback_inbox: CallbackInbox) -> None:
    sender = make()
    callback_inbox.fail(200, after_s=0.2)
    callback_inbox.fail("hang")
    quick, slow = await sender.put(callback_inbox.url), await sender.put(callback_inbox.url)
    sender.deliverer.start(quick[1])
    await callback_inbox.wait_for(1)
    sender.deliverer.start(slow[1])
    await asyncio.wait_for(sender.deliverer.aclose(0.6), 5)
    assert (await sender.outbox.of_job(quick[0]))[0].status == "delivered"
    (left,) = await sender.outbox.of_job(slow[0])
    assert (left.status, left.attempts) == ("pending", [])
    (again,) = await sender.outbox.take(limit=10, lease_s=30)
    assert (again.id, again.tries) == (slow[1].id, 0)  # another process takes it at once


async def test_a_pause_holds_off_that_destination_and_no_other(
    make: Make, callback_inbox: CallbackInbox, second_inbox: CallbackInbox
) -> None:
    sender = make()
    callback_inbox.fail(503, headers={"retry-after": "600"})
    first = await sender.send(callback_inbox.url + "/one")
    assert len(first.attempts) == 1
    held_off = await sender.send(callback_inbox.url + "/two")
    assert (held_off.status, held_off.attempts) == ("pending", [])
    assert held_off.next_attempt_at is not None
    assert 590 < (held_off.next_attempt_at - datetime.now(UTC)).total_seconds() < 610
    assert (await sender.send(second_inbox.url)).status == "delivered"
    assert len(callback_inbox.received) == 1


async def test_what_was_held_off_is_delivered_after_the_pause(
    make: Make, callback_inbox: CallbackInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "POLL_S", 0.02)
    monkeypatch.setattr(throttle, "SHORTEST_POSTPONEMENT_S", 0.05)
    sender = make()
    callback_inbox.fail(429, headers={"retry-after": "1"})
    await sender.send(callback_inbox.url)
    answered = callback_inbox.received[0].at
    put = [await sender.put(callback_inbox.url) for _ in range(20)]
    keeping = asyncio.create_task(sender.deliverer.keep_delivering())
    for _, due in put:
        sender.deliverer.start(due)
    received = await callback_inbox.wait_for(21)
    assert min(callback.at for callback in received[1:]) - answered >= 0.9

    async def recorded() -> bool:
        found = [(await sender.outbox.of_job(job_id))[0] for job_id, _ in put]
        return all((d.status, len(d.attempts)) == ("delivered", 1) for d in found)

    await until(recorded)
    keeping.cancel()


async def test_a_hanging_endpoint_holds_its_own_slots_only(
    make: Make, callback_inbox: CallbackInbox, second_inbox: CallbackInbox
) -> None:
    sender = make()
    callback_inbox.fail("hang", times=1_000)
    for _ in range(300):
        sender.deliverer.start((await sender.put(callback_inbox.url))[1])
    for _ in range(40):
        sender.deliverer.start((await sender.put(second_inbox.url))[1])
    await second_inbox.wait_for(40)
    await callback_inbox.wait_for(16)
    assert len(callback_inbox.received) == 16
    await sender.deliverer.aclose(0.0)
    taken: list[Due] = []
    while batch := await sender.outbox.take(limit=200, lease_s=30):
        taken += batch
    assert {due.tries for due in taken} == {0}, "what was cut off or never begun is no attempt"


async def test_what_a_dead_endpoint_has_left_does_not_stand_before_others(
    make: Make, callback_inbox: CallbackInbox, second_inbox: CallbackInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All in one shard, and more than one look takes."""
    monkeypatch.setattr(delivery, "POLL_S", 0.01)
    sender = make()
    callback_inbox.fail(503, headers={"retry-after": "600"})
    await sender.send(callback_inbox.url)
    dead = [(await sender.put(callback_inbox.url))[1].id for _ in range(100)]
    _, other = await sender.put(second_inbox.url)
    redis = sender.connection.redis
    await redis.zadd(keys.due(0), {**dict.fromkeys(dead, 1), other.id: 2})
    keeping = asyncio.create_task(sender.deliverer.keep_delivering())
    await second_inbox.wait_for(1)
    keeping.cancel()
    assert len(callback_inbox.received) == 1
    assert await redis.zcount(keys.due(0), 0, 10) == 0


async def test_a_dead_endpoint_is_probed_by_one(
    make: Make, callback_inbox: CallbackInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "OPENS_AFTER", 3)
    monkeypatch.setattr(throttle, "OPEN_S", 0.3)
    sender = make()
    callback_inbox.fail("reset", times=3)
    for _ in range(3):
        await sender.send(callback_inbox.url)
    assert (await sender.send(callback_inbox.url)).attempts == []
    await asyncio.sleep(0.35)  # it is time, and nothing else, that opens it
    callback_inbox.fail(200, after_s=1.0)
    tried = await asyncio.gather(*(sender.send(callback_inbox.url) for _ in range(5)))
    assert sorted(len(found.attempts) for found in tried) == [0, 0, 0, 0, 1]
    assert (await sender.send(callback_inbox.url)).status == "delivered"


async def test_no_more_go_to_a_named_destination_than_it_allows(
    connection: Connection, settings: Settings, callback_inbox: CallbackInbox
) -> None:
    limited = Destinations(
        Settings(webhook_secret=SECRET, destinations={"orders": Destination(url=callback_inbox.url, concurrency=2)})
    )
    sender = Sender(connection, settings, LOOPBACK, limited)
    callback_inbox.fail("hang", times=10)
    for _ in range(6):
        sender.deliverer.start((await sender.put(callback_inbox.url + "/hook"))[1])
    await callback_inbox.wait_for(2)
    await sender.deliverer.aclose(0.3)
    assert len(callback_inbox.received) == 2


async def test_a_named_destination_gets_its_own_signatures(
    connection: Connection, settings: Settings, callback_inbox: CallbackInbox
) -> None:
    theirs, before, key = signing.new_secret(), signing.new_secret(), signing.new_signing_key()
    named = Destination(url=callback_inbox.url + "/orders", secret=theirs, previous_secret=before, signing_key=key)
    sender = Sender(
        connection,
        settings,
        LOOPBACK,
        Destinations(Settings(webhook_secret=SECRET, destinations={"orders": named})),
    )
    await sender.send(callback_inbox.url + "/orders/hook")
    await sender.send(callback_inbox.url + "/orderssome")
    await sender.deliverer.aclose(5)
    own, other = callback_inbox.received
    for secret in (theirs, before):
        Webhook(secret).verify(own.body, own.headers)
    assert own.signature_problem(SECRET) is not None
    assert other.signature_problem(SECRET) is None
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(signing.public_key(key).removeprefix("whpk_")))
    signature = base64.b64decode(own.headers["webhook-signature"].split(" ")[-1].removeprefix("v1a,"))
    public.verify(signature, f"{own.id}.{own.headers['webhook-timestamp']}.".encode() + own.body)


async def test_what_was_held_off_for_days_is_given_up(make: Make, callback_inbox: CallbackInbox) -> None:
    sender = make()
    callback_inbox.fail(503, headers={"retry-after": "600"})
    await sender.send(callback_inbox.url)
    job_id, due = await sender.put(callback_inbox.url)
    await sender.deliverer.deliver(msgspec.structs.replace(due, began_ms=due.began_ms - ROUND_S * 1000))
    (found,) = await sender.outbox.of_job(job_id)
    assert (found.status, found.next_attempt_at) == ("failed", None)
    assert found.attempts[0].error == "given up: the destination has been failing or full for days"
    assert len(callback_inbox.received) == 1


async def test_a_replay_starts_the_schedule_anew(
    make: Make, callback_inbox: CallbackInbox, connection: Connection, settings: Settings
) -> None:
    sender = make()
    callback_inbox.fail(410)
    found = await sender.send(callback_inbox.url)
    await DeadLetters(connection, settings).replay(found.id)
    callback_inbox.fail(500)
    (due,) = await sender.outbox.take(limit=1, lease_s=30)
    await sender.deliverer.deliver(due)
    (again,) = await sender.outbox.of_job(found.job_id)
    assert [attempt.number for attempt in again.attempts] == [1, 2]
    assert again.next_attempt_at is not None
    assert (again.next_attempt_at - datetime.now(UTC)).total_seconds() <= SCHEDULE_S[0] * 1.1
    first, second = callback_inbox.received
    assert (first.id, first.body) == (second.id, second.body)
    assert second.signature_problem(SECRET) is None


async def test_a_kind_without_a_sender_is_tried_again(make: Make) -> None:
    sender = make()
    claim = await running(sender.store, callback=Callback(database="archive"))
    job = ended(claim)
    callback = callback_of(job)
    assert callback is not None
    last = await sender.store.end(claim.fence, job, delivery=callback, deliver_after_s=30)
    await sender.deliverer.deliver(Due.fresh(callback, job.id, last))
    (found,) = await sender.outbox.of_job(job.id)
    assert (found.status, found.attempts[0].error) == ("pending", "this worker has no database destinations")


async def test_a_receiver_that_resets_at_once_is_tried_again_and_not_taken_for_a_forbidden_one(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset_all() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

        threading.Thread(target=reset_all, daemon=True).start()
        sender = make()
        for _ in range(4):  # the fifth would open the breaker
            found = await sender.send(f"http://127.0.0.1:{listener.getsockname()[1]}/hook")
            assert (found.status, found.attempts[0].status_code) == ("pending", None)
            assert "refused" not in str(found.attempts[0].error)
        listener.shutdown(socket.SHUT_RDWR)
