"""A session's line in the queue: one of its jobs at a time is hinted, so that only that one takes a worker's slot."""

import msgspec
import pytest

from jobs import errors
from jobs.job import Deadline, JobSpec, view
from jobs.session import SessionSpec
from jobs.settings import Settings
from jobs.store import jobs, keys
from jobs.store.connection import Connection
from jobs.store.jobs import Accepted, JobStore
from jobs.store.sessions import Sessions
from tests.integration.store.conversation import SHARD, arrived, opened, taken, turn_spec
from tests.integration.store.sample import claimed, ended, lapse, now_ms, running, spec

AHEAD = 4
"""Jobs of one owner that are hinted at once."""


class Hints(list[tuple[str, str]]):
    """What was to be hinted, in order."""

    def note(self, job_id: str, priority: str) -> None:
        """As `ready` of `JobStore.end`."""
        self.append((job_id, priority))


async def submitted(store: JobStore, session: SessionSpec, count: int) -> tuple[list[JobSpec], list[Accepted]]:
    """So many jobs that take turns in the session, and what became of each."""
    made = [turn_spec(session) for _ in range(count)]
    return made, [await store.accept(each, busy="wait") for each in made]


async def run(store: JobStore, job: JobSpec, hints: Hints) -> None:
    """The job's only attempt."""
    claim = await claimed(store, job.id)
    await store.end(claim.fence, ended(claim), ready=hints.note)


async def cancel(store: JobStore, job: JobSpec, hints: Hints) -> None:
    """Ends a job that is queued."""
    await store.end(0, view(job, status="cancelled", attempt=0, ended_ms=now_ms()), required="queued", ready=hints.note)


async def look(store: JobStore, connection: Connection, *specs: JobSpec) -> list[str]:
    """Which of those jobs the sweeper hints when it looks at them."""
    await connection.redis.zadd(keys.pending(SHARD), {each.id: 1 for each in specs}, xx=True)
    return [job_id for job_id, _ in await store.overdue()]


async def test_each_end_lets_the_next_one_in(store: JobStore, sessions: Sessions) -> None:
    made, accepted = await submitted(store, await opened(sessions), 3)
    assert [one.hint for one in accepted] == [True, False, False]
    _, (other,) = await submitted(store, await opened(sessions), 1)
    assert other.hint, "another session is not held up"
    hints = Hints()
    for job in made:
        await run(store, job, hints)
    assert hints == [(made[1].id, "normal"), (made[2].id, "normal")]


async def test_the_queue_is_given_no_hint_of_who_waits(
    store: JobStore, sessions: Sessions, connection: Connection
) -> None:
    session = await opened(sessions)
    for n in range(2):
        await store.accept(turn_spec(session), busy="wait", hint=("jobs.test", str(n)))
    assert await connection.redis.lrange("jobs.test", 0, -1) == [b"0"]
    await connection.redis.delete("jobs.test")


async def test_the_same_call_twice_changes_nothing(store: JobStore, sessions: Sessions) -> None:
    (first, second), _ = await submitted(store, await opened(sessions), 2)
    assert not (await store.accept(second, busy="wait")).hint
    claim, hints = await claimed(store, first.id), Hints()
    job = ended(claim)
    assert await store.end(claim.fence, job, ready=hints.note) == await store.end(claim.fence, job, ready=hints.note)
    assert hints == [(second.id, "normal")] * 2, "the first answer may have been lost"
    assert (await store.accept(second, busy="wait")).hint
    await claimed(store, second.id)
    await store.end(claim.fence, job, ready=hints.note)
    assert len(hints) == 2


async def test_whoever_is_cancelled_leaves_the_line(store: JobStore, sessions: Sessions) -> None:
    (running, waiting, last), _ = await submitted(store, await opened(sessions), 3)
    hints = Hints()
    await cancel(store, waiting, hints)
    assert not hints
    await cancel(store, running, hints)
    assert hints == [(last.id, "normal")]


async def test_whose_turn_it_is_waits_for_the_owners_others_too(store: JobStore, sessions: Sessions) -> None:
    session = await opened(sessions, owner="busy")
    (first, second), _ = await submitted(store, session, 2)
    claim = await claimed(store, first.id)
    flood = [spec(SHARD, owner="busy") for _ in range(AHEAD)]
    for each in flood:
        await store.accept(each)
    hints = Hints()
    await store.end(claim.fence, ended(claim), ready=hints.note)
    assert not hints
    assert (await claimed(store, flood[0].id)).next_id == second.id


async def test_the_sweeper_hints_no_one_who_waits(store: JobStore, sessions: Sessions, connection: Connection) -> None:
    (first, second), _ = await submitted(store, await opened(sessions), 2)
    assert await look(store, connection, first, second) == [first.id]
    claim = await claimed(store, first.id)
    await store.end(claim.fence, ended(claim))
    assert await look(store, connection, second) == [second.id], "whose hint got lost"


