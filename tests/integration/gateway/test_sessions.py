"""The routes of sessions and histories, as callers see them."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from jobs.job import JobSpec, PromptRef, view
from jobs.session import SessionSpec
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.access_keys import AccessKeys
from jobs.store.sessions import Candidate, Draft, Sessions, Turn
from tests.integration.gateway.conftest import Gateways, Hand, until
from tests.integration.gateway.test_bad_input import check_field
from tests.integration.gateway.test_contract import check_problem
from tests.stack import KEY_SECRET, Reply, request

ABSENT = "ses_01M803BGRZDM8GVW9FKT2J040B"


def open_session(url: str, *, headers: dict[str, str] | None = None, **fields: Any) -> Reply:
    return request(f"{url}/v1/sessions", method="POST", body=fields, headers=headers)


class Talk:
    """Says things in sessions, as a worker does."""

    def __init__(self, hand: Hand) -> None:
        self._store = hand.store
        self._sessions = Sessions(hand.connection, Settings())

    async def say(self, session_id: str, *texts: str) -> str:
        """One turn: the user and the model in alternation; the job's id."""
        spec = (await self._sessions.recall(session_id)).spec
        job_id = self._store.new_id(None, session_id=session_id)
        await self._store.accept(_job(job_id, spec), busy="wait")
        claim = await self._store.claim(job_id, "hand")
        assert claim is not None
        asked = Candidate(session_id=session_id, job_id=job_id, job_fence=claim.fence)
        (turn,) = await self._sessions.take([asked])
        assert isinstance(turn, Turn)
        for nth, text in enumerate(texts):
            role = "assistant" if nth % 2 else "user"
            await self._sessions.say(turn, spec, Draft(role=role, text=text, nth=nth // 2))  # type: ignore[arg-type]  # one of the two
        ended = view(claim.spec, status="succeeded", ended_ms=int(time.time() * 1000))
        await self._store.end(claim.fence, ended)
        return job_id


def _job(job_id: str, session: SessionSpec) -> JobSpec:
    return JobSpec(
        id=job_id,
        type="text_turn",
        created_ms=int(time.time() * 1000),
        prompt=PromptRef(name="text_turn", version="1", sha256="0" * 64),
        input=msgspec.Raw(b"{}"),
        metadata=msgspec.Raw(b"{}"),
        targets=("fake/echo",),
        session_id=session.id,
        owner=session.owner,
    )


@pytest.fixture
def talk(hand: Hand) -> Talk:
    return Talk(hand)


@pytest.fixture(scope="module")
def guarded(gateways: Gateways) -> str:
    """A gateway that asks for keys."""
    return gateways.gateway(RINGBACK_API_KEYS="required")


def test_a_session_with_everything(gateways: Gateways) -> None:
    asked: dict[str, Any] = {
        "user_id": "민수-1",
        "language": "ko-KR",
        "voice": "Seoyeon",
        "instructions": "한두 문장으로 답하세요.",
        "model": "fake/echo",
        "memory": {"max_messages": 6, "token_limit": 1500, "keep": 3, "strategy": "map_reduce"},
        "context": {"latitude": 37.57, "longitude": 126.98, "tags": ["a", None]},
        "history": 4,
    }
    reply = open_session(gateways.url, **asked)
    assert reply.status == 201, reply.body
    made = reply.json
    assert reply.headers["location"] == f"/v1/sessions/{made['id']}" == made["links"]["self"]
    assert made["id"].startswith("ses_")
    for name in asked.keys() - {"history"}:
        assert made[name] == asked[name]
    lasts = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert timedelta(minutes=59) < lasts < timedelta(minutes=61)
    found = request(f"{gateways.other}/v1/sessions/{made['id']}")
    assert found.status == 200
    assert found.json | {"expires_at": 0} == made | {"expires_at": 0}


def test_a_session_with_nothing(gateways: Gateways) -> None:
    made = open_session(gateways.url).json
    assert {name: made[name] for name in ("user_id", "language", "voice", "instructions", "model")} == dict.fromkeys(
        ("user_id", "language", "voice", "instructions", "model")
    )
    assert made["memory"] == {"max_messages": 10, "token_limit": 4000, "keep": 5, "strategy": "refine"}
    assert made["context"] == {}


@pytest.mark.parametrize(("preset", "numbers"), [("short", (8, 2000)), ("default", (10, 4000)), ("long", (20, 6000))])
def test_presets_of_memory(gateways: Gateways, preset: str, numbers: tuple[int, int]) -> None:
    memory = open_session(gateways.url, memory=preset).json["memory"]
    assert (memory["max_messages"], memory["token_limit"], memory["keep"]) == (*numbers, 5)


def test_numbers_that_are_not_given_fit_those_that_are(gateways: Gateways) -> None:
    assert open_session(gateways.url, memory={"max_messages": 2}).json["memory"]["keep"] == 1
    assert open_session(gateways.url, memory={}).json["memory"]["keep"] == 5


@pytest.mark.parametrize(
    ("fields", "pointer", "says"),
    [
        ({"language": "Korean!"}, "#/language", "ko-KR"),
        ({"language": "ko_KR"}, "#/language", "ko-KR"),
        ({"language": "ko-KR\n"}, "#/language", "ko-KR"),
        ({"language": ""}, "#/language", "length"),
        ({"language": 7}, "#/language", "str"),
        ({"voice": "a b"}, "#/voice", "Seoyeon"),
        ({"user_id": "a/b"}, "#/user_id", "128"),
        ({"user_id": "a b"}, "#/user_id", "128"),
        ({"user_id": ".."}, "#/user_id", "128"),
        ({"user_id": ABSENT}, "#/user_id", "ses_"),
        ({"user_id": "x" * 129}, "#/user_id", "128"),
        ({"user_id": "\x00"}, "#/user_id", "128"),
        ({"instructions": " \n "}, "#/instructions", "say something"),
        ({"instructions": "x" * 16_385}, "#/instructions", "16384"),
        ({"memory": "huge"}, "#/memory", "short, default, long"),
        ({"memory": 5}, "#/memory", "int"),
        ({"memory": {"max_messages": 1}}, "#/memory/max_messages", "2"),
        ({"memory": {"max_messages": 10, "keep": 10}}, "#/memory/keep", "less than max_messages"),
        ({"memory": {"keep": 0}}, "#/memory/keep", "1"),
        ({"memory": {"token_limit": 10**9}}, "#/memory/token_limit", "200000"),
        ({"memory": {"strategy": "forget"}}, "#/memory/strategy", "map_reduce"),
        ({"memory": {"tokens": 5}}, "#/memory/tokens", "not a known field"),
        ({"context": []}, "#/context", "object"),
        ({"context": None}, "#/context", "object"),
        ({"context": {"x": "y" * 5000}}, "#/context", "4096"),
        ({"history": 5}, "#/history", "user_id"),
        ({"history": 101, "user_id": "u"}, "#/history", "100"),
        ({"history": -1, "user_id": "u"}, "#/history", "0"),
        ({"history": True, "user_id": "u"}, "#/history", "bool"),
        ({"persona": "x"}, "#/persona", "not a known field"),
    ],
    ids=lambda part: str(part)[:40],
)
def test_what_makes_no_sense_is_refused_by_name(
    gateways: Gateways, fields: dict[str, Any], pointer: str, says: str
) -> None:
    assert says in check_field(open_session(gateways.url, **fields), pointer)


def test_models_are_those_of_jobs(gateways: Gateways) -> None:
    check_field(open_session(gateways.url, model="nonsense"), "#/model", "unknown_model")
    check_field(open_session(gateways.url, model="openai/gpt-4o"), "#/model", "provider_disabled")


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"\xff", 400), (b"[]", 422), (b"null", 422), (b'{"user_id": "\\ud800"}', 400)],
)
def test_bodies_that_are_none(gateways: Gateways, body: bytes, status: int) -> None:
    reply = request(f"{gateways.url}/v1/sessions", method="POST", body=body)
    check_problem(reply, status, "invalid_json" if status == 400 else "validation_error")


