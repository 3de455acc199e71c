"""The routes of sessions: made, read, deleted; and of histories, which outlive them."""

import re
import time
from collections.abc import Sequence
from typing import Annotated

import msgspec
from litestar import HttpMethod, Response, Router, delete, post, route
from litestar.datastructures import MultiDict
from litestar.params import FromPath
from litestar.types import Guard

from gateway import requests
from gateway.access import needs, owner, sees
from gateway.desk import Desk
from gateway.requests import READ, AnyRequest
from gateway.submission import decoded, json_object
from jobs import errors
from jobs.session import (
    CONTEXT_LIMIT,
    EARLIER_BYTES,
    MOST_EARLIER,
    PRESETS,
    STRATEGIES,
    Archive,
    HistoryPage,
    MemorySettings,
    Message,
    SessionSpec,
)
from jobs.store.history import check_cursor
from jobs.store.sessions import Sessions

JSON = "application/json"
LANGUAGE = r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}"
USER_ID = r"(?!\.{1,2}$)(?!ses_)[^/?#\\\s\x00-\x1f\x7f]{1,128}"
VOICE = r"[A-Za-z0-9._-]{1,64}"
_HISTORY_PARAMETERS = ("since", "limit", "cursor")
_SOURCES = {"language": LANGUAGE, "user_id": USER_ID, "voice": VOICE}
_HINTS = {
    "language": "must be a language tag such as ko-KR or en",
    "user_id": "must be 1 to 128 characters without white space and / ? # \\, and not begin with ses_",
    "voice": "must be the name of a voice, such as Seoyeon",
}


def _text(name: str, limit: int) -> object:
    """How a field with a pattern is described; it is checked by hand, for an error that tells the fix."""
    return msgspec.Meta(min_length=1, max_length=limit, extra_json_schema={"pattern": f"^{_SOURCES[name]}$"})


class MemoryRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers instead of a preset; those not given are those of `default`."""

    max_messages: Annotated[int, msgspec.Meta(ge=2, le=128)] = 10
    token_limit: Annotated[int, msgspec.Meta(ge=200, le=200_000)] = 4_000
    keep: Annotated[int, msgspec.Meta(ge=1, le=127)] | None = None
    """Fewer than `max_messages`; 5 if there may be so many."""
    strategy: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(STRATEGIES)})] = "refine"


class SessionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/sessions`."""

    user_id: Annotated[str, _text("user_id", 128)] | None = None
    """Whoever speaks, in your own words: what they say can be read by it later."""
    language: Annotated[str, _text("language", 35)] | None = None
    """BCP 47, e.g. `ko-KR`."""
    voice: Annotated[str, _text("voice", 64)] | None = None
    instructions: Annotated[str, msgspec.Meta(min_length=1, max_length=16_384)] | None = None
    """What the model is told before anything else, such as who it is and how long it may speak."""
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None
    """A route or `provider/model`."""
    memory: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(PRESETS)})] | MemoryRequest | None = None
    context: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"{}"))
    history: Annotated[int, msgspec.Meta(ge=0, le=MOST_EARLIER)] = 0
    """So many of the user's last messages, of earlier sessions, this one starts from; up to 128 KiB of them."""


_request = msgspec.json.Decoder(SessionRequest)


