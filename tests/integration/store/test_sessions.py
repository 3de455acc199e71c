"""Sessions and histories in the store: how long they last, who may write, whose they are."""

from datetime import UTC, datetime

import msgspec
import pytest

from jobs import errors, ids
from jobs.session import Message, SessionSpec
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.history import RedisArchive
from jobs.store.jobs import JobStore
from jobs.store.sessions import Draft, Sessions, Turn, Waiting
from tests.integration.store.conversation import (
    SHARD,
    arrived,
    candidate,
    opened,
    run_again,
    said,
    session_spec,
    started,
    taken,
    turn_spec,
)
from tests.integration.store.sample import claimed, ended, lapse, seconds_left, until


async def texts(archive: RedisArchive, session: SessionSpec, owner: str | None = None) -> list[str]:
    page = await archive.of_session(session.id, owner=owner)
    assert page is not None
    return [message.text for message in page.items]


async def test_a_session_is_as_it_was_made(sessions: Sessions, settings: Settings) -> None:
    spec = session_spec(user_id="민수", language="ko-KR", context=msgspec.Raw(b'{"latitude":37.5}'), owner="orders")
    made = await sessions.open(spec)
    found = await sessions.get(spec.id)
    assert found.context == {"latitude": 37.5}
    assert (found.user_id, found.language) == ("민수", "ko-KR")
    assert abs((found.expires_at - made.expires_at).total_seconds()) < 5
    lasts_s = (made.expires_at - made.created_at).total_seconds()
    assert settings.session_ttl_s - 5 < lasts_s < settings.session_ttl_s + 5


async def test_a_session_is_its_owners(sessions: Sessions) -> None:
    spec = await opened(sessions, owner="orders")
    assert (await sessions.get(spec.id, owner="orders")).id == spec.id
    with pytest.raises(errors.SessionNotFound):
        await sessions.get(spec.id, owner="billing")
    with pytest.raises(errors.SessionNotFound):
        await sessions.delete(spec.id, owner="billing")
    assert (await sessions.get(spec.id)).id == spec.id


async def test_ids_spread_over_the_shards(sessions: Sessions) -> None:
    assert len({ids.shard_of(sessions.new_id(), "ses") for _ in range(2000)}) > 4


async def test_turns_keep_a_session_alive_and_reading_it_does_not(
    connection: Connection, store: JobStore, sessions: Sessions, settings: Settings
) -> None:
    spec = await opened(sessions)
    key = keys.session(spec.id)

    async def shortened() -> None:
        await connection.redis.pexpire(key, 60_000)

    async def left() -> float:
        return await seconds_left(connection, key) or 0.0

    await shortened()
    await sessions.get(spec.id)
    await sessions.recall(spec.id)
    assert await left() <= 60
    claim = await started(store, spec)
    assert await left() > settings.session_ttl_s - 60
    assert await seconds_left(connection, keys.line(spec.id)) is not None
    turn = await taken(sessions, claim)
    for _ in range(2):
        await shortened()
        await taken(sessions, claim)
        assert await left() > settings.session_ttl_s - 60
    await shortened()
    await sessions.say(turn, spec, Draft(role="user", text="네"))
    assert await left() > settings.session_ttl_s - 60


async def test_a_session_goes_when_nothing_is_said(connection: Connection, settings: Settings) -> None:
    sessions = Sessions(connection, msgspec.structs.replace(settings, session_ttl_s=0.05))
    spec = await opened(sessions)

    async def gone() -> bool:
        return not await connection.redis.exists(keys.session(spec.id))

    await until(gone)
    with pytest.raises(errors.SessionNotFound):
        await sessions.get(spec.id)


async def test_a_turn_needs_its_session(store: JobStore, sessions: Sessions) -> None:
    nowhere = session_spec()
    with pytest.raises(errors.SessionNotFound):
        await arrived(store, nowhere)
    there = await opened(sessions)
    claim = await started(store, there)
    turn = await taken(sessions, claim)
    await sessions.delete(there.id)
    assert await sessions.take([candidate(claim)]) == ["gone"]
    with pytest.raises(errors.SessionNotFound):
        await sessions.say(turn, there, Draft(role="user", text="여보세요"))
    with pytest.raises(errors.SessionNotFound):
        await sessions.recall(there.id)


