"""Histories in DynamoDB: moto stands in for it. What Redis answers, it answers too."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import msgspec
import pytest
from moto import mock_aws

from conversations.archiver import Archiver
from conversations.archives import archive_of
from conversations.dynamodb import DynamoArchive, table
from conversations.lock import SessionLock
from jobs import errors, ids
from jobs.session import Archive, Kept, Message
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.history import RedisArchive
from jobs.store.jobs import JobStore
from jobs.store.sessions import Draft, Sessions
from tests.integration.store.conversation import SHARD, opened, said, session_spec, started
from tests.integration.store.sample import ended, until

NAME = "histories"


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """boto3's client of a DynamoDB that has the table."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "ap-northeast-2",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        client = boto3.client("dynamodb", region_name="ap-northeast-2")
        client.create_table(**table(NAME))
        yield client


@pytest.fixture
def archiving(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, history="dynamodb", history_table=NAME)


@pytest.fixture
async def archive(dynamodb: Any, archiving: Settings) -> AsyncIterator[DynamoArchive]:
    made = DynamoArchive(archiving)
    yield made
    await made.aclose()


def message(text: str, *, at: datetime | None = None, session_id: str = "ses_1", **fields: Any) -> Message:
    moment = at or datetime.now(UTC)
    id_ = ids.new(keys.MESSAGE_PREFIX, SHARD, at_ms=int(moment.timestamp() * 1000))
    return Message(id=id_, session_id=session_id, role=fields.pop("role", "user"), text=text, at=moment, **fields)


async def test_what_is_put_comes_back_whole(archive: DynamoArchive) -> None:
    full = message(
        "안녕 😀\n",
        user_id="민수",
        job_id="job_1",
        language="ko-KR",
        tokens=7,
        role="assistant",
        extra={"sentences": [{"index": 0, "audio": {"duration_s": 1.25}}], "none": None},
    )
    bare = message("", session_id="ses_2")
    await archive.put(Kept(owner="orders", message=full))
    await archive.put(Kept(owner="", message=bare))
    assert (await archive.of_user("민수")).items == [full]
    for session_id, expected in (("ses_1", full), ("ses_2", bare)):
        page = await archive.of_session(session_id)
        assert page is not None
        assert page.items == [expected]
    assert await archive.of_session("ses_3") is None


async def test_the_same_message_again_is_no_other_and_the_later_one_counts(archive: DynamoArchive) -> None:
    first = message("처음", user_id="u")
    later = msgspec.structs.replace(first, text="나중", at=first.at + timedelta(seconds=1))
    for one in (first, later, first):
        await archive.put(Kept(owner="", message=one))
    assert [found.text for found in (await archive.of_user("u")).items] == ["나중"]


async def test_messages_know_when_to_go(archive: DynamoArchive, dynamodb: Any, archiving: Settings) -> None:
    made = message("x", user_id="u")
    await archive.put(Kept(owner="", message=made))
    (item,) = dynamodb.scan(TableName=NAME)["Items"]
    assert abs(int(item["expires_at"]["N"]) - made.at.timestamp() - archiving.history_retention_s) < 2


async def walk(archive: Archive, user_id: str, **query: Any) -> list[str]:
    """All texts, page by page."""
    texts: list[str] = []
    cursor = ""
    while True:
        page = await archive.of_user(user_id, after=cursor, **query)
        texts += [one.text for one in page.items]
        if not page.next_cursor:
            return texts
        cursor = page.next_cursor


async def test_both_archives_answer_alike(
    connection: Connection, store: JobStore, settings: Settings, archive: DynamoArchive
) -> None:
    sessions = Sessions(connection, settings)
    specs = [
        await opened(sessions, shard=shard, user_id="u", owner=owner) for shard, owner in ((3, "a"), (9, "b"), (9, "a"))
    ]
    redis = RedisArchive(connection, settings)
    for n in range(4):
        for spec in specs:
            await said(store, sessions, spec, f"{n} 질문", f"{n} 대답")
    for one in (await redis.of_user("u", limit=200)).items:
        owner = next(spec.owner for spec in specs if spec.id == one.session_id)
        await archive.put(Kept(owner=owner, message=one))
    everything = (await redis.of_user("u", limit=200)).items
    assert len(everything) == 24
    middle = everything[11]
    queries: tuple[dict[str, Any], ...] = (
        *({"limit": 1}, {"limit": 5}, {"limit": 200}, {"owner": "a", "limit": 3}, {"owner": "b"}, {"owner": "c"}),
        *({"since_ms": int(middle.at.timestamp() * 1000), "limit": 4}, {"since_ms": 4_000_000_000_000}),
    )
    for query in queries:
        assert await walk(archive, "u", **query) == await walk(redis, "u", **query), query
    for spec in specs:
        for whose in (None, "a", "b"):
            for limit in (3, 50):
                asked: dict[str, Any] = {"owner": whose, "limit": limit}
                assert await archive.of_session(spec.id, **asked) == await redis.of_session(spec.id, **asked)
        after = everything[-1].id
        assert await archive.of_session(spec.id, after=after) == await redis.of_session(spec.id, after=after)
    for owner in ("a", "b", "c"):
        for limit in (0, 1, 3, 100):
            mine = await archive.latest("u", owner=owner, limit=limit)
            if limit:
                assert mine == await redis.latest("u", owner=owner, limit=limit)
            else:
                assert mine == []


