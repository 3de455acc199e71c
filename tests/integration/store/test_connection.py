"""The connection through bad days: a store that is down, hung, full or fresh; and which keys the scripts touch."""

import asyncio
import contextlib
import random
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from jobs import errors, event
from jobs.job import JobEvent
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Call, Connection
from jobs.store.deliveries import NewDelivery, Outbox
from jobs.store.events import EventLog
from jobs.store.jobs import JobStore
from jobs.store.listing import Listing
from tests.integration.store.sample import (
    EVERY_EVENT,
    accepted,
    attempt,
    callback_of,
    claimed,
    ended,
    lapse,
    now_ms,
    running,
    spec,
)
from tests.stack import Stack


@pytest.fixture
def own_store(tmp_path: Path) -> Iterator[Stack]:
    """A Valkey of the test's own, to be broken."""
    stack = Stack(tmp_path, {})
    yield stack
    stack.close()


@contextlib.asynccontextmanager
async def connected(stack: Stack, timeout: float = 1.0) -> AsyncIterator[Connection]:
    """A connection to the test's own Valkey."""
    connection = Connection(stack.store_spec.url, timeout=timeout)
    yield connection
    await connection.aclose()


async def every_call(connection: Connection, settings: Settings) -> dict[str, Any]:
    """One call of each kind that gateways and workers make."""
    store, outbox = JobStore(connection, settings), Outbox(connection, settings)
    job_id = spec().id
    return {
        "accept": store.accept(spec()),
        "get": store.get(job_id),
        "state": store.state(job_id),
        "claim": store.claim(job_id, "t"),
        "renew": store.renew({job_id: 1}, extend=True),
        "overdue": store.overdue(),
        "take": outbox.take(limit=1, lease_s=1),
        "deliveries": outbox.of_job(job_id),
        "events": EventLog(connection, settings).read(job_id, 0),
        "watch": EventLog(connection, settings).watch([job_id], "g"),
        "list": Listing(connection, settings).page(),
    }


async def test_a_store_that_is_down_is_told_soon_by_every_call_and_is_found_again(
    own_store: Stack, settings: Settings
) -> None:
    async with connected(own_store) as connection:
        store = JobStore(connection, settings)
        await accepted(store)
        own_store.kill_store()
        for name, call in (await every_call(connection, settings)).items():
            began = time.monotonic()
            with pytest.raises(errors.StoreUnavailable) as raised:
                await call
            assert time.monotonic() - began < 5, name
            assert raised.value.retry_after
        own_store.restart_store()
        await running(store)


async def test_a_store_that_hangs_is_told_within_the_limit_by_every_call(own_store: Stack, settings: Settings) -> None:
    async with connected(own_store, timeout=0.3) as connection:
        store = JobStore(connection, settings)
        await accepted(store)
        own_store.store.send(signal.SIGSTOP)
        began = time.monotonic()
        outcomes = await asyncio.gather(*(await every_call(connection, settings)).values(), return_exceptions=True)
        assert time.monotonic() - began < 5
        assert {type(outcome) for outcome in outcomes} == {errors.StoreUnavailable}
        own_store.store.send(signal.SIGCONT)
        for _ in range(20):
            claim = await running(store)
            assert await store.renew({claim.spec.id: claim.fence}, extend=True) == {claim.spec.id: "ok"}


