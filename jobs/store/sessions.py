"""The sessions: made, read, deleted; taken for one turn after the other; what is said and remembered, under fences.

Everything of a session, its jobs included, is in the shard that its id names: each step is one script.
"""

import secrets
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from jobs import errors, ids
from jobs.job import moment
from jobs.session import Kept, Message, Role, Session, SessionSpec
from jobs.settings import Settings
from jobs.store import history, keys
from jobs.store.connection import Call, Connection

MOST_RECALLED = 400
"""Messages that a turn reads at the most, however many wait for the summary."""
ARCHIVE_AGAIN_S = 30.0
"""A message that is not in the archive after so long is put there by whoever sees it first."""
_WORKING_COPY_S = 7 * 86_400.0
_MOST_TURNS_UNCOVERED = 64
_json = msgspec.json.Encoder()
_spec = msgspec.json.Decoder(SessionSpec)
_messages = msgspec.json.Decoder(list[Message])


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A running job that wants its turn."""

    session_id: str
    job_id: str
    job_fence: int


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A session held for one job; whatever is written in it carries these fences."""

    session_id: str
    job_id: str
    job_fence: int
    fence: int


class Waiting(msgspec.Struct, frozen=True):
    """It is somebody else's turn."""

    before: int
    """How many jobs are before this one, at least 1; some of them may have ended."""


Gone = Literal["gone", "stale"]
"""The session is not there; or another worker has the job, or it has ended."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be said. A turn has one message for each role and `nth`, however often it is run."""

    role: Role
    text: str
    nth: int = 0
    language: str | None = None
    tokens: int | None = None
    """As the provider counted them."""
    extra: dict[str, Any] = {}


class Recalled(msgspec.Struct, frozen=True, kw_only=True):
    """What a session remembers."""

    spec: SessionSpec
    version: int
    """Of `memory`; 0: there is none."""
    memory: bytes
    """As `Sessions.remember` got it; empty: there is none."""
    earlier: tuple[Message, ...]
    """Of the user's sessions before this one, oldest first."""
    recent: tuple[Message, ...]
    """What was said in this session and is not covered by `memory`, oldest first."""


class Refining(msgspec.Struct, frozen=True, kw_only=True):
    """The right to replace a session's memory; only one at a time has it."""

    session_id: str
    fence: int


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


