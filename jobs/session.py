"""Conversations as callers see them: a session with its settings, the messages of a history, and who keeps those."""

from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

import msgspec

Strategy = Literal["stuff", "refine", "map_reduce"]
STRATEGIES: tuple[Strategy, ...] = ("stuff", "refine", "map_reduce")
Role = Literal["user", "assistant"]

CONTEXT_LIMIT = 4 * 1024
"""Bytes of compact JSON that a session's `context` may have."""
MOST_EARLIER = 100
"""Messages of earlier sessions that a new one may start from,"""
EARLIER_BYTES = 128 * 1024
"""and bytes of text that these may have."""


class MemorySettings(msgspec.Struct, frozen=True, kw_only=True):
    """When older messages are folded into the summary, and how."""

    max_messages: Annotated[int, msgspec.Meta(ge=2, le=128)] = 10
    """More of them than this, not yet summarized,"""
    token_limit: Annotated[int, msgspec.Meta(ge=200, le=200_000)] = 4_000
    """or more tokens in them and the summary, and all but the last `keep` messages are folded in."""
    keep: Annotated[int, msgspec.Meta(ge=1, le=127)] = 5
    strategy: Strategy = "refine"
    """`refine`: one chunk after the other into the summary so far; `map_reduce`: each chunk by itself, then all of them
    together; `stuff`: the whole history again at once."""


PRESETS: dict[str, MemorySettings] = {
    "short": MemorySettings(max_messages=8, token_limit=2_000),
    "default": MemorySettings(),
    "long": MemorySettings(max_messages=20, token_limit=6_000),
}
"""Short questions and answers; counselling; teaching."""


class SessionSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What never changes after a session was made; stored as one JSON document."""

    id: str
    created_ms: int
    """Unix time, milliseconds."""
    owner: str = ""
    """Id of the API key that made it; empty where keys are off."""
    user_id: str | None = None
    language: str | None = None
    """BCP 47, e.g. `ko-KR`."""
    voice: str | None = None
    instructions: str | None = None
    """What the model is told before anything else."""
    model: str | None = None
    """Route or `provider/model`; `None`: the job type's or the deployment's default."""
    memory: MemorySettings = MemorySettings()
    context: msgspec.Raw = msgspec.Raw(b"{}")
    """A JSON object that is offered to prompts."""


class SessionLinks(msgspec.Struct, frozen=True, kw_only=True):
    """Where to go from here, as paths on this gateway."""

    self: str
    history: str


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session as callers see it. Times are RFC 3339 UTC."""

    id: str
    created_at: datetime
    expires_at: datetime
    """When it is gone if nothing is said until then; each turn puts it off."""
    user_id: str | None
    language: str | None
    voice: str | None
    instructions: str | None
    model: str | None
    memory: MemorySettings
    context: dict[str, Any]
    links: SessionLinks

    @classmethod
    def of(cls, spec: SessionSpec, *, created_at: datetime, expires_at: datetime) -> "Session":
        """The session that `spec` describes."""
        path = f"/v1/sessions/{spec.id}"
        return cls(
            id=spec.id,
            created_at=created_at,
            expires_at=expires_at,
            user_id=spec.user_id,
            language=spec.language,
            voice=spec.voice,
            instructions=spec.instructions,
            model=spec.model,
            memory=spec.memory,
            context=msgspec.json.decode(spec.context, type=dict[str, Any]),
            links=SessionLinks(self=path, history=f"{path}/history"),
        )


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was said. Ids sort in the order in which it was."""

    id: str
    session_id: str
    user_id: str | None = None
    role: Role
    text: str
    at: datetime
    job_id: str | None = None
    """The turn in which it was said."""
    language: str | None = None
    tokens: int | None = None
    """As the model's provider counted them; `None`: nobody did."""
    extra: dict[str, Any] = {}
    """What else there is, such as sentences with their audio."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A message in an archive."""

    owner: str
    """Id of the API key whose session it was said in; empty where keys are off."""
    message: Message


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a history, oldest first."""

    items: list[Message]
    next_cursor: str | None


class Archive(Protocol):
    """Where histories are read from, and what they are put into for longer than sessions last.

    All raise `errors.StoreUnavailable`. With `owner` (an API key's id) only what belongs to that owner is there.
    """

    async def put(self, kept: Kept) -> None:
        """Keeps a message; one with the same id is replaced."""
        ...

    async def of_session(
        self, session_id: str, *, owner: str | None = None, since_ms: int = 0, after: str = "", limit: int = 50
    ) -> HistoryPage | None:
        """What was said in a session at `since_ms` or later and after the message with the id `after`.

        `None`: nothing was ever said there.
        """
        ...

    async def of_user(
        self, user_id: str, *, owner: str | None = None, since_ms: int = 0, after: str = "", limit: int = 50
    ) -> HistoryPage:
        """The same of all sessions of a user."""
        ...

    async def latest(self, user_id: str, *, owner: str, limit: int) -> list[Message]:
        """The last `limit` messages of a user, oldest first, of sessions of that very owner."""
        ...

    async def aclose(self) -> None:
        """Closes what it holds open."""
        ...