async def test_the_jobs_of_a_session_are_in_its_shard(store: JobStore, sessions: Sessions) -> None:
    spec = await opened(sessions)
    for scope in (None, "a:b", "a:c"):
        assert ids.shard_of(store.new_id(scope, session_id=spec.id), "job") == SHARD
    with pytest.raises(errors.NotFound):
        store.new_id(None, session_id="job_01M803BGRZDM8GVW9FKT2J040B")


async def test_turns_come_in_order_of_arrival(store: JobStore, sessions: Sessions) -> None:
    spec = await opened(sessions)
    arrivals = [await arrived(store, spec) for _ in range(3)]
    claims = [await claimed(store, each.id) for each in reversed(arrivals)][::-1]
    asked = [candidate(claim) for claim in claims]

    first, *others = await sessions.take(asked)

    assert isinstance(first, Turn)
    assert others == [Waiting(1), Waiting(2)]
    fences = []
    for position, claim in enumerate(claims):
        replies = await sessions.take(asked[position:])
        turn = replies[0]
        assert isinstance(turn, Turn)
        assert turn.job_id == claim.spec.id
        assert replies[1:] == [Waiting(n) for n in range(1, len(replies))]
        fences.append(turn.fence)
        await store.end(claim.fence, ended(claim))
    assert fences == sorted(set(fences))
    assert await sessions.take(asked) == ["stale"] * 3


async def test_whoever_ends_or_vanishes_in_the_line_is_passed_over(
    connection: Connection, store: JobStore, sessions: Sessions
) -> None:
    spec = await opened(sessions)
    holder, cancelled, vanished, last = [await started(store, spec) for _ in range(4)]
    await taken(sessions, holder)
    await store.end(cancelled.fence, ended(cancelled, "cancelled"))
    assert isinstance((await sessions.take([candidate(last)]))[0], Waiting)
    await connection.redis.delete(keys.job(vanished.spec.id))
    await store.end(holder.fence, ended(holder, "failed"))
    assert isinstance((await sessions.take([candidate(last)]))[0], Turn)


async def test_one_that_must_not_wait_is_refused_while_anybody_is_there(store: JobStore, sessions: Sessions) -> None:
    spec = await opened(sessions)
    await store.accept(turn_spec(spec), busy="refuse")
    with pytest.raises(errors.SessionBusy):
        await store.accept(turn_spec(spec), busy="refuse")
    other = await opened(sessions)
    await store.accept(turn_spec(other), busy="refuse")


async def test_it_is_accepted_again_once_they_have_ended(store: JobStore, sessions: Sessions) -> None:
    spec = await opened(sessions)
    claim = await started(store, spec)
    await store.end(claim.fence, ended(claim))
    made = turn_spec(spec)
    assert (await store.accept(made, busy="refuse", idempotency=("k", b"b"))).created
    assert (await store.accept(made, busy="refuse", idempotency=("k", b"b"))).job_id == made.id, "the same call again"
    again = await store.accept(turn_spec(spec), busy="refuse", idempotency=("k", b"b"))
    assert again.job_id == made.id, "the same request is no other turn"


async def test_a_lost_workers_turn_goes_to_the_jobs_next_attempt(
    connection: Connection, store: JobStore, sessions: Sessions
) -> None:
    spec = await opened(sessions)
    lost, waiting = await started(store, spec), await started(store, spec)
    old = await taken(sessions, lost)
    await lapse(connection, lost.spec.id)
    again = await run_again(store, lost)

    assert await sessions.take([candidate(lost)]) == ["stale"]
    with pytest.raises(errors.StaleFence):
        await sessions.say(old, spec, Draft(role="user", text="옛날"))
    new = await taken(sessions, again)
    assert new.fence > old.fence
    assert await sessions.take([candidate(waiting)]) == [Waiting(1)]
    for stale in (
        old,
        msgspec.structs.replace(old, job_fence=new.job_fence),
        msgspec.structs.replace(new, job_fence=old.job_fence),
        msgspec.structs.replace(new, fence=new.fence + 1),
        msgspec.structs.replace(new, job_id=waiting.spec.id, job_fence=waiting.fence),
    ):
        with pytest.raises(errors.StaleFence):
            await sessions.say(stale, spec, Draft(role="user", text="x"))
    await sessions.say(new, spec, Draft(role="user", text="지금"))
    await store.end(again.fence, ended(again))
    with pytest.raises(errors.StaleFence):
        await sessions.say(new, spec, Draft(role="assistant", text="too late"))
    assert isinstance((await sessions.take([candidate(waiting)]))[0], Turn)


