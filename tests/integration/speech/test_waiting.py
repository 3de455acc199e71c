"""Turns whose caller waits for the end, and turns that are asked for again under the same idempotency key."""

from typing import Any

import aiohttp
import pytest
from redis import Redis

from jobs.ids import new
from ringback.testing.script import Script
from ringback.testing.speech.script import SpeechScript
from ringback.testing.speech.server import SpeechServer
from ringback.testing.vendors.server import VendorServer
from tests.integration.speech import talk
from tests.integration.speech.conftest import Talking
from tests.integration.speech.sounds import text, tone
from tests.stack import Reply, eventually, request

MODEL = "bedrock/anthropic.claude-3-haiku"
SAID = "주문한 게 아직 안 왔어요."
WAV = {"content-type": "audio/wav"}


@pytest.fixture
def korean(talking: Talking, vendor_server: VendorServer, speech_server: SpeechServer) -> str:
    """A session; the vendors understand and answer in Korean."""
    vendor_server.script(Script(deltas=("내일 ", "도착해요!")))
    speech_server.script(SpeechScript(heard=(SAID,)), service="transcribe-streaming")
    return talk.session(talking.url, model=MODEL, language="ko-KR")


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return new("key", 0)


def said(stack: Talking, session: str, body: Any, by: str = "text", **headers: str) -> Reply:
    return request(f"{stack.url}/v1/sessions/{session}/{by}", method="POST", body=body, headers=headers)


def test_the_end_is_waited_for(talking: Talking, korean: str) -> None:
    by_text = said(talking, korean, {"text": "안녕"}, prefer="wait=30")
    by_voice = said(talking, korean, tone(), "voice", prefer="wait=30", **WAV)
    for reply in (by_text, by_voice):
        assert (reply.status, reply.json["status"]) == (200, "succeeded"), reply.body
        assert reply.json["output"]["text"] == "내일 도착해요!"
        assert reply.headers["preference-applied"] == "wait"
        assert reply.headers["ringback-job-id"] == reply.json["id"]
    assert by_voice.json["output"]["transcript"] == SAID
    assert by_voice.json["output"]["sentences"][0]["audio"]["base64"]


def test_what_takes_longer_is_accepted(talking: Talking, korean: str, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=("늦었어요.",), first_s=3.0))
    for prefer in ("wait=0", "wait=1"):
        reply = said(talking, korean, {"text": "안녕"}, prefer=prefer)
        assert (reply.status, reply.headers["location"]) == (202, f"/v1/jobs/{reply.json['id']}")
        assert "preference-applied" not in reply.headers
        assert request(f"{talking.url}{reply.headers['location']}/cancel", method="POST").status == 202


def test_a_stream_needs_no_waiting(talking: Talking, korean: str) -> None:
    reply = said(talking, korean, {"text": "안녕"}, prefer="wait=30", accept="text/event-stream")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert b"event: job.succeeded" in reply.body


def test_the_same_turn_asked_for_again(talking: Talking, korean: str, key: str) -> None:
    by_url = {"audio": {"base64": text(tone())}}
    for number, (body, by, headers) in enumerate(
        (
            ({"text": "안녕"}, "text", {}),
            (tone(), "voice", WAV),
            (by_url, "voice", {"content-type": "application/json"}),
        )
    ):
        idempotency = {"idempotency-key": f"{key}-{number}"}
        first = said(talking, korean, body, by, prefer="wait=30", **idempotency, **headers)
        again = said(talking, korean, body, by, **idempotency, **headers)
        waited = said(talking, korean, body, by, prefer="wait=30", **idempotency, **headers)
        streamed = said(talking, korean, body, by, accept="text/event-stream", **idempotency, **headers)
        assert [first.status, again.status, waited.status, streamed.status] == [200, 202, 200, 200]
        assert first.json == again.json == waited.json
        assert streamed.headers["ringback-job-id"] == first.json["id"]
        assert streamed.body.count(b"event: job.succeeded") == 1
    assert len(talk.history(talking.url, korean)) == 6, "each was said once"

    for other, by, headers in (
        ({"text": "다른 말"}, "text", {}),
        (tone(0.5), "voice", WAV),
    ):
        number = 0 if by == "text" else 1
        reply = said(talking, korean, other, by, **{"idempotency-key": f"{key}-{number}"}, **headers)
        assert (reply.status, reply.json["code"]) == (422, "idempotency_key_reused")


async def test_a_form_is_known_again_whatever_its_boundary(talking: Talking, korean: str, key: str) -> None:
    made: list[tuple[int, str]] = []
    async with aiohttp.ClientSession() as client:
        for recording, metadata in ((tone(), "1"), (tone(), "1"), (tone(), "2"), (tone(0.5), "1")):
            form = aiohttp.FormData()
            form.add_field("audio", recording, filename="question.wav", content_type="audio/wav")
            form.add_field("metadata", f'{{"ticket": {metadata}}}')
            url = f"{talking.url}/v1/sessions/{korean}/voice"
            async with client.post(url, data=form, headers={"idempotency-key": key}) as answer:
                said = await answer.json()
                made.append((answer.status, said.get("id") or said["code"]))
    job_id = made[0][1]
    assert made == [(202, job_id), (202, job_id), *[(422, "idempotency_key_reused")] * 2]


def test_recordings_of_turns_that_are_not_taken_are_not_kept(
    talking: Talking, korean: str, key: str, vendor_server: VendorServer
) -> None:
    vendor_server.script(Script(deltas=("늦었어요.",), first_s=1.0))
    headers = {"idempotency-key": key, **WAV}
    first = said(talking, korean, tone(), "voice", **headers)
    assert said(talking, korean, tone(), "voice", **headers).json["id"] == first.json["id"]
    refused = said(talking, korean, tone(0.3), "voice?busy=refuse", **WAV)
    assert (refused.status, refused.json["code"]) == (409, "session_busy")
    with Redis.from_url(talking.store_spec.url) as store:
        eventually(lambda: not [*store.scan_iter("rb:*:recording:*")], what="no recording is left")
    assert request(f"{talking.url}/v1/jobs/{first.json['id']}").json["status"] == "succeeded"
