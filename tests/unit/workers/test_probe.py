"""A worker counts as consuming while its own tasks come back to it, and gives up when they do not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from jobs import errors
from jobs.store.connection import Connection
from jobs.store.presence import Presence
from tests.integration.store.sample import until
from workers import probe as probe_module
from workers.probe import Probe


class Broker:
    """A broker that brings each task back, loses it, or cannot be reached."""

    def __init__(self) -> None:
        self.probe: Probe | None = None
        self.failure: Exception | None = None
        self.loses = False
        self.sent = 0
        self.running = 0
        self.given_up = asyncio.Event()

    def send(self) -> None:
        self.sent += 1
        if self.failure:
            raise self.failure
        if not self.loses and self.probe:
            self.probe.returned()


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "EVERY_S", 0.01)
    monkeypatch.setattr(probe_module, "GIVE_UP_S", 0.5)


@contextlib.asynccontextmanager
async def probing(broker: Broker, presence: Presence, slots: int = 4) -> AsyncIterator[Probe]:
    """A worker that probes itself while the block runs."""
    broker.probe = probe = Probe(presence, "worker-1", slots)
    task = asyncio.create_task(probe.keep_probing(broker.send, lambda: broker.running, broker.given_up.set))
    yield probe
    task.cancel()
    outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome


async def test_a_worker_is_there_once_a_task_came_back(broker: Broker, connection: Connection) -> None:
    presence = Presence(connection)

    async def counted() -> bool:
        return await presence.count() == 1

    async def sent() -> bool:
        return broker.sent > 1

    broker.loses = True
    async with probing(broker, presence) as probe:
        await until(sent)
        assert not await counted()
        broker.loses = False
        await until(counted)
        await probe.withdraw()
    assert not await counted()


async def test_a_worker_that_gets_nothing_back_gives_up(broker: Broker, connection: Connection) -> None:
    async with probing(broker, Presence(connection)):
        await asyncio.sleep(0.05)
        broker.loses = True
        await asyncio.wait_for(broker.given_up.wait(), 10)


@pytest.mark.parametrize("why", ["full", "broker away", "store away"])
async def test_it_does_not_give_up_for_what_is_no_fault_of_its_own(
    broker: Broker, connection: Connection, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    presence = Presence(connection)
    if why == "store away":

        async def prove(worker_id: str) -> None:
            raise errors.StoreUnavailable

        monkeypatch.setattr(presence, "prove", prove)
    async with probing(broker, presence):
        await asyncio.sleep(0.05)
        broker.running = 4 if why == "full" else 0
        broker.failure = OSError() if why == "broker away" else None
        broker.loses = why == "full"
        before = broker.sent
        await asyncio.sleep(1.0)
        assert not broker.given_up.is_set()
        assert broker.sent > before + 2
