"""What the store's configuration may lose is told, and strict answers wait for the disk."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
from structlog.testing import capture_logs

from jobs import errors
from jobs.settings import Settings
from jobs.store import durability
from jobs.store.connection import Connection
from jobs.store.durability import StrictConnection, warn_of_weaknesses, weaknesses
from jobs.store.jobs import Accepted, JobStore
from tests.integration.store.sample import claimed, spec
from tests.stack import Stack


@pytest.fixture(scope="module")
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Valkey of this module's own, whose configuration is changed."""
    stack = Stack(tmp_path_factory.mktemp("store"), {})
    yield stack
    stack.close()


@pytest.fixture
async def strict(own_store: Stack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StrictConnection]:
    """A strict connection to it."""
    monkeypatch.setattr(durability, "STRICT_S", 2.0)
    connection = StrictConnection(own_store.store_spec.url, timeout=1.0, replicas=0)
    yield connection
    await connection.redis.config_set("appendfsync", "everysec")
    await connection.redis.config_set("appendonly", "yes")
    await connection.redis.config_set("maxmemory-policy", "noeviction")
    await connection.aclose()


async def synced(connection: Connection) -> bool:
    """Whether everything that was written is on the disk."""
    info = await connection.redis.info("persistence")
    return bool(info["aof_pending_bio_fsync"] == 0 and info["aof_buffer_length"] == 0)


@pytest.mark.parametrize("syncing", ["always", "everysec"])
async def test_many_submissions_share_a_sync_and_each_gets_its_own_answer(
    strict: StrictConnection, settings: Settings, syncing: str
) -> None:
    await strict.redis.config_set("appendfsync", syncing)
    store = JobStore(strict, settings)
    made = [spec(n % settings.shards) for n in range(100)]
    async with asyncio.timeout(10):
        accepted = await asyncio.gather(*(store.accept(each) for each in made))
    assert [one.job_id for one in accepted] == [each.id for each in made]
    assert await synced(strict)


async def test_what_was_strictly_accepted_outlives_a_kill_at_once(own_store: Stack, settings: Settings) -> None:
    for _ in range(3):
        connection = StrictConnection(own_store.store_spec.url, timeout=1.0, replicas=0)
        made = spec()
        await JobStore(connection, settings).accept(made)
        own_store.store.stop(signal.SIGKILL)
        await connection.aclose()
        own_store.restart_store()
        again = Connection(own_store.store_spec.url, timeout=2.0)
        assert (await JobStore(again, settings).state(made.id)).status == "queued"
        await again.aclose()


async def test_without_an_append_only_file_nothing_is_strictly_accepted(
    strict: StrictConnection, settings: Settings
) -> None:
    await strict.redis.config_set("appendonly", "no")
    with pytest.raises(errors.StoreUnavailable, match="appendonly"):
        await JobStore(strict, settings).accept(spec())


async def test_a_replica_that_is_not_there_confirms_nothing(
    own_store: Stack, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "STRICT_S", 0.5)
    connection = StrictConnection(own_store.store_spec.url, timeout=0.5, replicas=1)
    with pytest.raises(errors.StoreUnavailable):
        await JobStore(connection, settings).accept(spec())
    await connection.aclose()


async def test_errors_reach_the_one_they_concern(strict: StrictConnection, settings: Settings) -> None:
    store = JobStore(strict, settings)
    first = spec()
    await store.accept(first, idempotency=("me:key", b"body"))
    reused, taken = await asyncio.gather(
        store.accept(spec(), idempotency=("me:key", b"another")), store.accept(spec()), return_exceptions=True
    )
    assert isinstance(reused, errors.IdempotencyKeyReused)
    assert isinstance(taken, Accepted)


async def test_only_submissions_wait(strict: StrictConnection, own_store: Stack, settings: Settings) -> None:
    connection = Connection(own_store.store_spec.url, timeout=1.0)
    store = JobStore(connection, settings, accepting=strict)
    made = spec()
    await store.accept(made)
    assert (await claimed(store, made.id)).verdict == "run"
    await connection.aclose()


async def test_weaknesses_are_told_with_the_setting_that_mends_them(
    strict: StrictConnection, settings: Settings
) -> None:
    assert await weaknesses(strict, settings) == []
    strictly = msgspec.structs.replace(settings, durability="strict")
    assert [weakness.subject for weakness in await weaknesses(strict, strictly)] == ["syncing"]
    await strict.redis.config_set("appendonly", "no")
    await strict.redis.config_set("maxmemory-policy", "allkeys-lru")
    found = {weakness.subject: weakness.text for weakness in await weaknesses(strict, settings)}
    assert "appendonly yes" in found["durability"]
    assert "allkeys-lru" in found["eviction"]
    assert "noeviction" in found["eviction"]
    with capture_logs() as lines:
        await warn_of_weaknesses(strict, settings)
    assert {(line["event"], line["log_level"], line["subject"]) for line in lines} == {
        ("store_may_lose_jobs", "warning", "durability"),
        ("store_may_lose_jobs", "warning", "eviction"),
    }


async def test_a_store_that_is_away_is_asked_when_it_is_back(own_store: Stack, settings: Settings) -> None:
    connection = Connection(own_store.store_spec.url, timeout=0.2)
    own_store.kill_store()
    asking = asyncio.create_task(warn_of_weaknesses(connection, settings))
    await asyncio.sleep(0.3)
    assert not asking.done()
    own_store.restart_store()
    async with asyncio.timeout(10):
        await asking
    await connection.aclose()