async def test_a_turn_that_is_run_again_says_nothing_twice(
    connection: Connection, store: JobStore, sessions: Sessions, archive: RedisArchive
) -> None:
    spec = await opened(sessions, user_id="u")
    claim = await started(store, spec)
    turn = await taken(sessions, claim)
    first = await sessions.say(turn, spec, Draft(role="user", text="몇 시예요?"))
    await sessions.say(turn, spec, Draft(role="assistant", text="세 시", tokens=3))
    await lapse(connection, claim.spec.id)
    again = await run_again(store, claim)
    new = await taken(sessions, again)

    second = await sessions.say(new, spec, Draft(role="user", text="몇 시예요?"))
    await sessions.say(new, spec, Draft(role="assistant", text="네 시"))
    await sessions.say(new, spec, Draft(role="assistant", text="아니, 다섯 시", nth=1))

    assert second.message.id == first.message.id
    assert await texts(archive, spec) == ["몇 시예요?", "네 시", "아니, 다섯 시"]
    page = await archive.of_user("u")
    assert [message.text for message in page.items] == ["몇 시예요?", "네 시", "아니, 다섯 시"]


async def test_messages_keep_their_order_whatever_the_clocks_say(
    connection: Connection, store: JobStore, sessions: Sessions, archive: RedisArchive
) -> None:
    spec = await opened(sessions)
    ahead = ids.new("msg", SHARD, at_ms=4_000_000_000_000)
    await connection.redis.zadd(keys.history(spec.id), {ahead: 0})
    await said(store, sessions, spec, "하나", "둘")
    await said(store, sessions, spec, "셋")
    assert await texts(archive, spec) == ["하나", "둘", "셋"]


async def test_a_history_outlives_its_session_and_stays_its_owners(
    store: JobStore, sessions: Sessions, archive: RedisArchive
) -> None:
    spec = await opened(sessions, owner="orders", user_id="u")
    silent = await opened(sessions, owner="orders")
    assert await archive.of_session(silent.id) is None
    await said(store, sessions, spec, "안녕하세요", "네")
    await sessions.delete(spec.id)
    assert await texts(archive, spec, "orders") == ["안녕하세요", "네"]
    assert await texts(archive, spec) == ["안녕하세요", "네"]
    assert await archive.of_session(spec.id, owner="billing") is None
    assert len((await archive.of_user("u")).items) == 2
    assert len((await archive.of_user("u", owner="orders")).items) == 2
    assert (await archive.of_user("u", owner="billing")).items == []
    assert await archive.latest("u", owner="", limit=5) == []
    assert [m.text for m in await archive.latest("u", owner="orders", limit=1)] == ["네"]


async def test_pages_of_a_user_go_through_all_sessions_in_order_of_time(
    store: JobStore, sessions: Sessions, archive: RedisArchive
) -> None:
    specs = [await opened(sessions, shard=shard, user_id="u|1") for shard in (3, 11, 15)]
    expected = []
    for n in range(4):
        for spec in specs:
            await said(store, sessions, spec, f"{n} {spec.id}")
            expected.append(f"{n} {spec.id}")
    found: list[Message] = []
    cursor = ""
    while True:
        page = await archive.of_user("u|1", after=cursor, limit=5)
        assert len(page.items) <= 5
        found += page.items
        if page.next_cursor is None:
            break
        assert page.next_cursor == found[-1].id
        cursor = page.next_cursor
    assert [message.text for message in found] == expected
    since = await archive.of_user("u|1", since_ms=int(found[4].at.timestamp() * 1000), limit=200)
    assert found[4] in since.items
    assert found[0] not in since.items or found[0].at == found[4].at


