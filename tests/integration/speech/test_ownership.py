"""What was said with one API key does not exist for another: sessions, turns, histories, and the audio of replies."""

import base64
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from jobs.store.access_keys import AccessKeys
from jobs.store.connection import Connection
from ringback.testing.script import Script
from ringback.testing.speech.script import SpeechScript
from ringback.testing.speech.server import SpeechServer
from ringback.testing.vendors.server import VendorServer
from tests.integration.speech.conftest import Talking
from tests.integration.speech.sounds import tone
from tests.stack import KEY_SECRET, Reply, request

MODEL = "bedrock/anthropic.claude-3-haiku"
SAID = "제 비밀번호는 수박입니다."
REPLY = "수박이라고 하셨군요."
ABSENT = "ses_01M803BGRZDM8GVW9FKT2J040B"
ABSENT_JOB = "job_01M803BGRZDM8GVW9FKT2J040B"
SECRET = "수박"
WAV = {"content-type": "audio/wav"}


class Caller:
    """A service with a key of its own."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url = url
        self.headers = {"authorization": f"Bearer {key}"} if key else {}

    def get(self, path: str, **headers: str) -> Reply:
        return request(self.url + path, headers=self.headers | headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Reply:
        return request(self.url + path, method="POST", body=body, headers=self.headers | headers)

    def delete(self, path: str) -> Reply:
        return request(self.url + path, method="DELETE", headers=self.headers)


@pytest.fixture(scope="module")
def guarded(talking: Talking) -> str:
    """A gateway that asks for keys."""
    return talking.gateway(RINGBACK_API_KEYS="required")


@pytest.fixture
async def keys(talking: Talking) -> AsyncIterator[AccessKeys]:
    connection = Connection(talking.store_spec.url, timeout=5.0)
    yield AccessKeys(connection, KEY_SECRET)
    await connection.aclose()


@pytest.fixture
async def clinic(guarded: str, keys: AccessKeys) -> Caller:
    return Caller(guarded, await keys.create("clinic"))


@pytest.fixture
async def shop(guarded: str, keys: AccessKeys) -> Caller:
    return Caller(guarded, await keys.create("shop"))


@pytest.fixture
def turn(clinic: Caller, vendor_server: VendorServer, speech_server: SpeechServer) -> dict[str, Any]:
    """A turn by voice of the clinic's, whose reply is behind a link."""
    vendor_server.script(Script(deltas=(REPLY,)))
    speech_server.script(SpeechScript(heard=(SAID,)), service="transcribe-streaming")
    session = clinic.post("/v1/sessions", {"user_id": "minsu", "language": "ko-KR", "model": MODEL}).json["id"]
    reply = clinic.post(f"/v1/sessions/{session}/voice?delivery=url", tone(), prefer="wait=30", **WAV)
    assert (reply.status, reply.json["output"]["transcript"]) == (200, SAID), reply.body
    job: dict[str, Any] = reply.json
    return job


def test_a_session_exists_for_its_owner_alone(clinic: Caller, shop: Caller, turn: dict[str, Any]) -> None:
    session = turn["session_id"]
    for path, body, headers in (
        ("", None, {}),
        ("/history", None, {}),
        ("/history?since=2020-01-01T00:00:00Z&limit=1", None, {}),
        ("/text", {"text": "안녕"}, {}),
        ("/text", {"text": "안녕"}, {"accept": "text/event-stream"}),
        ("/text", {"text": "안녕"}, {"prefer": "wait=5"}),
        ("/text", {"text": ""}, {}),
        ("/voice", tone(), WAV),
        ("/voice", b"", WAV),
    ):
        replies = [
            shop.post(f"/v1/sessions/{id_}{path}", body, **headers) if body is not None else
            shop.get(f"/v1/sessions/{id_}{path}", **headers)
            for id_ in (session, ABSENT)
        ]  # fmt: skip
        assert [(reply.status, reply.json["code"]) for reply in replies] == [(404, "session_not_found")] * 2, path
        assert replies[0].body.replace(session.encode(), ABSENT.encode()) == replies[1].body
    assert shop.delete(f"/v1/sessions/{session}").status == 404
    assert clinic.get(f"/v1/sessions/{session}").status == 200, "nobody else deleted it"
    said = [item["text"] for item in clinic.get(f"/v1/sessions/{session}/history").json["items"]]
    assert said == [SAID, REPLY], "and nobody else spoke in it"


def test_a_history_is_the_owners_even_when_the_session_is_over(
    clinic: Caller, shop: Caller, turn: dict[str, Any]
) -> None:
    session = turn["session_id"]
    assert clinic.delete(f"/v1/sessions/{session}").status == 204
    assert len(clinic.get(f"/v1/sessions/{session}/history").json["items"]) == 2
    reply = shop.get(f"/v1/sessions/{session}/history")
    assert (reply.status, reply.json["code"]) == (404, "session_not_found")


def test_users_of_two_services_may_have_one_name(clinic: Caller, shop: Caller, turn: dict[str, Any]) -> None:
    """A user is not a thing that exists or not: of one never heard of, nothing was said."""
    mine, unknown = (shop.get(f"/v1/users/{user}/history") for user in ("minsu", quote("nobody-ever")))
    assert (mine.status, mine.json) == (unknown.status, unknown.json) == (200, {"items": [], "next_cursor": None})
    cursor = clinic.get("/v1/users/minsu/history?limit=1").json["next_cursor"]
    assert SECRET.encode() not in shop.get(f"/v1/users/minsu/history?cursor={cursor}").body
    started = shop.post("/v1/sessions", {"user_id": "minsu", "history": 50, "model": MODEL})
    assert started.status == 201
    assert shop.get(f"/v1/sessions/{started.json['id']}/history").json["items"] == []
    assert SECRET in clinic.get("/v1/users/minsu/history").json["items"][-1]["text"]


def test_nothing_of_a_turn_is_anothers(clinic: Caller, shop: Caller, turn: dict[str, Any]) -> None:
    (sentence,) = turn["output"]["sentences"]
    link = sentence["audio"]["url"]
    paths = [f"/v1/jobs/{turn['id']}{path}" for path in ("", "/events", "/events?last_event_id=1", "/deliveries")]
    for path in (*paths, link):
        reply = shop.get(path)
        absent = shop.get(path.replace(turn["id"], ABSENT_JOB))
        assert (reply.status, reply.json["code"]) == (404, "job_not_found"), path
        assert reply.body == absent.body
        assert Caller(shop.url, None).get(path).status == 401, path
        assert clinic.get(path).status == 200, path
    ranged = shop.get(link, range="bytes=0-10")
    assert ranged.status == 404
    assert clinic.get(link, range="bytes=0-10").status == 206
    for query in (f"session_id={turn['session_id']}", "type=voice_turn", ""):
        assert shop.get(f"/v1/jobs?{query}").json["items"] == []
    assert shop.post(f"/v1/jobs/{turn['id']}/cancel").status == 404


def test_a_key_for_repeating_is_the_owners_own(clinic: Caller, shop: Caller, turn: dict[str, Any]) -> None:
    """The same idempotency key in two services' hands makes two jobs."""
    audio = base64.b64encode(tone()).decode()
    body = {"type": "transcribe", "input": {"audio": {"base64": audio}}}
    first, other = (caller.post("/v1/jobs", body, **{"idempotency-key": "one"}) for caller in (clinic, shop))
    assert [first.status, other.status] == [202, 202]
    assert first.json["id"] != other.json["id"]
