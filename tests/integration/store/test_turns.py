"""Turns: few of one owner's queued jobs have a hint, the others wait for theirs, and nobody waits for ever."""

import msgspec
import pytest

from jobs import errors
from jobs.job import JobSpec, view
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.jobs import Accepted, JobStore
from tests.integration.store.sample import ended, spec, token

AHEAD = 4


def limited(settings: Settings, **limits: int) -> Settings:
    """The settings with these limits."""
    return msgspec.structs.replace(settings, **limits)


async def submitted(store: JobStore, count: int, owner: str = "busy") -> tuple[list[JobSpec], list[Accepted]]:
    """So many jobs of one shard and owner, and what became of each."""
    made = [spec(owner=owner) for _ in range(count)]
    return made, [await store.accept(each) for each in made]


async def turns(connection: Connection, line: str = "normal:busy") -> int:
    """How many jobs of the line have a hint."""
    return int(await connection.redis.get(f"{keys.tag(0)}:turns:{line}") or 0)


async def test_only_the_first_of_an_owner_are_hinted_and_others_owners_are_not_held_up(
    store: JobStore, connection: Connection
) -> None:
    _, accepted = await submitted(store, 10)
    assert [one.hint for one in accepted] == [True] * AHEAD + [False] * 6
    assert all(one.created for one in accepted)
    _, (other,) = await submitted(store, 1, owner="other")
    assert other.hint
    urgent = await store.accept(spec(owner="busy", priority="high"))
    assert urgent.hint
    assert await turns(connection) == AHEAD


async def test_the_queue_is_given_the_hints_of_those_who_have_a_turn_only(
    store: JobStore, connection: Connection
) -> None:
    for n in range(AHEAD + 3):
        await store.accept(spec(owner="busy"), hint=("jobs.test", str(n)))
    assert await connection.redis.lrange("jobs.test", 0, -1) == [b"3", b"2", b"1", b"0"]
    await connection.redis.delete("jobs.test")


async def test_each_claim_passes_the_turn_on_in_order(store: JobStore, connection: Connection) -> None:
    made, _ = await submitted(store, AHEAD + 3)
    passed = []
    for each in made[:AHEAD]:
        claim = await store.claim(each.id, token())
        assert claim is not None
        passed.append(claim.next_id)
    assert passed == [*(each.id for each in made[AHEAD:]), ""]
    assert await turns(connection) == 3
    for each in made[AHEAD:]:
        claim = await store.claim(each.id, token())
        assert claim is not None
        assert claim.next_id == ""
    assert await turns(connection) == 0
    assert not await connection.redis.exists(f"{keys.tag(0)}:turns:normal:busy", f"{keys.tag(0)}:backlog:normal:busy")


async def test_the_same_claim_twice_passes_one_turn(store: JobStore, connection: Connection) -> None:
    made, _ = await submitted(store, AHEAD + 2)
    same = token()
    first = await store.claim(made[0].id, same)
    again = await store.claim(made[0].id, same)
    assert first is not None
    assert again is not None
    assert (first.next_id, again.next_id) == (made[AHEAD].id, "")
    assert await turns(connection) == AHEAD


async def test_the_same_accept_twice_takes_one_turn(store: JobStore, connection: Connection) -> None:
    made = spec(owner="busy")
    assert await store.accept(made) == await store.accept(made)
    assert await turns(connection) == 1


async def test_a_job_that_ends_in_the_queue_passes_its_turn_on_too(store: JobStore, connection: Connection) -> None:
    made, _ = await submitted(store, AHEAD + 2)
    waiting, hinted = made[AHEAD], made[0]
    for gone in (waiting, hinted):
        state = await store.state(gone.id)
        await store.end(state.fence, view(gone, status="cancelled", attempt=0), required="queued")
    # The one that ended while it waited is passed over; the next one is due for a hint at once.
    assert (made[-1].id, "normal") in await store.overdue()
    assert await turns(connection) == AHEAD


async def test_who_waits_is_not_hinted_again_but_who_lost_its_turn_is(store: JobStore, connection: Connection) -> None:
    made, _ = await submitted(store, AHEAD + 1)
    await connection.redis.zadd(keys.pending(0), {each.id: 1 for each in made})
    assert {job_id for job_id, _ in await store.overdue()} == {each.id for each in made[:AHEAD]}
    await connection.redis.delete(f"{keys.tag(0)}:turns:normal:busy")
    await connection.redis.zadd(keys.pending(0), {made[-1].id: 1})
    assert await store.overdue() == [(made[-1].id, "normal")]
    assert await turns(connection) == 1


async def test_a_handed_back_job_waits_for_no_turn(store: JobStore, connection: Connection) -> None:
    made, _ = await submitted(store, AHEAD + 1)
    claim = await store.claim(made[0].id, token())
    assert claim is not None
    await store.release(claim)
    await connection.redis.zadd(keys.pending(0), {made[0].id: 1})
    assert (made[0].id, "normal") in await store.overdue()


async def test_a_full_queue_refuses_and_takes_again(connection: Connection, settings: Settings) -> None:
    store = JobStore(connection, limited(settings, queue_limit=3 * settings.shards))
    made, _ = await submitted(store, 3, owner="")
    with pytest.raises(errors.QueueFull) as refused:
        await store.accept(spec(owner=""))
    assert refused.value.retry_after
    claim = await store.claim(made[0].id, token())
    assert claim is not None
    await store.end(claim.fence, ended(claim))
    assert (await store.accept(spec(owner=""))).created


async def test_a_key_with_too_many_queued_jobs_is_refused_and_others_are_not(
    connection: Connection, settings: Settings
) -> None:
    store = JobStore(connection, limited(settings, queue_limit_per_key=2 * settings.shards))
    await submitted(store, AHEAD + 2)
    with pytest.raises(errors.TooManyQueued):
        await store.accept(spec(owner="busy"))
    assert (await store.accept(spec(owner="other"))).created
    assert (await submitted(store, AHEAD + 4, owner=""))[1][-1].created, "without keys there is nobody to be fair to"


async def test_a_refused_submission_leaves_its_idempotency_key_free(connection: Connection, settings: Settings) -> None:
    full = JobStore(connection, limited(settings, queue_limit=settings.shards))
    await full.accept(spec())
    made = spec()
    with pytest.raises(errors.QueueFull):
        await full.accept(made, idempotency=("me:key", b"body"))
    roomy = JobStore(connection, settings)
    assert (await roomy.accept(made, idempotency=("me:key", b"body"))).created
