"""Jobs that listen: what is heard, as it is and whole; and recordings that cannot be understood."""

from pathlib import Path
from typing import Any

import pytest

from ringback.testing.script import Script
from ringback.testing.speech.script import SpeechScript
from ringback.testing.speech.server import SpeechServer
from ringback.testing.vendors.server import VendorServer
from tests.gallery import Gallery
from tests.integration.gateway import eventsource
from tests.integration.gateway.eventsource import Event
from tests.integration.speech import talk
from tests.integration.speech.conftest import Talking
from tests.integration.speech.sounds import silence, text, tone
from tests.stack import Reply, request

HEARD = ("주문한 게 안 왔어요.", "언제 오나요?")


def submit(stack: Talking, given: dict[str, Any], **fields: Any) -> Reply:
    body = {"type": "transcribe", "input": given, **fields}
    return request(f"{stack.url}/v1/jobs", method="POST", body=body)


async def run(stack: Talking, given: dict[str, Any]) -> tuple[list[Event], dict[str, Any]]:
    """The events and the job at its end."""
    reply = submit(stack, given)
    assert reply.status == 202, reply.body
    events = await eventsource.read(stack.url + reply.json["links"]["events"])
    return events, events[-1].data


async def test_korean_is_written_down(talking: Talking, speech_server: SpeechServer) -> None:
    speech_server.script(SpeechScript(heard=HEARD), service="transcribe-streaming")
    recording = tone(2.0)
    events, job = await run(talking, {"audio": {"base64": text(recording)}, "language": "ko-KR"})

    output = job["output"]
    assert (output["text"], output["language"]) == (" ".join(HEARD), "ko-KR")
    assert [segment["text"] for segment in output["segments"]] == list(HEARD)
    assert output["duration_s"] == pytest.approx(2.0, abs=0.01)
    (final,) = [event.data for event in events if event.name == "transcript.final"]
    assert final == {"text": output["text"], "language": "ko-KR"}
    partials = [event.data for event in events if event.name == "transcript.partial"]
    assert {partial["segment"] for partial in partials} == {0, 1}
    assert [partial["text"] for partial in partials if partial["stability"] == 1.0] == list(HEARD)
    assert job["model"] == "transcribe/streaming"
    assert job["usage"]["audio_s"] == pytest.approx(2.0, abs=0.01)
    # The recording is nowhere but beside the job, and there only as long as that runs.
    assert job["input"]["audio"] == {"stored": True, "media_type": "audio/wav", "bytes": len(recording)}


async def test_a_recording_by_url(talking: Talking, speech_server: SpeechServer, tmp_path: Path) -> None:
    speech_server.script(SpeechScript(heard=("Hello there.",)), service="transcribe-streaming")
    with Gallery() as gallery:
        gallery.files["/call.wav"] = tone()
        _, job = await run(talking, {"audio": {"url": f"{gallery.url}/call.wav"}, "language": "en-US"})
        assert job["output"]["text"] == "Hello there."
        for path, why in (("/nothing.wav", "its host answered 404"), ("/png", "is in no format that is known")):
            _, job = await run(talking, {"audio": {"url": f"{gallery.url}{path}"}})
            assert job["status"] == "failed"
            assert why in job["error"]["message"]


@pytest.mark.parametrize("audio_format", ["wav", "mp3", "ogg_vorbis"])
async def test_silence_makes_an_empty_text(talking: Talking, speech_server: SpeechServer, audio_format: Any) -> None:
    given = {"audio": {"base64": text(silence(audio_format=audio_format))}, "language": "ko-KR"}
    _, job = await run(talking, given)
    assert (job["status"], job["output"]["text"], job["output"]["segments"]) == ("succeeded", "", [])