def test_context_that_is_nested_too_deeply(gateways: Gateways) -> None:
    body = b'{"context": {"x": ' + b"[" * 150 + b"]" * 150 + b"}}"
    check_field(request(f"{gateways.url}/v1/sessions", method="POST", body=body), "#/context")


def test_a_deleted_session_is_gone(gateways: Gateways) -> None:
    session = f"{gateways.url}/v1/sessions/{open_session(gateways.url).json['id']}"
    assert request(f"{session}/history").json == {"items": [], "next_cursor": None}
    assert request(session, method="DELETE").status == 204
    for url, method in ((session, "GET"), (session, "DELETE"), (f"{session}/history", "GET")):
        check_problem(request(url, method=method), 404, "session_not_found")


@pytest.mark.parametrize("session_id", ["x", "job_01M803BGRZDM8GVW9FKT2J040B", "%00", "ses_%EA%B0%80"])
def test_what_is_no_id_is_not_found(gateways: Gateways, session_id: str) -> None:
    for path in ("", "/history"):
        check_problem(request(f"{gateways.url}/v1/sessions/{session_id}{path}"), 404, "not_found")


def test_what_can_be_done_is_told(gateways: Gateways) -> None:
    for path in ("/v1/sessions", f"/v1/sessions/{ABSENT}", f"/v1/sessions/{ABSENT}/history"):
        reply = request(gateways.url + path, method="OPTIONS")
        assert reply.status == 204
        assert "OPTIONS" in reply.headers["allow"]
    check_problem(request(f"{gateways.url}/v1/sessions", method="GET"), 405, "method_not_allowed")


