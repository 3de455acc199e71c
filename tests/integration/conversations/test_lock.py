"""One turn at a time: many jobs, two workers, one order; crashes, cancellations, and sessions that go."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from conversations.lock import SessionLock
from jobs import errors
from jobs.session import SessionSpec
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.history import RedisArchive
from jobs.store.jobs import Claim, JobStore
from jobs.store.sessions import Draft, Sessions
from tests.integration.store.conversation import arrived, opened, run_again, started
from tests.integration.store.sample import claimed, ended, lapse, spec, until

NewLock = Callable[[], SessionLock]


class Course:
    """What happens in a session, as those see it who take turns there."""

    def __init__(self, store: JobStore, session: SessionSpec) -> None:
        self.order: list[str] = []
        self.inside = 0
        self._store = store
        self._session = session

    async def run(self, lock: SessionLock, job_id: str) -> None:
        """A whole turn of that job: question, answer, end."""
        claim = await claimed(self._store, job_id)
        async with lock.held(claim, wait_s=60) as turn:
            assert self.inside == 0, "somebody else is in this session"
            self.inside += 1
            self.order.append(job_id)
            await turn.say(Draft(role="user", text=f"question {job_id}"))
            await asyncio.sleep(0)
            await turn.say(Draft(role="assistant", text=f"answer {job_id}"))
            self.inside -= 1
        await self._store.end(claim.fence, ended(claim))


async def begun(course: Course, lock: SessionLock, store: JobStore, session: SessionSpec) -> asyncio.Task[None]:
    """A turn under way whose job has arrived."""
    return asyncio.create_task(course.run(lock, (await arrived(store, session)).id))


async def test_many_turns_on_two_workers_have_one_order(
    store: JobStore, sessions: Sessions, connection: Connection, settings: Settings, new_lock: NewLock
) -> None:
    courses = [Course(store, session) for session in [await opened(sessions, shard=shard) for shard in (3, 3, 9)]]
    locks = [new_lock(), new_lock()]
    arrivals: list[list[str]] = [[], [], []]
    for n in range(60):
        course = courses[n % 3]
        job_id = (await arrived(store, course._session)).id
        arrivals[n % 3].append(job_id)
    # They are claimed in any order.
    turns = [
        asyncio.create_task(course.run(locks[n % 2], job_id))
        for course, job_ids in zip(courses, arrivals, strict=True)
        for n, job_id in enumerate(reversed(job_ids))
    ]
    async with asyncio.timeout(60):
        await asyncio.gather(*turns)

    archive = RedisArchive(connection, settings)
    for course, job_ids in zip(courses, arrivals, strict=True):
        assert course.order == job_ids
        page = await archive.of_session(course._session.id, limit=200)
        assert page is not None
        said = [f"{kind} {job_id}" for job_id in job_ids for kind in ("question", "answer")]
        assert [message.text for message in page.items] == said
    assert await connection.redis.zcard(keys.line(courses[0]._session.id)) <= 1, "who has ended waits for nothing"


async def test_a_crashed_holders_job_goes_first_and_then_the_next(
    connection: Connection, store: JobStore, sessions: Sessions, new_lock: NewLock
) -> None:
    session = await opened(sessions)
    course, dead, alive = Course(store, session), new_lock(), new_lock()
    crashed = await started(store, session)
    holding = asyncio.create_task(_hold(dead, crashed))
    await until(lambda: _is_held(connection, session, crashed))
    waiting = await begun(course, alive, store, session)
    holding.cancel()  # its process is gone
    await asyncio.gather(holding, return_exceptions=True)
    await lapse(connection, crashed.spec.id)

    again = await run_again(store, crashed)

    async with alive.held(again) as turn:
        assert not waiting.done()
        await turn.say(Draft(role="user", text="once more"))
    assert course.order == []
    await store.end(again.fence, ended(again))
    async with asyncio.timeout(10):
        await waiting
    assert len(course.order) == 1


async def test_a_holder_that_was_given_up_lets_the_next_one_in(
    connection: Connection, store: JobStore, sessions: Sessions, new_lock: NewLock
) -> None:
    session = await opened(sessions)
    course, lock = Course(store, session), new_lock()
    crashed = await started(store, session)
    async with lock.held(crashed) as turn:
        waiting = await begun(course, lock, store, session)
        await lapse(connection, crashed.spec.id)
        taken_over = await run_again(store, crashed)
        await store.end(taken_over.fence, ended(taken_over, "failed"))  # out of attempts
        async with asyncio.timeout(10):
            await waiting
        with pytest.raises(errors.StaleFence):
            await turn.say(Draft(role="assistant", text="I was only paused"))


async def _hold(lock: SessionLock, claim: Claim) -> None:
    async with lock.held(claim):
        await asyncio.Event().wait()


async def _is_held(connection: Connection, session: SessionSpec, claim: Claim) -> bool:
    holder = await connection.redis.hget(keys.session(session.id), "holder")
    return bool(holder == f"{claim.spec.id} {claim.fence}".encode())


async def _waits(lock: SessionLock) -> bool:
    return bool(lock._waiting)


async def test_whoever_is_cancelled_in_the_line_leaves_it(
    store: JobStore, sessions: Sessions, connection: Connection, new_lock: NewLock
) -> None:
    session = await opened(sessions)
    course, lock = Course(store, session), new_lock()
    holder = await started(store, session)
    async with lock.held(holder):
        unwanted = await started(store, session)
        impatient = asyncio.create_task(_hold(lock, unwanted))
        last = await begun(course, lock, store, session)
        await until(lambda: _waits(lock))
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        await store.end(unwanted.fence, ended(unwanted, "cancelled"))
        assert not last.done()
    await store.end(holder.fence, ended(holder))
    async with asyncio.timeout(10):
        await last
    assert len(course.order) == 1


async def test_a_handed_back_turn_keeps_its_place(store: JobStore, sessions: Sessions, new_lock: NewLock) -> None:
    session = await opened(sessions)
    course, lock, other = Course(store, session), new_lock(), new_lock()
    drained = await started(store, session)
    holding = asyncio.create_task(_hold(lock, drained))
    waiting = await begun(course, lock, store, session)
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    await store.release(drained)
    resumed = asyncio.create_task(course.run(other, drained.spec.id))
    async with asyncio.timeout(10):
        await asyncio.gather(resumed, waiting)
    assert course.order[0] == drained.spec.id


async def test_patience_has_its_limit(store: JobStore, sessions: Sessions, new_lock: NewLock) -> None:
    session = await opened(sessions)
    lock = new_lock()
    async with lock.held(await started(store, session)):
        waiting = await started(store, session)
        with pytest.raises(errors.SessionBusy, match=r"0\.1 s"):
            async with lock.held(waiting, wait_s=0.1):
                pytest.fail("it is not its turn")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), lock.held(waiting):
                pytest.fail("it is not its turn")


async def test_a_session_deleted_while_jobs_wait(store: JobStore, sessions: Sessions, new_lock: NewLock) -> None:
    session = await opened(sessions)
    lock = new_lock()
    async with lock.held(await started(store, session)) as turn:
        waiting = asyncio.create_task(_hold(lock, await started(store, session)))
        await until(lambda: _waits(lock))
        await sessions.delete(session.id)
        with pytest.raises(errors.SessionNotFound):
            async with asyncio.timeout(10):
                await waiting
        with pytest.raises(errors.SessionNotFound):
            await turn.say(Draft(role="assistant", text="to nobody"))
    with pytest.raises(errors.SessionNotFound):
        await arrived(store, session)


async def test_a_job_that_has_been_taken_over_gets_no_turn(
    connection: Connection, store: JobStore, sessions: Sessions, new_lock: NewLock
) -> None:
    session = await opened(sessions)
    lock = new_lock()
    holder, paused = await started(store, session), await started(store, session)
    async with lock.held(holder):
        waiting = asyncio.create_task(_hold(lock, paused))
        await lapse(connection, paused.spec.id)
        await run_again(store, paused)
        with pytest.raises(errors.StaleFence):
            async with asyncio.timeout(10):
                await waiting


async def test_a_job_outside_of_any_session_has_no_turn(store: JobStore, new_lock: NewLock) -> None:
    made = spec()
    await store.accept(made)
    with pytest.raises(ValueError, match="no session"):
        async with new_lock().held(await claimed(store, made.id)):
            pytest.fail("there is nothing to hold")


async def test_a_session_lives_as_long_as_somebody_is_in_it(
    connection: Connection, store: JobStore, sessions: Sessions, new_lock: NewLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conversations.lock.RENEW_S", 0.02)
    session = await opened(sessions)
    async with new_lock().held(await started(store, session)):
        await connection.redis.pexpire(keys.session(session.id), 10_000)

        async def renewed() -> bool:
            return int(await connection.redis.pttl(keys.session(session.id))) > 100_000

        await until(renewed)


async def test_a_turn_waits_while_the_store_is_away(
    store: JobStore, sessions: Sessions, connection: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conversations.lock.STORE_AWAY_S", 0.01)
    session = await opened(sessions)
    flaky = Flaky(sessions)
    lock = SessionLock(flaky)  # type: ignore[arg-type]  # stands in for them
    claim = await started(store, session)
    async with asyncio.timeout(10):
        async with lock.held(claim) as turn:
            await turn.say(Draft(role="user", text="하나"))
            waiting = await begun(Course(store, session), lock, store, session)
            await until(lambda: _waits(lock))
        await store.end(claim.fence, ended(claim))
        await waiting
    page = await RedisArchive(connection, settings).of_session(session.id)
    assert page is not None
    assert len(page.items) == 3, "nothing is said twice"
    assert flaky.failures >= 8
    await lock.aclose()


class Flaky:
    """Sessions of which every other call fails, after its work was done."""

    def __init__(self, sessions: Sessions) -> None:
        self.failures = 0
        self._calls = 0
        self._sessions = sessions

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **fields: Any) -> Any:
            found = await getattr(self._sessions, name)(*args, **fields)
            self._calls += 1
            if self._calls % 2:
                self.failures += 1
                raise errors.StoreUnavailable
            return found

        return call