async def test_who_comes_from_a_dead_worker_or_is_let_in_is_hinted_again_soon(
    store: JobStore, sessions: Sessions, connection: Connection
) -> None:
    session = await opened(sessions)
    (first, _), _ = await submitted(store, session, 2)
    late = await arrived(store, session, at_ms=now_ms() - 1_000, deadline=Deadline(start_s=0.5))
    await claimed(store, first.id)
    await lapse(connection, first.id)
    assert sorted(await look(store, connection, first, late)) == sorted([first.id, late.id])
    for job in (first, late):
        due = await connection.redis.zscore(keys.pending(SHARD), job.id)
        assert due is not None
        assert due <= now_ms() + jobs.HINT_AGAIN_S * 1000, "the sweeper that took it may die too"


async def test_whoever_waits_too_long_expires_in_time(
    store: JobStore, sessions: Sessions, connection: Connection
) -> None:
    session = await opened(sessions)
    await arrived(store, session)
    late = await arrived(store, session, at_ms=now_ms() - 1_000, deadline=Deadline(start_s=0.5))
    patient = await arrived(store, session, deadline=Deadline(start_s=3_000))
    due = await connection.redis.zscore(keys.pending(SHARD), late.id)
    assert due is not None
    assert due <= now_ms(), "not only when the others have been looked at"
    assert await look(store, connection, late, patient) == [late.id]
    assert (await claimed(store, late.id)).verdict == "expired"


async def test_the_turns_of_a_session_that_is_deleted_are_cancelled(store: JobStore, sessions: Sessions) -> None:
    session = await opened(sessions)
    (first, *waiting), _ = await submitted(store, session, AHEAD)
    claim = await claimed(store, first.id)
    await sessions.delete(session.id)
    assert await store.renew({first.id: claim.fence}, extend=False) == {first.id: "cancel"}
    assert {job_id for job_id, _ in await store.overdue()} == {job.id for job in waiting}
    assert {(await claimed(store, job.id)).verdict for job in waiting} == {"cancelled"}


async def test_a_line_has_an_end(store: JobStore, sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_IN_SESSION", 2)
    session = await opened(sessions)
    (first, _), _ = await submitted(store, session, 2)
    with pytest.raises(errors.SessionBusy):
        await store.accept(turn_spec(session), busy="wait")
    await run(store, first, Hints())
    assert (await store.accept(turn_spec(session), busy="wait")).created


async def test_only_whoever_waits_for_a_worker_makes_the_queue_old(store: JobStore, sessions: Sessions) -> None:
    session = await opened(sessions)
    first = await claimed(store, (await arrived(store, session)).id)
    await arrived(store, session, at_ms=now_ms() - 60_000)
    assert await store.longest_queued_s() == 0.0
    await store.accept(spec(SHARD, at_ms=now_ms() - 30_000))
    assert 30 <= await store.longest_queued_s() < 60
    await store.end(first.fence, ended(first))
    assert 30 <= await store.longest_queued_s() < 60, "it has been ready only since then"


async def test_who_is_handed_back_makes_the_queue_no_older(store: JobStore) -> None:
    claim = await running(store, at_ms=now_ms() - 60_000)
    await store.release(claim)
    assert await store.longest_queued_s() < 30


async def test_whoever_gives_up_makes_room(
    store: JobStore, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MOST_IN_SESSION", 3)
    session = await opened(sessions)
    (first, second, _), _ = await submitted(store, session, 3)
    await claimed(store, first.id)
    await cancel(store, second, Hints())
    assert (await store.accept(turn_spec(session), busy="wait")).created


async def test_whoever_waits_for_a_session_counts_for_its_key(
    connection: Connection, sessions: Sessions, settings: Settings
) -> None:
    store = JobStore(connection, msgspec.structs.replace(settings, queue_limit_per_key=2 * settings.shards))
    session = await opened(sessions, owner="busy")
    (first, second, third), _ = await submitted(store, session, 3)
    elsewhere = await opened(sessions, owner="busy")
    with pytest.raises(errors.TooManyQueued):
        await store.accept(turn_spec(elsewhere), busy="wait")
    await cancel(store, third, Hints())
    await store.accept(turn_spec(elsewhere), busy="wait")
    await cancel(store, second, Hints())
    claim = await claimed(store, first.id)
    await store.end(claim.fence, ended(claim))
    assert not await connection.redis.exists(f"{keys.tag(SHARD)}:waiting:normal:busy")


async def test_whoever_joins_the_line_only_when_it_runs_lets_the_next_one_in_too(
    store: JobStore, sessions: Sessions
) -> None:
    session = await opened(sessions)
    late = turn_spec(session)
    await store.accept(late)
    claim, hints = await claimed(store, late.id), Hints()
    await taken(sessions, claim)
    _, (second,) = await submitted(store, session, 1)
    assert not second.hint
    await store.end(claim.fence, ended(claim), ready=hints.note)
    assert hints == [(second.job_id, "normal")]
