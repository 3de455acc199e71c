"""Histories in Redis: of one session, and of all sessions of a user, oldest first, a page at a time."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from jobs import ids
from jobs.session import HistoryPage, Kept, Message, Role
from jobs.settings import Settings
from jobs.store import keys, listing
from jobs.store.connection import Connection


class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as it is stored, under its id."""

    owner: str
    session_id: str
    role: Role
    text: str
    at: datetime
    user_id: str | None = None
    job_id: str | None = None
    language: str | None = None
    tokens: int | None = None
    extra: dict[str, Any] = {}

    @classmethod
    def of(cls, message: Message, owner: str) -> "Said":
        """That message of that owner."""
        return cls(owner=owner, **{name: getattr(message, name) for name in _SHARED})

    def message(self, message_id: str) -> Message:
        """The message with that id."""
        return Message(id=message_id, **{name: getattr(self, name) for name in _SHARED})


_SHARED = tuple(name for name in Message.__struct_fields__ if name != "id")
said = msgspec.json.Decoder(Said)


def user_indexes(owner: str, user_id: str) -> list[str]:
    """The indexes of that user's messages: everybody's and, if there is an owner, the owner's."""
    index = f"user:{user_id}"
    return [index, listing.owned(owner, index)] if owner else [index]


class RedisArchive:
    """The archive in the job store itself; what is said is there at once."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        """Reads the number of shards from `settings`."""
        self._connection = connection
        self._shards = settings.shards

    async def put(self, kept: Kept) -> None:
        """Does nothing: a message is in the history as soon as it is said."""

    async def of_session(
        self, session_id: str, *, owner: str | None = None, since_ms: int = 0, after: str = "", limit: int = 50
    ) -> HistoryPage | None:
        """See `Archive`. Raises `errors.NotFound` if `session_id` is no session's id."""
        history = keys.history(session_id)
        newest, found = await self._connection.calls(
            [
                ("ZREVRANGEBYLEX", history, "+", "-", "LIMIT", 0, 1),
                ("ZRANGEBYLEX", history, _lower(since_ms, after), "+", "LIMIT", 0, limit + 1),
            ]
        )
        if not newest or not await self._owns(newest[0].decode(), owner):
            return None
        return await self._page([id_.decode() for id_ in found], limit, owner)

    async def _owns(self, message_id: str, owner: str | None) -> bool:
        row = await self._connection.call("GET", keys.message(message_id))
        return row is not None and (owner is None or said.decode(row).owner == owner)

    async def of_user(
        self, user_id: str, *, owner: str | None = None, since_ms: int = 0, after: str = "", limit: int = 50
    ) -> HistoryPage:
        """See `Archive`."""
        index = user_indexes(owner or "", user_id)[-1]
        per_shard = await self._connection.calls(
            ("ZRANGEBYLEX", keys.index(shard, index), _lower(since_ms, after), "+", "LIMIT", 0, limit + 1)
            for shard in range(self._shards)
        )
        found = sorted(id_.decode() for part in per_shard for id_ in part)[: limit + 1]
        return await self._page(found, limit, owner)

    async def latest(self, user_id: str, *, owner: str, limit: int) -> list[Message]:
        """See `Archive`."""
        index = user_indexes(owner, user_id)[-1]
        newest = await listing.newest(self._connection, self._shards, index, limit=limit)
        read = await self._read(reversed(newest))
        return [one.message(id_) for id_, one in read if one.owner == owner]

    async def _page(self, found: Sequence[str], limit: int, owner: str | None) -> HistoryPage:
        """`found` holds one more than `limit` if there are more."""
        read = await self._read(found[:limit])
        items = [one.message(id_) for id_, one in read if owner is None or one.owner == owner]
        return HistoryPage(items=items, next_cursor=found[limit - 1] if len(found) > limit else None)

    async def _read(self, message_ids: Iterable[str]) -> list[tuple[str, Said]]:
        wanted = list(message_ids)
        rows = await self._connection.calls(("GET", keys.message(id_)) for id_ in wanted)
        return [(id_, said.decode(row)) for id_, row in zip(wanted, rows, strict=True) if row is not None]

    async def aclose(self) -> None:
        """Holds nothing open but the connection, which it shares."""


def _lower(since_ms: int, after: str) -> str:
    floor = ids.floor(keys.MESSAGE_PREFIX, since_ms)
    return f"({after}" if after > floor else f"[{floor}"


def check_cursor(cursor: str) -> None:
    """Raises `errors.InvalidRequest` for what is no `next_cursor` of a history."""
    listing.check_cursor(cursor, keys.MESSAGE_PREFIX)
