"""Acceptance: everything of a job is there at once, and under one idempotency key only once."""

import asyncio

import msgspec
import pytest

from jobs import errors, ids
from jobs.job import Deadline
from jobs.settings import Settings, Timeouts
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.jobs import HINT_AGAIN_S, IDEMPOTENCY_S, INDEXED_METADATA, Accepted, JobStore
from tests.integration.store.sample import accepted, names, now_ms, pending, seconds_left, spec


async def indexes(connection: Connection, job_id: str) -> set[str]:
    """The names of the indexes that a job is in."""
    found = set()
    start = keys.index(ids.shard_of(job_id, "job"), "")
    async for key in connection.redis.scan_iter(match=start.replace("{", r"\{") + "*"):
        if await connection.redis.zscore(key, job_id) is not None:
            found.add(key.decode().removeprefix(start))
    return found


async def test_an_accepted_job_is_queued_and_comes_back_as_it_was_sent(store: JobStore) -> None:
    metadata = {"ticket": 4711, "태그": ["가", None, 1.50], "nested": {"a": "\u2028\x00/</script>"}}
    made = spec(3, metadata=metadata, priority="high")
    assert await store.accept(made) == Accepted(job_id=made.id, created=True, hint=True)
    job = msgspec.json.decode(await store.get(made.id))
    assert (job["id"], job["status"], job["attempt"], job["model"]) == (made.id, "queued", 0, "fake/one")
    assert job["metadata"] == metadata
    assert job["input"] == {"prompt": "안녕"}
    state = await store.state(made.id)
    assert (state.status, state.fence, state.attempt, state.last_event) == ("queued", 0, 0, 0)
    assert await store.spec(made.id) == made


async def test_it_is_in_its_indexes_and_pending_and_has_no_events(store: JobStore, connection: Connection) -> None:
    metadata = {"ticket": 4711, "name": "김", "ok": True, "none": None, "list": [1], "object": {}, "half": 0.5}
    made = await accepted(store, 5, session_id="ses_1", metadata=metadata)
    assert await indexes(connection, made.id) == {
        *("all", "type:generate", "status:queued", "session:ses_1", "meta:ticket=4711", "meta:name=김"),
        *("meta:ok=true", "meta:none=null", "meta:half=0.5"),
    }
    assert await pending(connection, 5) == {made.id}
    assert await names(connection, made.id) == []
    score = await connection.redis.zscore(keys.pending(5), made.id)
    assert 0 < score - now_ms() <= HINT_AGAIN_S * 1000
    assert await seconds_left(connection, keys.job(made.id)) is None


async def test_only_so_much_metadata_is_indexed(store: JobStore, connection: Connection) -> None:
    made = await accepted(store, metadata={f"k{n}": n for n in range(100)} | {"long": "x" * 600})
    found = [name for name in await indexes(connection, made.id) if name.startswith("meta:")]
    assert sorted(found) == sorted(f"meta:k{n}={n}" for n in range(INDEXED_METADATA))


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30, 1e308, -0.0])
async def test_metadata_of_any_number_is_accepted(store: JobStore, number: float) -> None:
    made = await accepted(store, metadata={"n": number})
    assert msgspec.json.decode(await store.get(made.id))["metadata"] == {"n": number}


async def test_the_same_call_twice_is_one_job(store: JobStore, connection: Connection) -> None:
    made = spec()
    for _ in range(2):
        assert await store.accept(made, idempotency=("k", b"body")) == Accepted(job_id=made.id, created=True, hint=True)
    assert await pending(connection) == {made.id}


async def test_the_same_key_and_body_is_the_earlier_job(store: JobStore, connection: Connection) -> None:
    first, second = spec(), spec()
    await store.accept(first, idempotency=("me:key", b"body"))
    assert await store.accept(second, idempotency=("me:key", b"body")) == Accepted(job_id=first.id, created=False)
    with pytest.raises(errors.JobNotFound):
        await store.get(second.id)
    assert await pending(connection) == {first.id}


async def test_the_same_key_with_another_body_is_refused(store: JobStore, connection: Connection) -> None:
    first, second = spec(), spec()
    await store.accept(first, idempotency=("me:key", b"body"))
    with pytest.raises(errors.IdempotencyKeyReused):
        await store.accept(second, idempotency=("me:key", b"another"))
    assert await pending(connection) == {first.id}
    third = spec()
    assert (await store.accept(third, idempotency=("you:key", b"another"))).created


