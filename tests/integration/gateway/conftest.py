"""Gateways without workers, and a hand that does a worker's part, so that tests say when which event happens."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest
from redis import Redis

from jobs import event
from jobs.event import Event
from jobs.job import TerminalStatus
from jobs.settings import Settings
from jobs.store.connection import Connection
from jobs.store.jobs import Claim, JobStore
from tests.conftest import Ringback
from tests.stack import Reply, Stack, eventually, request


class Gateways(Stack):
    """A store with two gateways, `url` and `other`, and no worker."""

    url: str
    other: str


@pytest.fixture(scope="session")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    """Shared by the tests that break neither the store nor these two gateways."""
    stack = Gateways(tmp_path_factory.mktemp("gateways"), {"RINGBACK_PROVIDERS": "offline,fake"})
    try:
        stack.url = stack.gateway()
        stack.other = stack.gateway()
        yield stack
    finally:
        stack.close()


class Breakable(Stack):
    """A store with one gateway, `url`."""

    url: str


@pytest.fixture(scope="session")
def _breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Breakable]:
    stack = Breakable(tmp_path_factory.mktemp("breakable"), {"RINGBACK_PROVIDERS": "offline,fake"})
    try:
        stack.url = stack.gateway()
        yield stack
    finally:
        stack.close()


@pytest.fixture
def breakable(_breakable: Breakable) -> Iterator[Breakable]:
    """A store to be killed, hung and filled, which is empty and mended before the next test gets it."""
    yield _breakable
    _breakable.store.send(signal.SIGCONT)
    if _breakable.store.exit_code is not None:
        _breakable.restart_store()
    store = Redis.from_url(_breakable.store_spec.url)
    store.config_set("maxmemory", "0")
    store.flushall()
    store.close()
    eventually(lambda: request(f"{_breakable.url}/health/ready").status == 200)


@pytest.fixture(scope="session")
def second_gateway(ringback: Ringback) -> str:
    """Another gateway of the whole Ringback."""
    return ringback.gateway()


class Running:
    """A job that the test runs itself."""

    def __init__(self, store: JobStore, claim: Claim) -> None:
        self.id = claim.spec.id
        self._store = store
        self._claim = claim
        self.last = claim.last_event

    async def say(self, *texts: str) -> None:
        """Appends one delta for each text, each as a write of its own."""
        for text in texts:
            await self.append(event.text_delta(text))

    async def append(self, *events: Event) -> None:
        """Appends the events in one write."""
        self.last = await self._store.append(self._claim, events, last_event=self.last)

    async def end(self, status: TerminalStatus = "succeeded", **fields: Any) -> None:
        """Ends the job; `fields` as in `jobs.job.view`."""
        job = self._claim.view(status, ended_ms=int(time.time() * 1000), **fields)
        self.last = await self._store.end(self._claim.fence, job)


class Hand:
    """Submits jobs to a gateway and runs them by hand."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self.connection = connection
        self.store = JobStore(connection, settings)

    async def start(self, url: str, **fields: Any) -> Running:
        """A job that is running: its first event is in the log."""
        reply = submit(url, **fields)
        assert reply.status == 202, reply.body
        return await self.claim(reply.json["id"])

    async def claim(self, job_id: str) -> Running:
        """The job, which is queued, as a running one."""
        claim = await self.store.claim(job_id, "hand")
        assert claim is not None
        assert claim.verdict == "run"
        return Running(self.store, claim)


@pytest.fixture
async def new_hand() -> AsyncIterator[Callable[..., Hand]]:
    """Makes hands: `new_hand(stack, event_retention_s=…)`."""
    connections: list[Connection] = []

    def make(stack: Stack, **changes: Any) -> Hand:
        settings = msgspec.structs.replace(Settings(redis_url=stack.store_spec.url), **changes)
        connections.append(Connection(settings.redis_url, timeout=5.0))
        return Hand(connections[-1], settings)

    yield make
    for connection in connections:
        await connection.aclose()


@pytest.fixture
async def hand(gateways: Gateways, new_hand: Callable[..., Hand]) -> Hand:
    """A hand on the jobs of `gateways`."""
    return new_hand(gateways)


async def until(condition: Callable[[], Awaitable[Any]], *, timeout: float = 20.0, what: str = "") -> Any:
    """The first truthy value of `await condition()`. Raises `AssertionError` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        if value := await condition():
            return value
        assert time.monotonic() < deadline, f"not within {timeout} s: {what or condition}"
        await asyncio.sleep(0.01)


def submit(url: str, *, headers: dict[str, str] | None = None, **fields: Any) -> Reply:
    """Posts a job; `generate` on the fake model unless `fields` say otherwise."""
    body = {"type": "generate", "input": {"prompt": "안녕"}, "model": "fake/echo", **fields}
    return post(url, msgspec.json.encode(body), headers)


def post(url: str, body: bytes, headers: dict[str, str] | None = None) -> Reply:
    """Posts these bytes as a job."""
    sent = {"content-type": "application/json", **(headers or {})}
    return request(f"{url}/v1/jobs", method="POST", body=body, headers=sent)
