"""Which workers count as consuming."""

import time

import pytest

from jobs.store.connection import Connection
from jobs.store.presence import FRESH_S, Presence


async def test_workers_that_proved_themselves_are_counted_once(connection: Connection) -> None:
    workers = Presence(connection)
    assert await workers.count() == 0
    for worker in ("a", "b", "a"):
        await workers.prove(worker)
    assert await workers.count() == 2
    await workers.withdraw("a")
    await workers.withdraw("a")
    assert await workers.count() == 1


async def test_a_proof_goes_stale_and_is_forgotten(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Presence(connection)
    clock = 1_000_000.0
    monkeypatch.setattr(time, "time", lambda: clock)
    await workers.prove("a")
    clock += FRESH_S - 0.1
    assert await workers.count() == 1
    await workers.prove("b")
    clock += 0.2
    assert await workers.count() == 1
    clock += 2 * FRESH_S
    assert await workers.count() == 0
    await workers.prove("c")
    assert await connection.redis.zrange("rb:workers", 0, -1) == [b"c"]