async def test_history_page_by_page(gateways: Gateways, talk: Talk) -> None:
    session = open_session(gateways.url, user_id="u-history", language="ko-KR").json
    job_id = await talk.say(session["id"], "안녕", "네, 안녕하세요", "몇 시예요?", "세 시예요")
    url = gateways.url + session["links"]["history"]

    first = (await asyncio.to_thread(request, f"{url}?limit=3")).json
    assert [m["text"] for m in first["items"]] == ["안녕", "네, 안녕하세요", "몇 시예요?"]
    assert [m["role"] for m in first["items"]] == ["user", "assistant", "user"]
    message = first["items"][0]
    assert message["id"].startswith("msg_")
    assert (message["session_id"], message["user_id"]) == (session["id"], "u-history")
    assert (message["job_id"], message["language"]) == (job_id, "ko-KR")
    rest = request(f"{url}?limit=3&cursor={first['next_cursor']}").json
    assert [m["text"] for m in rest["items"]] == ["세 시예요"]
    assert rest["next_cursor"] is None
    assert request(f"{gateways.other}/v1/users/u-history/history").json["items"] == first["items"] + rest["items"]
    later = quote((datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert request(f"{url}?since={later}").json == {"items": [], "next_cursor": None}
    earlier = quote((datetime.now(UTC) - timedelta(hours=1)).isoformat())
    assert len(request(f"{url}?since={earlier}").json["items"]) == 4
    assert request(f"{gateways.url}{session['links']['self']}", method="DELETE").status == 204
    assert len(request(url).json["items"]) == 4, "a history outlives its session"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("since=yesterday", "query:since"),
        ("since=2026-11-22T09:30:00", "query:since"),
        ("limit=0", "query:limit"),
        ("limit=201", "query:limit"),
        ("limit=x", "query:limit"),
        ("cursor=x", "query:cursor"),
        ("cursor=job_01M803BGRZDM8GVW9FKT2J040B", "query:cursor"),
        ("before=1", "query:before"),
    ],
)
def test_queries_that_make_no_sense(gateways: Gateways, query: str, pointer: str) -> None:
    for path in (f"sessions/{ABSENT}", "users/u"):
        check_field(request(f"{gateways.url}/v1/{path}/history?{query}"), pointer)