async def test_fifty_duplicates_at_once_are_one_job(store: JobStore, connection: Connection) -> None:
    scope = "owner:키-1"

    async def submit() -> Accepted:
        job_id = store.new_id(scope)
        return await store.accept(spec(id=job_id), idempotency=(scope, b"body"))

    outcomes = await asyncio.gather(*(submit() for _ in range(50)))
    assert len({outcome.job_id for outcome in outcomes}) == 1
    assert sum(outcome.created for outcome in outcomes) == 1
    shard = ids.shard_of(outcomes[0].job_id, "job")
    assert await pending(connection, shard) == {outcomes[0].job_id}


async def test_an_idempotency_key_is_kept_a_day_and_stored_without_its_text(
    store: JobStore, connection: Connection
) -> None:
    await store.accept(spec(), idempotency=("owner:secret-order-4711", b"body"))
    found = [key async for key in connection.redis.scan_iter(match="*:idem:*")]
    assert len(found) == 1
    assert b"4711" not in found[0]
    left = await seconds_left(connection, found[0].decode())
    assert left is not None
    assert IDEMPOTENCY_S - 60 < left <= IDEMPOTENCY_S
    assert IDEMPOTENCY_S >= 24 * 3600


async def test_ids_under_one_key_share_a_shard_and_others_spread(store: JobStore, settings: Settings) -> None:
    shards = {ids.shard_of(store.new_id("a:b"), "job") for _ in range(20)}
    assert len(shards) == 1
    spread = {ids.shard_of(store.new_id(None), "job") for _ in range(2000)}
    assert spread == set(range(settings.shards))


async def test_what_is_older_than_its_retention_leaves_the_indexes(connection: Connection, settings: Settings) -> None:
    short = JobStore(connection, msgspec.structs.replace(settings, job_retention_s=100.0))
    old = await accepted(short, at_ms=now_ms() - 300_000)
    young = await accepted(short, at_ms=now_ms() - 150_000)
    new = await accepted(short)
    assert await indexes(connection, old.id) == set()
    for job in (young, new):
        assert "all" in await indexes(connection, job.id)
    for name in ("all", "type:generate", "status:queued"):
        left = await seconds_left(connection, keys.index(0, name))
        assert left is not None
        assert 100 < left <= 200


async def test_a_start_deadline_counts_from_creation_and_falls_back_to_the_settings(
    connection: Connection, settings: Settings
) -> None:
    store = JobStore(connection, msgspec.structs.replace(settings, timeouts=Timeouts(start_s=7)))
    own = await accepted(store, deadline=Deadline(start_s=0.5))
    general = await accepted(store)
    assert int(await connection.redis.hget(keys.job(own.id), "start_by")) == own.created_ms + 500
    assert int(await connection.redis.hget(keys.job(general.id), "start_by")) == general.created_ms + 7000


async def test_who_submits_can_watch_from_the_first_event_on(store: JobStore, connection: Connection) -> None:
    made = spec()
    await store.accept(made, watcher="gateway-1")
    assert await connection.redis.hget(keys.job(made.id), "watch") == b"gateway-1"


async def test_a_hint_rides_along_once(store: JobStore, connection: Connection) -> None:
    made, again = spec(shard=5), spec(shard=5)
    for _ in range(2):
        await store.accept(made, idempotency=("me:k", b"body"), hint=("jobs.x", "go"))
    await store.accept(again, idempotency=("me:k", b"body"), hint=("jobs.x", "go"))
    assert await connection.redis.lrange("jobs.x", 0, -1) == [b"go"]
    await connection.redis.delete("jobs.x")


@pytest.mark.parametrize("job_id", ["", "x", "job_", "dlv_" + "0" * 26, "job_" + "0" * 25 + "é"])
async def test_no_other_id_reaches_the_store(store: JobStore, job_id: str) -> None:
    for call in (store.get(job_id), store.state(job_id), store.spec(job_id), store.request_cancel(job_id)):
        with pytest.raises(errors.NotFound):
            await call
    with pytest.raises(errors.NotFound):
        await store.claim(job_id, "t")


async def test_a_job_that_never_was_is_not_found(store: JobStore) -> None:
    job_id = ids.new("job", 0)
    for call in (store.get(job_id), store.state(job_id)):
        with pytest.raises(errors.JobNotFound):
            await call
    assert await store.spec(job_id) is None
    assert not await store.request_cancel(job_id)
    assert await store.claim(job_id, "t") is None
