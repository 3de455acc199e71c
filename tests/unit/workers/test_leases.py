"""The jobs that a process holds: renewed in time, stopped when they must, and handed back when the process drains."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.jobs import Claim, JobStore
from tests.integration.store.sample import claimed, ended, lapse, now_ms, running, until
from tests.stack import Stack
from workers import leases as leases_module
from workers.leases import Held, Leases


@pytest.fixture(autouse=True)
def _quick_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases_module, "CHECK_S", 0.02)


class Run:
    """A run that waits until it is stopped or told to finish."""

    def __init__(self, leases: Leases, claim: Claim) -> None:
        self.held: Held | None = None
        self.finish = asyncio.Event()
        self.stopped_by: str | None = None
        self._leases, self._claim = leases, claim
        self._began = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        with self._leases.hold(self._claim) as self.held:
            self._began.set()
            try:
                await self.finish.wait()
            except asyncio.CancelledError:
                self.stopped_by = self.held.stopped

    async def began(self) -> Held:
        """What it holds, once it does."""
        await asyncio.wait_for(self._began.wait(), 10)
        assert self.held is not None
        return self.held

    async def ended(self) -> str | None:
        """Why it was stopped, once it is over; `None`: it was not."""
        await asyncio.wait_for(self.task, 10)
        return self.stopped_by


@contextlib.asynccontextmanager
async def kept(leases: Leases) -> AsyncIterator[None]:
    """Looks after the leases while the block runs."""
    keeping = asyncio.create_task(leases.keep())
    try:
        yield
        assert not keeping.done(), keeping
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def lease_of(connection: Connection, claim: Claim) -> int:
    return int(await connection.redis.hget(keys.job(claim.spec.id), "lease"))


async def test_leases_are_renewed_as_long_as_the_run_lasts(connection: Connection, settings: Settings) -> None:
    short = msgspec.structs.replace(settings, lease_s=0.4)
    leases = Leases(JobStore(connection, short), short.lease_s)
    claim = await running(JobStore(connection, short))
    first = await lease_of(connection, claim)
    async with kept(leases):
        run = Run(leases, claim)
        await asyncio.sleep(1.0)
        assert await lease_of(connection, claim) > first
        assert await JobStore(connection, short).claim(claim.spec.id, "other") is None
        assert len(leases) == 1
        run.finish.set()
        assert await run.ended() is None
    assert len(leases) == 0
    left = await lease_of(connection, claim)
    await asyncio.sleep(0.3)
    assert await lease_of(connection, claim) == left


async def test_who_lost_the_job_is_stopped(store: JobStore, connection: Connection) -> None:
    leases = Leases(store, 30)
    lost, fine = await running(store), await running(store)
    async with kept(leases):
        runs = Run(leases, lost), Run(leases, fine)
        await lapse(connection, lost.spec.id)
        await claimed(store, lost.spec.id)
        assert await runs[0].ended() == "stale"
        assert not runs[1].task.done()
        runs[1].finish.set()
        await runs[1].ended()


async def test_a_wish_to_cancel_stops_the_run(store: JobStore) -> None:
    leases = Leases(store, 30)
    claim = await running(store)
    async with kept(leases):
        run = Run(leases, claim)
        await store.request_cancel(claim.spec.id)
        assert await run.ended() == "cancel"


@pytest.mark.parametrize("state", ["ended", "cancel"])
async def test_a_run_whose_outcome_is_being_written_is_left_alone(store: JobStore, state: str) -> None:
    """The store has said that the job is over before the run has heard it."""
    leases = Leases(store, 30)
    claim, other = await running(store), await running(store)
    async with kept(leases):
        run, witness = Run(leases, claim), Run(leases, other)
        (await run.began()).ending = True
        if state == "ended":
            await store.end(claim.fence, ended(claim))
        else:
            await store.request_cancel(claim.spec.id)
        await store.request_cancel(other.spec.id)
        assert await witness.ended() == "cancel"
        assert not run.task.done()
        run.finish.set()
        assert await run.ended() is None


async def test_a_second_run_of_a_job_stops_the_first(store: JobStore, connection: Connection) -> None:
    """A process that slept past its lease may get its own job again."""
    leases = Leases(store, 30)
    first = await running(store)
    run = Run(leases, first)
    await run.began()
    await lapse(connection, first.spec.id)
    again = Run(leases, await claimed(store, first.spec.id))
    assert await run.ended() == "stale"
    assert len(leases) == 1
    again.finish.set()
    assert await again.ended() is None
    assert len(leases) == 0


async def test_after_an_outage_leases_are_renewed_at_once(tmp_path: Path, settings: Settings) -> None:
    stack = Stack(tmp_path, {})
    connection = Connection(stack.store_spec.url, timeout=0.2)
    store = JobStore(connection, settings)
    leases = Leases(store, 30)
    claim = await running(store)
    async with kept(leases):
        run = Run(leases, claim)
        stack.store.send(signal.SIGSTOP)
        await asyncio.sleep(0.5)
        assert not run.task.done()
        stack.store.send(signal.SIGCONT)
        await asyncio.sleep(0.1)
        await connection.redis.hset(keys.job(claim.spec.id), "lease", now_ms())
        stack.store.send(signal.SIGSTOP)
        await asyncio.sleep(0.4)
        stack.store.send(signal.SIGCONT)

        async def renewed() -> bool:
            return await lease_of(connection, claim) > now_ms() + 20_000

        await until(renewed)
        run.finish.set()
        assert await run.ended() is None
    await connection.aclose()
    stack.close()


async def test_draining_waits_for_what_ends_by_itself(store: JobStore) -> None:
    leases = Leases(store, 30)
    await leases.drain(10)
    run = Run(leases, await running(store))
    await run.began()
    draining = asyncio.create_task(leases.drain(10))
    await asyncio.sleep(0.05)
    assert not draining.done()
    run.finish.set()
    await asyncio.wait_for(draining, 5)
    assert run.stopped_by is None


async def test_draining_stops_what_does_not_end_in_time(store: JobStore) -> None:
    leases = Leases(store, 30)
    runs = [Run(leases, await running(store)) for _ in range(3)]
    (await runs[2].began()).ending = True
    runs[0].finish.set()
    await asyncio.wait_for(leases.drain(0.1), 5)
    assert [await run.ended() for run in runs] == [None, "drain", "drain"]


async def test_a_run_is_stopped_once_and_for_the_first_reason(store: JobStore) -> None:
    leases = Leases(store, 30)
    run = Run(leases, await running(store))
    held = await run.began()
    held.stop("cancel")
    held.stop("drain")
    assert await run.ended() == "cancel"
    assert run.task.cancelling() == 1