async def test_an_archive_that_cannot_be_used_says_why(dynamodb: Any, archiving: Settings) -> None:
    nowhere = DynamoArchive(msgspec.structs.replace(archiving, history_table="nothing"))
    with pytest.raises(errors.StoreUnavailable, match="there is no table 'nothing'"):
        await nowhere.of_user("u")
    await nowhere.aclose()


async def test_an_archive_that_hangs_or_is_away_is_an_error(
    dynamodb: Any, archiving: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    away = DynamoArchive(archiving)
    with pytest.raises(errors.StoreUnavailable, match="cannot be reached"):
        await away.put(Kept(owner="", message=message("x")))
    await away.aclose()


class Moody:
    """An archive that fails until it is told not to."""

    def __init__(self, archive: Archive) -> None:
        self.failing = True
        self._archive = archive

    def __getattr__(self, name: str) -> Any:
        return getattr(self._archive, name)

    async def put(self, kept: Kept) -> None:
        if self.failing:
            raise errors.StoreUnavailable
        await self._archive.put(kept)


async def test_what_could_not_be_archived_is_archived_later(
    connection: Connection, store: JobStore, archiving: Settings, archive: DynamoArchive
) -> None:
    sessions = Sessions(connection, archiving)
    moody: Any = Moody(archive)
    archiver = Archiver(sessions, moody)
    lock = SessionLock(sessions, archiver)
    session = session_spec(user_id="u", owner="o")
    await sessions.open(session)
    claim = await started(store, session)
    async with lock.held(claim) as turn:
        await turn.say(Draft(role="user", text="들리세요?"))
    await store.end(claim.fence, ended(claim))
    await archiver.aclose()
    assert (await archive.of_user("u")).items == []
    (missing,) = await connection.redis.zrange(keys.unarchived(SHARD), 0, -1)

    moody.failing = False
    await connection.redis.zadd(keys.unarchived(SHARD), {missing: 1})
    keeping = asyncio.create_task(archiver.keep_archiving())

    async def archived() -> bool:
        return not await connection.redis.zcard(keys.unarchived(SHARD))

    await until(archived)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    (found,) = (await archive.of_user("u", owner="o")).items
    assert found.text == "들리세요?"
    await lock.aclose()


async def test_a_message_written_anew_while_it_was_archived_is_archived_again(
    connection: Connection, store: JobStore, archiving: Settings, archive: DynamoArchive
) -> None:
    sessions = Sessions(connection, archiving)
    session = await opened(sessions, user_id="u")
    lock = SessionLock(sessions)
    async with lock.held(await started(store, session)) as turn:
        first = await sessions.say(turn.turn, session, Draft(role="user", text="처음"))
        second = await sessions.say(turn.turn, session, Draft(role="user", text="다시"))
    await sessions.archived(first)
    assert await connection.redis.zcard(keys.unarchived(SHARD)) == 1
    await sessions.archived(second)
    assert await connection.redis.zcard(keys.unarchived(SHARD)) == 0
    await lock.aclose()


async def test_the_settings_choose(connection: Connection, settings: Settings, archiving: Settings) -> None:
    assert isinstance(archive_of(settings, connection), RedisArchive)
    chosen = archive_of(archiving, connection)
    assert isinstance(chosen, DynamoArchive)
    await chosen.aclose()


async def test_the_working_copy_lasts_longer_than_anything_stays_uncovered(
    connection: Connection, archiving: Settings, settings: Settings
) -> None:
    day_ms = 86_400_000
    assert Sessions(connection, settings).kept_ms == 30 * day_ms
    assert Sessions(connection, archiving).kept_ms == 7 * day_ms
    slow = msgspec.structs.replace(archiving, session_ttl_s=43_200.0, history_retention_s=1e9)
    assert Sessions(connection, slow).kept_ms == 32 * day_ms


def test_no_sdk_is_loaded_where_it_is_not_configured() -> None:
    code = "import gateway.app, sys; assert 'boto3' not in sys.modules, 'boto3 is loaded'"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