async def test_what_is_kept_goes_after_its_retention(
    connection: Connection, store: JobStore, settings: Settings
) -> None:
    sessions = Sessions(connection, msgspec.structs.replace(settings, history_retention_s=600.0))
    spec = await opened(sessions, user_id="u", owner="o")
    old = ids.new("msg", SHARD, at_ms=1_000)
    for key in (keys.history(spec.id), keys.index(SHARD, "user:u"), keys.index(SHARD, "owner:o:user:u")):
        await connection.redis.zadd(key, {old: 0})
    await said(store, sessions, spec, "새것")
    (kept,) = await connection.redis.zrange(keys.history(spec.id), 0, -1)
    assert kept.decode() != old
    for key in (
        *(keys.history(spec.id), keys.message(kept.decode())),
        *(keys.index(SHARD, "user:u"), keys.index(SHARD, "owner:o:user:u")),
    ):
        assert 500 < (await seconds_left(connection, key) or 0) <= 600
        if "message" not in key:
            assert await connection.redis.zrange(key, 0, -1) == [kept]


async def test_a_message_is_stored_whole(store: JobStore, sessions: Sessions, archive: RedisArchive) -> None:
    spec = await opened(sessions, language="ko-KR", user_id="민수@example.com")
    claim = await started(store, spec)
    turn = await taken(sessions, claim)
    extra = {"sentences": [{"index": 0, "text": "네 😀", "audio": {"url": "https://x/y"}}]}
    kept = await sessions.say(turn, spec, Draft(role="assistant", text="네 😀\x00", tokens=7, extra=extra))
    page = await archive.of_session(spec.id)
    assert page is not None
    assert page.items == [kept.message]
    (message,) = page.items
    assert (message.tokens, message.extra, message.language) == (7, extra, "ko-KR")
    assert message.job_id == claim.spec.id
    assert abs((message.at - datetime.now(UTC)).total_seconds()) < 60


async def test_only_one_refines_at_a_time_and_only_what_it_has_seen(
    connection: Connection, store: JobStore, sessions: Sessions
) -> None:
    spec = await opened(sessions)
    await said(store, sessions, spec, "하나", "둘")
    recalled = await sessions.recall(spec.id)
    assert (recalled.version, recalled.memory, [m.text for m in recalled.recent]) == (0, b"", ["하나", "둘"])
    covered = recalled.recent[0].id
    one = await sessions.begin_refining(spec.id, lease_s=30)
    assert one is not None
    assert await sessions.begin_refining(spec.id, lease_s=30) is None
    await said(store, sessions, spec, "셋")  # turns go on meanwhile

    for _ in range(2):  # the same call again
        await sessions.remember(one, b"summary", covered=covered, made_from=0, lease_s=30)

    recalled = await sessions.recall(spec.id)
    assert (recalled.version, recalled.memory) == (1, b"summary")
    assert [m.text for m in recalled.recent] == ["둘", "셋"]
    await connection.redis.hset(keys.session(spec.id), "refining_until", 1)
    other = await sessions.begin_refining(spec.id, lease_s=30)
    assert other is not None
    with pytest.raises(errors.StaleFence):
        await sessions.remember(one, b"late", covered=covered, made_from=1, lease_s=30)
    with pytest.raises(errors.StaleFence):
        await sessions.end_refining(one)
    for wrong in (0 - 1, 2, 5):
        with pytest.raises(errors.StaleFence):
            await sessions.remember(other, b"from nowhere", covered=covered, made_from=wrong, lease_s=30)
    await sessions.end_refining(other)
    assert (await sessions.recall(spec.id)).memory == b"summary"
    third = await sessions.begin_refining(spec.id, lease_s=30)
    await sessions.delete(spec.id)
    assert third is not None
    with pytest.raises(errors.SessionNotFound):
        await sessions.remember(third, b"x", covered="", made_from=1, lease_s=30)
    with pytest.raises(errors.SessionNotFound):
        await sessions.begin_refining(spec.id, lease_s=30)


async def test_a_session_starts_from_what_was_said_before(
    store: JobStore, sessions: Sessions, archive: RedisArchive
) -> None:
    first = await opened(sessions, user_id="u")
    await said(store, sessions, first, "제 이름은 김하늘이에요", "반갑습니다")
    second = session_spec(user_id="u")
    await sessions.open(second, await archive.latest("u", owner="", limit=10))
    recalled = await sessions.recall(second.id)
    assert [m.text for m in recalled.earlier] == ["제 이름은 김하늘이에요", "반갑습니다"]
    assert recalled.recent == ()
