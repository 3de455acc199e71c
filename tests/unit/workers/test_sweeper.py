"""Hints sent again for what was left behind, and only then."""

import asyncio
from pathlib import Path

import pytest

from jobs.dispatch import Dispatch
from jobs.job import Priority
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.jobs import JobStore
from tests.integration.store.sample import accepted, lapse, running, until
from tests.stack import Stack
from workers import sweeper as sweeper_module
from workers.sweeper import BACKLOG, Sweeper


class Hints(Dispatch):
    """Notes the hints instead of sending them."""

    def __init__(self, waiting: int = 0) -> None:
        self.sent: list[tuple[str, Priority]] = []
        self.waiting = waiting
        self.asked = 0

    def send(self, job_id: str, priority: Priority) -> None:
        self.sent.append((job_id, priority))

    def depth(self) -> int:
        self.asked += 1
        if self.waiting < 0:
            raise OSError("the broker is away")
        return self.waiting


async def left_behind(store: JobStore, connection: Connection) -> str:
    """A job whose hint got lost; its id."""
    job_id = (await accepted(store, priority="low")).id
    await connection.redis.zadd(keys.pending(0), {job_id: 1})
    return job_id


async def test_what_was_left_behind_gets_one_hint(connection: Connection, settings: Settings) -> None:
    store, hints = JobStore(connection, settings), Hints()
    await accepted(store)
    held, dead = await running(store, 1), await running(store, 2, priority="high")
    await lapse(connection, dead.spec.id)
    lost = await left_behind(store, connection)
    sweeper = Sweeper(store, hints)
    assert await sweeper.sweep() == 2
    assert await sweeper.sweep() == 0
    assert sorted(hints.sent) == sorted([(lost, "low"), (dead.spec.id, "high")])
    assert held.spec.id not in dict(hints.sent)


async def test_nothing_is_taken_that_could_not_be_hinted(connection: Connection, settings: Settings) -> None:
    store, hints = JobStore(connection, settings), Hints(waiting=-1)
    lost = await left_behind(store, connection)
    with pytest.raises(OSError, match="away"):
        await Sweeper(store, hints).sweep()
    hints.waiting = BACKLOG + 1
    assert await Sweeper(store, hints).sweep() == 0
    hints.waiting = 0
    assert await Sweeper(store, hints).sweep() == 1
    assert hints.sent == [(lost, "low")]


async def test_sweeping_goes_on_through_outages_of_store_and_broker(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper_module, "SWEEP_S", 0.02)
    stack = Stack(tmp_path, {})
    connection = Connection(stack.store_spec.url, timeout=0.3)
    store, hints = JobStore(connection, settings), Hints(waiting=-1)
    sweeping = asyncio.create_task(Sweeper(store, hints).keep_sweeping())
    first = await left_behind(store, connection)

    async def asked() -> bool:
        return hints.asked > 2

    await until(asked)
    stack.kill_store()
    await asyncio.sleep(0.2)
    stack.restart_store()
    hints.waiting = 0
    second = await left_behind(store, connection)

    async def hinted() -> bool:
        return {(first, "low"), (second, "low")} <= set(hints.sent)

    await until(hinted)
    assert not sweeping.done()
    sweeping.cancel()
    await connection.aclose()
    stack.close()