@pytest.mark.parametrize("user_id", ["nobody", "%EA%B0%80", "a%2Fb", "%00", "x" * 129, ABSENT, "{07}", "*"])
def test_users_who_never_said_anything(gateways: Gateways, user_id: str) -> None:
    reply = request(f"{gateways.url}/v1/users/{user_id}/history")
    assert reply.status in (200, 404)
    if reply.status == 200:
        assert reply.json == {"items": [], "next_cursor": None}


async def test_sessions_and_histories_are_their_owners(guarded: str, hand: Hand, talk: Talk) -> None:
    keys_ = AccessKeys(hand.connection, KEY_SECRET)

    async def caller(*scopes: Any) -> dict[str, str]:
        made = await keys_.create("x", scopes=scopes) if scopes else await keys_.create("x")
        return {"Authorization": f"Bearer {made}"}

    mine, other, admin = await caller(), await caller(), await caller("admin")
    session = open_session(guarded, headers=mine, user_id="shared-user").json
    await talk.say(session["id"], "비밀", "네")
    own, path = f"{guarded}/v1/sessions/{session['id']}", f"{guarded}/v1/users/shared-user/history"

    check_problem(request(own, headers=other), 404, "session_not_found")
    check_problem(request(own, method="DELETE", headers=other), 404, "session_not_found")
    check_problem(request(f"{own}/history", headers=other), 404, "session_not_found")
    assert request(path, headers=other).json == {"items": [], "next_cursor": None}
    for headers in (mine, admin):
        assert request(own, headers=headers).status == 200
        assert [m["text"] for m in request(f"{own}/history", headers=headers).json["items"]] == ["비밀", "네"]
        assert [m["text"] for m in request(path, headers=headers).json["items"]] == ["비밀", "네"]
    theirs = open_session(guarded, headers=other, user_id="shared-user", history=10).json
    sessions = Sessions(hand.connection, Settings())
    assert (await sessions.recall(theirs["id"])).earlier == (), "nor does it come in with a new session"
    again = open_session(guarded, headers=mine, user_id="shared-user", history=1).json
    assert [m.text for m in (await sessions.recall(again["id"])).earlier] == ["네"]
    await talk.say(again["id"], "가" * 50_000, "네")
    heavy = open_session(guarded, headers=mine, user_id="shared-user", history=4).json
    assert [len(m.text) for m in (await sessions.recall(heavy["id"])).earlier] == [1], "no more than it should carry"
    assert request(own, method="DELETE", headers=mine).status == 204
    check_problem(request(f"{own}/history", headers=other), 404, "session_not_found")
    assert len(request(f"{own}/history", headers=mine).json["items"]) == 2


async def test_a_session_expires_and_says_when(gateways: Gateways, hand: Hand) -> None:
    url = gateways.gateway(RINGBACK_SESSION_TTL_S="600")
    made = open_session(url).json
    assert await hand.connection.redis.pttl(keys.session(made["id"])) <= 600_000
    await hand.connection.redis.pexpire(keys.session(made["id"]), 100_000)
    found = request(f"{gateways.url}/v1/sessions/{made['id']}").json
    left = datetime.fromisoformat(found["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=60) < left < timedelta(seconds=101)
    await hand.connection.redis.pexpire(keys.session(made["id"]), 1)
    await until(lambda: asyncio.to_thread(lambda: request(f"{url}/v1/sessions/{made['id']}").status == 404))
    check_problem(request(f"{url}/v1/sessions/{made['id']}"), 404, "session_not_found")