def router(desk: Desk, sessions: Sessions, archive: Archive, guards: Sequence[Guard]) -> Router:
    """The routes `/v1/sessions…` and `/v1/users/…/history`, open to whom `guards` let through."""

    @route("/sessions", http_method=HttpMethod.OPTIONS, status_code=204)
    async def options() -> Response[None]:
        """What can be done here."""
        return Response(None, headers={"Allow": "OPTIONS, POST"})

    @post("/sessions", operation_id="create_session", status_code=201, opt=needs("jobs:write"))
    async def create(request: AnyRequest) -> Response[bytes]:
        """Make a session."""
        desk.check_open()
        asked = decoded(await requests.body(request, desk.max_body_bytes), _request)
        spec = specify(asked, desk, sessions.new_id(), owner=owner(request))
        earlier = await archive.latest(asked.user_id, owner=spec.owner, limit=asked.history) if asked.user_id else []
        session = await sessions.open(spec, _newest(earlier))
        headers = {"Location": session.links.self}
        return Response(msgspec.json.encode(session), media_type=JSON, status_code=201, headers=headers)

    @route("/sessions/{session_id:str}", http_method=READ, operation_id="get_session", opt=needs("jobs:read"))
    async def read(session_id: FromPath[str], request: AnyRequest) -> Response[bytes]:
        """Read a session."""
        session = await sessions.get(session_id, owner=sees(request))
        return Response(msgspec.json.encode(session), media_type=JSON)

    @delete("/sessions/{session_id:str}", operation_id="delete_session", status_code=204, opt=needs("jobs:write"))
    async def remove(session_id: FromPath[str], request: AnyRequest) -> None:
        """End a session; its history stays."""
        await sessions.delete(session_id, owner=sees(request))

    @route(
        "/sessions/{session_id:str}/history",
        http_method=READ,
        operation_id="get_session_history",
        opt=needs("jobs:read"),
    )
    async def session_history(session_id: FromPath[str], request: AnyRequest) -> Response[bytes]:
        """Read what was said in a session."""
        since_ms, limit, after = history_query(request.query_params)
        page = await archive.of_session(session_id, owner=sees(request), since_ms=since_ms, after=after, limit=limit)
        if page is None:
            await sessions.get(session_id, owner=sees(request))
            page = HistoryPage(items=[], next_cursor=None)
        return _page(page)

    @route("/users/{user_id:str}/history", http_method=READ, operation_id="get_user_history", opt=needs("jobs:read"))
    async def user_history(user_id: FromPath[str], request: AnyRequest) -> Response[bytes]:
        """Read what was said in all sessions of a user."""
        since_ms, limit, after = history_query(request.query_params)
        if not re.fullmatch(USER_ID, user_id):
            return _page(HistoryPage(items=[], next_cursor=None))
        page = await archive.of_user(user_id, owner=sees(request), since_ms=since_ms, after=after, limit=limit)
        return _page(page)

    handlers = [options, create, read, remove, session_history, user_history]
    return Router("/v1", route_handlers=handlers, guards=guards)


def specify(asked: SessionRequest, desk: Desk, session_id: str, *, owner: str) -> SessionSpec:
    """The session that `asked` wants. Raises `errors.InvalidRequest` naming the field."""
    for name, pattern in _SOURCES.items():
        given = getattr(asked, name)
        if given is not None and not re.fullmatch(pattern, given):
            raise errors.InvalidRequest.at(f"#/{name}", _HINTS[name])
    if asked.instructions is not None and not asked.instructions.strip():
        raise errors.InvalidRequest.at("#/instructions", "must say something; leave it out to give none")
    if asked.model is not None:
        desk.submission.resolve(asked.model, "#/model")
    if asked.history and asked.user_id is None:
        raise errors.InvalidRequest.at("#/history", "needs user_id, whose earlier messages are meant")
    return SessionSpec(
        id=session_id,
        created_ms=int(time.time() * 1000),
        owner=owner,
        user_id=asked.user_id,
        language=asked.language,
        voice=asked.voice,
        instructions=asked.instructions,
        model=asked.model,
        memory=_memory(asked.memory),
        context=json_object(asked.context, "#/context", CONTEXT_LIMIT),
    )


def _memory(asked: str | MemoryRequest | None) -> MemorySettings:
    if asked is None:
        return PRESETS["default"]
    if isinstance(asked, str):
        if asked not in PRESETS:
            known = ", ".join(PRESETS)
            raise errors.InvalidRequest.at("#/memory", f"must be one of {known}, or an object with numbers")
        return PRESETS[asked]
    keep = min(MemorySettings().keep, asked.max_messages - 1) if asked.keep is None else asked.keep
    if keep >= asked.max_messages:
        raise errors.InvalidRequest.at(
            "#/memory/keep", f"must be less than max_messages, which is {asked.max_messages}"
        )
    for strategy in STRATEGIES:
        if asked.strategy == strategy:
            return MemorySettings(
                max_messages=asked.max_messages, token_limit=asked.token_limit, keep=keep, strategy=strategy
            )
    raise errors.InvalidRequest.at("#/memory/strategy", f"must be one of {', '.join(STRATEGIES)}")


def _newest(earlier: Sequence[Message]) -> list[Message]:
    """As many of them as the session may carry along: every turn reads them until they are summarized."""
    kept: list[Message] = []
    room = EARLIER_BYTES
    for message in reversed(earlier):
        room -= len(message.text.encode())
        if room < 0:
            break
        kept.append(message)
    return kept[::-1]


def history_query(params: MultiDict[str]) -> tuple[int, int, str]:
    """Since when (Unix ms), how many, and after which message. Raises `errors.InvalidRequest`."""
    for name in params:
        if name not in _HISTORY_PARAMETERS:
            known = ", ".join(_HISTORY_PARAMETERS)
            raise errors.InvalidRequest.at(f"query:{name[:64]}", f"unknown; known: {known}")
    cursor = params.get("cursor") or ""
    if cursor:
        check_cursor(cursor)
    return requests.since_ms(params) or 0, requests.page_limit(params), cursor


def _page(page: HistoryPage) -> Response[bytes]:
    return Response(msgspec.json.encode(page), media_type=JSON)