class Sessions:
    """All sessions."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        """Reads shards, time to live and retention from `settings`."""
        self._connection = connection
        self._settings = settings
        self._archived = settings.history != "redis"

    @property
    def kept_ms(self) -> int:
        """For how long a message is kept here.

        With an archive elsewhere that is the working copy only, which lasts longer than anything can stay uncovered.
        """
        retention = self._settings.history_retention_s
        if not self._archived:
            return _ms(retention)
        return _ms(min(retention, max(_WORKING_COPY_S, _MOST_TURNS_UNCOVERED * self._settings.session_ttl_s)))

    # Gateway

    def new_id(self) -> str:
        """An id for a new session."""
        return ids.new(keys.SESSION_PREFIX, time.monotonic_ns() % self._settings.shards)

    async def open(self, spec: SessionSpec, earlier: Sequence[Message] = ()) -> Session:
        """Makes a session that starts from the messages `earlier`. Raises `errors.StoreUnavailable`."""
        ttl = _ms(self._settings.session_ttl_s)
        await self._connection.run(
            "session_open", keys.session(spec.id), _json.encode(spec), spec.owner, ttl, _json.encode(earlier)
        )
        return _session(spec, ttl)

    async def get(self, session_id: str, *, owner: str | None = None) -> Session:
        """The session; with `owner` (an API key's id) only one of that owner is there.

        Raises `errors.SessionNotFound`, `errors.NotFound` for what is no session's id, `errors.StoreUnavailable`.
        """
        key = keys.session(session_id)
        spec, left = await self._connection.calls([("HGET", key, "spec"), ("PTTL", key)])
        if spec is None or left < 0:
            raise errors.SessionNotFound
        found = _spec.decode(spec)
        if owner is not None and found.owner != owner:
            raise errors.SessionNotFound
        return _session(found, left)

    async def delete(self, session_id: str, *, owner: str | None = None) -> None:
        """Ends a session; its history stays. Its turns that have not ended are cancelled. Raises as `get` does."""
        await self.get(session_id, owner=owner)
        await self._connection.run("session_delete", keys.session(session_id), session_id)

    # Turns

    async def take(self, candidates: Iterable[Candidate]) -> list[Turn | Waiting | Gone]:
        """Asks for the turns of many jobs in one round trip: each gets one if it is the first of its session.

        Asking again is harmless, and keeps the session alive. Raises `errors.StoreUnavailable`.
        """
        asked = list(candidates)
        replies = await self._connection.run_many(
            "session_take", (Call(keys.session(c.session_id), (c.session_id, c.job_id, c.job_fence)) for c in asked)
        )
        return [_taken(candidate, reply) for candidate, reply in zip(asked, replies, strict=True)]

    async def say(self, turn: Turn, spec: SessionSpec, draft: Draft) -> Kept:
        """Writes a message of the turn into the history of the session that `spec` describes.

        Raises `errors.StaleFence` if the turn is over or somebody else's, `errors.SessionNotFound`,
        `errors.StoreUnavailable`. Repeating the call is harmless.
        """
        at_ms = int(time.time() * 1000)
        shard = ids.shard_of(turn.session_id, keys.SESSION_PREFIX)
        message = Message(
            id=ids.new(keys.MESSAGE_PREFIX, shard, at_ms=at_ms),
            session_id=turn.session_id,
            user_id=spec.user_id,
            role=draft.role,
            text=draft.text,
            at=datetime.fromtimestamp(at_ms / 1000, UTC),
            job_id=turn.job_id,
            language=draft.language or spec.language,
            tokens=draft.tokens,
            extra=draft.extra,
        )
        while True:
            verdict, *told = await self._write(turn, spec, f"{draft.role}:{draft.nth}", message)
            match verdict:
                case b"ok":
                    return Kept(owner=spec.owner, message=msgspec.structs.replace(message, id=told[0].decode()))
                case b"later":
                    later = ids.new(keys.MESSAGE_PREFIX, shard, at_ms=ids.made_ms(told[0].decode()) + 1)
                    message = msgspec.structs.replace(message, id=later)
                case b"gone":
                    raise errors.SessionNotFound
                case _:
                    raise errors.StaleFence

    async def _write(self, turn: Turn, spec: SessionSpec, place: str, message: Message) -> list[bytes]:
        reply: list[bytes] = await self._connection.run(
            "session_say",
            keys.session(turn.session_id),
            turn.session_id,
            turn.job_id,
            turn.job_fence,
            turn.fence,
            place,
            message.id,
            _json.encode(history.Said.of(message, spec.owner)),
            ids.floor(keys.MESSAGE_PREFIX, int(time.time() * 1000) - self.kept_ms),
            self.kept_ms,
            _ms(ARCHIVE_AGAIN_S) if self._archived else "",
            *(history.user_indexes(spec.owner, spec.user_id) if spec.user_id else ()),
        )
        return reply

    # Memory

    async def recall(self, session_id: str) -> Recalled:
        """What the session remembers. Raises `errors.SessionNotFound`, `errors.StoreUnavailable`."""
        found = await self._connection.run("session_recall", keys.session(session_id), session_id, MOST_RECALLED)
        if not found:
            raise errors.SessionNotFound
        spec, earlier, version, memory, *rows = found
        return Recalled(
            spec=_spec.decode(spec),
            version=int(version),
            memory=memory,
            earlier=tuple(_messages.decode(earlier)),
            recent=tuple(
                history.said.decode(row).message(id_.decode()) for id_, row in zip(rows[::2], rows[1::2], strict=True)
            ),
        )

    async def begin_refining(self, session_id: str, *, lease_s: float) -> Refining | None:
        """The right to replace the session's memory, for so many seconds after the last sign.

        `None`: somebody else has it. Raises `errors.SessionNotFound`, `errors.StoreUnavailable`.
        """
        verdict, *told = await self._connection.run(
            "session_refine", keys.session(session_id), secrets.token_hex(8), _ms(lease_s)
        )
        if verdict == b"gone":
            raise errors.SessionNotFound
        return Refining(session_id=session_id, fence=int(told[0])) if verdict == b"held" else None

    async def remember(
        self, refining: Refining, memory: bytes, *, covered: str, made_from: int, lease_s: float
    ) -> None:
        """Replaces the memory of version `made_from`; from now on it covers everything up to the message `covered`.

        Raises `errors.StaleFence` if somebody else refines now or has written meanwhile, `errors.SessionNotFound`,
        `errors.StoreUnavailable`. Repeating the call is harmless.
        """
        await self._remember(refining, _ms(lease_s), made_from, covered, memory)

    async def go_on_refining(self, refining: Refining, *, lease_s: float) -> None:
        """Keeps the right for so many seconds more. Raises as `remember` does."""
        await self._remember(refining, _ms(lease_s), 0, "", b"")

    async def end_refining(self, refining: Refining) -> None:
        """Gives the right back. Raises as `remember` does."""
        await self._remember(refining, 0, 0, "", b"")

    async def _remember(self, refining: Refining, *args: int | str | bytes) -> None:
        verdict = await self._connection.run(
            "session_remember", keys.session(refining.session_id), refining.fence, *args
        )
        if verdict == b"gone":
            raise errors.SessionNotFound
        if verdict == b"stale":
            raise errors.StaleFence

    # Archive

    async def unarchived(self, *, limit: int = 100) -> list[Kept]:
        """Messages that should be in the archive by now; each is given to one caller at a time.

        `limit` is per shard. Raises `errors.StoreUnavailable`.
        """
        shards = range(self._settings.shards)
        args = (limit, _ms(ARCHIVE_AGAIN_S))
        replies = await self._connection.run_many(
            "session_unarchived", (Call(keys.unarchived(shard), args) for shard in shards)
        )
        found: list[Kept] = []
        for reply in replies:
            for id_, row in zip(reply[::2], reply[1::2], strict=True):
                stored = history.said.decode(row)
                found.append(Kept(owner=stored.owner, message=stored.message(id_.decode())))
        return found

    async def archived(self, kept: Kept) -> None:
        """That message is in the archive as it is there. Raises `errors.StoreUnavailable`."""
        message_id = kept.message.id
        shard = ids.shard_of(message_id, keys.MESSAGE_PREFIX)
        stored = _json.encode(history.Said.of(kept.message, kept.owner))
        await self._connection.run("session_archived", keys.unarchived(shard), message_id, stored)


def _session(spec: SessionSpec, left_ms: int) -> Session:
    created, expires = moment(spec.created_ms), moment(int(time.time() * 1000) + left_ms)
    assert created is not None and expires is not None  # noqa: S101, PT018 - narrows the types only
    return Session.of(spec, created_at=created, expires_at=expires)


def _taken(candidate: Candidate, reply: list[Any]) -> Turn | Waiting | Gone:
    match reply[0]:
        case b"held":
            return Turn(
                session_id=candidate.session_id,
                job_id=candidate.job_id,
                job_fence=candidate.job_fence,
                fence=int(reply[1]),
            )
        case b"wait":
            return Waiting(int(reply[1]))
        case b"gone":
            return "gone"
        case _:
            return "stale"