@pytest.mark.parametrize(
    ("audio", "status", "pointer"),
    [
        ({"base64": text(b"this is no audio, is it?")}, 422, "#/input/audio/base64"),
        ({"base64": ""}, 422, "#/input/audio/base64"),
        ({"base64": "ÄÖÜ"}, 422, "#/input/audio/base64"),
        ({"base64": text(tone(0.1)) + "!"}, 422, "#/input/audio/base64"),
        ({"base64": text(tone(70.0))}, 413, "#/input/audio/base64"),
        ({}, 422, "#/input/audio"),
        ({"url": "ftp://example.com/x"}, 422, "#/input/audio/url"),
        ({"url": "http://10.0.0.1/x"}, 422, "#/input/audio/url"),
        ({"stored": True}, 422, "#/input/audio/stored"),
        ({"url": "http://127.0.0.1/x", "base64": text(tone(0.1))}, 422, "#/input/audio"),
        ("x", 422, "#/input/audio"),
    ],
)
def test_what_is_refused_at_once(talking: Talking, audio: Any, status: int, pointer: str) -> None:
    reply = submit(talking, {"audio": audio})
    assert (reply.status, reply.json["errors"][0]["pointer"]) == (status, pointer), reply.body


async def test_what_is_damaged_is_said(talking: Talking, speech_server: SpeechServer) -> None:
    broken = b"OggS" + bytes(2000)
    _, job = await run(talking, {"audio": {"base64": text(broken)}, "language": "en-US"})
    assert (job["status"], job["error"]["code"]) == ("failed", "bad_audio")


M4A = b"\0\0\0\x20ftypM4A " + bytes(500)


async def test_what_a_phone_records_needs_a_bucket(talking: Talking, speech_server: SpeechServer) -> None:
    """Streams do not take m4a; who cannot change that must be told what to do."""
    _, job = await run(talking, {"audio": {"base64": text(M4A)}, "language": "ko-KR"})
    assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == ("failed", "unsupported", False)
    assert "send wav or mp3" in job["error"]["message"]
    assert "RINGBACK_S3_BUCKET" in job["error"]["message"]
    assert not speech_server.received


async def test_what_a_phone_records_goes_through_the_bucket(
    tmp_path: Path,
    amazon_environment: dict[str, str],
    vendor_server: VendorServer,
    speech_server: SpeechServer,
) -> None:
    speech_server.script(SpeechScript(heard=HEARD, polls=0), service="transcribe")
    speech_server.script(SpeechScript(heard=("이건 아니에요.",)), service="transcribe-streaming")
    vendor_server.script(Script(deltas=("내일 ", "도착해요!")))
    stack = Talking(tmp_path, {**amazon_environment, "RINGBACK_S3_BUCKET": "our-audio"})
    try:
        stack.worker()
        stack.url = stack.gateway()
        stack.wait_ready(stack.url)
        _, job = await run(stack, {"audio": {"base64": text(M4A)}, "language": "ko-KR"})
        assert (job["output"]["text"], job["model"]) == (" ".join(HEARD), "transcribe/batch")
        session = talk.session(stack.url, model="bedrock/anthropic.claude-3-haiku", language="ko-KR")
        turn = await talk.take(stack.url, session, by="voice", data=M4A, headers={"content-type": "audio/mp4"})
        assert turn.job["output"]["transcript"] == " ".join(HEARD)
        assert turn.job["output"]["text"] == "내일 도착해요!"
    finally:
        stack.close()


async def test_a_service_that_fails_is_asked_again_once(talking: Talking, speech_server: SpeechServer) -> None:
    given = {"audio": {"base64": text(tone())}, "language": "en-US"}
    speech_server.enqueue(SpeechScript(fault="error_in_stream"), SpeechScript(heard=("Again.",)))
    _, job = await run(talking, given)
    assert job["output"]["text"] == "Again."
    assert [call["outcome"] for call in job["calls"]] == ["failed", "answered"]

    speech_server.script(SpeechScript(fault="unavailable"), service="transcribe-streaming")
    events, job = await run(talking, given)
    assert (job["error"]["code"], job["error"]["provider"]) == ("speech_unavailable", "transcribe")
    assert not [event for event in events if event.name == "transcript.final"]


async def test_there_and_back_without_any_vendor(offline: Talking) -> None:
    spoken = request(
        f"{offline.url}/v1/jobs",
        method="POST",
        body={"type": "speak", "input": {"text": "Where is my order?", "format": "wav", "pause_after_s": 0.5}},
        headers={"prefer": "wait=50"},
        timeout=60,
    )
    given = {"audio": {"base64": spoken.json["output"]["audio"]["base64"]}}
    _, job = await run(offline, given)
    assert job["output"]["text"].lower().rstrip("?.") == "where is my order"
    assert job["output"]["language"] == "en-US"