async def test_answers_that_come_late_are_not_taken_for_other_calls_answers(
    own_store: Stack, settings: Settings
) -> None:
    """Calls that were given up while the store hung leave no connection behind with their answers in it."""
    async with connected(own_store, timeout=1.0) as connection:
        await connection.redis.mset({f"k{n}": n for n in range(50)})
        own_store.store.send(signal.SIGSTOP)
        late = [connection.call("GET", f"k{n}") for n in range(50)]
        outcomes = await asyncio.gather(*late, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {errors.StoreUnavailable}
        own_store.store.send(signal.SIGCONT)
        connection.timeout = 5.0
        found = await asyncio.gather(*(connection.call("GET", f"k{n}") for n in range(50)))
        assert found == [str(n).encode() for n in range(50)]


async def test_calls_that_are_given_up_leave_no_answers_to_other_scripts(
    connection: Connection, settings: Settings
) -> None:
    store = JobStore(connection, settings)
    specs = [await accepted(store, n % 16) for n in range(60)]
    for n, spec_ in enumerate(specs):
        if n % 2:
            await store.request_cancel(spec_.id)
    order = random.Random(1)
    for _ in range(10):
        tasks = [asyncio.create_task(connection.run("cancel", keys.job(spec().id))) for _ in range(60)]
        await asyncio.sleep(order.random() * 0.004)
        for task in tasks:
            task.cancel()
        states = await asyncio.gather(*(store.state(spec_.id) for spec_ in specs))
        assert {(state.status, state.fence) for state in states} == {("queued", 0)}
        await asyncio.gather(*tasks, return_exceptions=True)
        claims = await asyncio.gather(
            *(connection.run("claim", keys.job("job_" + "0" * 26), "x", "t", 1, 1) for _ in range(9))
        )
        assert claims == [[b"missing"]] * 9
    found = await asyncio.gather(*(store.claim(spec_.id, f"t{n}") for n, spec_ in enumerate(specs)))
    assert [claim.spec.id for claim in found if claim] == [spec_.id for spec_ in specs]
    assert [claim.verdict for claim in found if claim] == ["run", "cancelled"] * 30


async def test_a_full_store_is_unavailable_and_keeps_what_it_has(own_store: Stack, settings: Settings) -> None:
    async with connected(own_store, timeout=5.0) as connection:
        store, outbox = JobStore(connection, settings), Outbox(connection, settings)
        claim = await running(store, callback=EVERY_EVENT)
        job = ended(claim)
        await connection.redis.config_set("maxmemory", "1")
        calls = (
            store.accept(spec()),
            store.claim(claim.spec.id, "t2"),
            store.append(claim, [event.text_delta("a")], last_event=1),
            store.end(claim.fence, job, delivery=callback_of(job)),
            store.release(claim),
            store.renew({claim.spec.id: claim.fence}, extend=True),
        )
        for call in calls[:1] + calls[2:]:
            with pytest.raises(errors.StoreUnavailable):
                await call
        assert await calls[1] is None
        await connection.redis.config_set("maxmemory", "0")
        assert (await store.state(claim.spec.id)).status == "running"
        assert await store.append(claim, [event.text_delta("a")], last_event=1) == 2
        assert await store.end(claim.fence, job, delivery=callback_of(job)) == 3
        assert len(await outbox.of_job(claim.spec.id)) == 1


async def test_a_replica_is_unavailable_for_writing(own_store: Stack, settings: Settings) -> None:
    async with connected(own_store) as connection:
        await connection.redis.replicaof("127.0.0.1", "1")
        with pytest.raises(errors.StoreUnavailable):
            await JobStore(connection, settings).accept(spec())


async def refusal(store: JobStore) -> errors.StoreUnavailable:
    """What is said once the store takes no more jobs."""
    async with asyncio.timeout(20):
        while True:
            try:
                await accepted(store)
            except errors.StoreUnavailable as error:
                return error


async def test_a_store_busy_with_a_script_is_unavailable(own_store: Stack, settings: Settings) -> None:
    async with connected(own_store, timeout=5.0) as connection, connected(own_store, timeout=30.0) as other:
        await connection.redis.config_set("busy-reply-threshold", 1)
        endless = asyncio.create_task(other.redis.eval("while true do end", 0))
        assert "BUSY" in (await refusal(JobStore(connection, settings))).detail
        await connection.redis.script_kill()
        await asyncio.gather(endless, return_exceptions=True)
        await accepted(JobStore(connection, settings))


async def test_a_wrong_password_is_unavailable_not_a_bug(own_store: Stack, settings: Settings) -> None:
    async with connected(own_store) as connection:
        await connection.redis.config_set("requirepass", "secret")
    async with connected(own_store) as stranger:
        with pytest.raises(errors.StoreUnavailable):
            await JobStore(stranger, settings).accept(spec())


async def test_a_fresh_store_gets_the_scripts_again(connection: Connection, settings: Settings) -> None:
    store, outbox = JobStore(connection, settings), Outbox(connection, settings)
    claim = await running(store)
    await connection.redis.script_flush()
    assert await store.renew({claim.spec.id: claim.fence}, extend=True) == {claim.spec.id: "ok"}
    await connection.redis.script_flush()
    assert await store.append(claim, [event.text_delta("a")], last_event=1) == 2
    await connection.redis.script_flush()
    assert await asyncio.gather(*(outbox.take(limit=1, lease_s=1) for _ in range(5))) == [[]] * 5
    assert await connection.run_many("take", []) == []


async def test_a_batch_tells_a_scripts_own_error(connection: Connection) -> None:
    await connection.redis.set(keys.due(0), "not a sorted set")
    with pytest.raises(Exception, match="WRONGTYPE"):
        await connection.run_many("take", [Call(keys.due(0), (1, 1))])


async def walk_through(connection: Connection, settings: Settings, shard: int) -> None:
    """Calls every script in one shard, through most of its branches."""
    store, outbox = JobStore(connection, settings), Outbox(connection, settings)
    made = spec(shard, callback=EVERY_EVENT, metadata={"k": "rb:{99}"}, session_id="s")
    await store.accept(made, idempotency=("k", b"b"), watcher="g")
    await store.accept(spec(shard), idempotency=("k", b"b"))
    claim = await claimed(store, made.id)
    await store.append(claim, [event.text_delta("a")], last_event=1, target="fake/two")
    started = NewDelivery.of(claim.view("running"), JobEvent.STARTED, at_ms=now_ms(), sequence=1)
    assert started is not None
    await store.announce(claim, started, deliver_after_s=0)
    await store.renew({made.id: claim.fence}, extend=True)
    await store.release(claim)
    claim = await claimed(store, made.id)
    await lapse(connection, made.id)
    await store.overdue()
    claim = await claimed(store, made.id)
    await store.request_cancel(made.id)
    job = ended(claim, "cancelled")
    await store.end(claim.fence, job, delivery=callback_of(job))
    for due in await outbox.take(limit=5, lease_s=9):
        await outbox.settle(due, attempt(), status="pending", next_s=0)
        await outbox.settle(due, attempt(2, 200), status="delivered")
    await store.claim(made.id, "late")


async def test_every_script_touches_keys_of_one_hash_tag_only(connection: Connection, settings: Settings) -> None:
    """So that a cluster, where each script runs on the node of its first key, can run them all."""
    lines: list[str] = []
    watching = asyncio.Event()

    async def watch() -> None:
        async with Redis.from_url(settings.redis_url) as redis, redis.monitor() as monitor:
            watching.set()
            async for seen in monitor.listen():
                lines.append(f"{seen['client_type']} {seen['command']}")
                if "that is all" in lines[-1]:
                    return

    watcher = asyncio.create_task(watch())
    await watching.wait()
    for shard in (0, 7, 1023):
        await walk_through(connection, settings, shard)
    await connection.redis.echo("that is all")
    await asyncio.wait_for(watcher, 10)

    tag, called, touched = "", 0, 0
    for line in lines:
        client, command, *words = line.split(" ")
        if client != "lua":
            tag = ""
            if command.upper() in ("EVALSHA", "EVAL") and (found := re.search(r" 1 (rb:\{\d+\}):", line)):
                tag, called = found[1], called + 1
        elif command.upper() != "TIME":
            assert tag, line
            assert words[0].startswith(f"{tag}:"), line
            touched += 1
    assert called > 50
    assert touched > 300
