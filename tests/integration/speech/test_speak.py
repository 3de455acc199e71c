"""Jobs that speak: audio as it comes, whole, or by a link."""

import base64
import io
import wave
from typing import Any

import pytest

from ringback.testing.inbox import CallbackInbox
from ringback.testing.speech.script import SpeechScript
from ringback.testing.speech.server import SpeechServer
from speech.audio import decoding, encoding
from tests.integration.gateway import eventsource
from tests.integration.gateway.eventsource import Event
from tests.integration.speech.conftest import Talking
from tests.integration.speech.sounds import heard
from tests.stack import Reply, request

KOREAN = "주문하신 상품이 오늘 출발했습니다."


def submit(stack: Talking, **fields: Any) -> Reply:
    body = {"type": "speak", "input": {"text": KOREAN, "language": "ko-KR"}, **fields}
    return request(f"{stack.url}/v1/jobs", method="POST", body=body)


async def run(stack: Talking, **fields: Any) -> tuple[list[Event], dict[str, Any]]:
    """The events and the job at its end."""
    reply = submit(stack, **fields)
    assert reply.status == 202, reply.body
    events = await eventsource.read(stack.url + reply.json["links"]["events"])
    return events, events[-1].data


async def test_korean_is_spoken_as_it_comes_and_whole(talking: Talking, speech_server: SpeechServer) -> None:
    speech_server.script(SpeechScript(chunk_bytes=2048, chunk_s=0.02), service="polly")
    events, job = await run(talking)

    audio = job["output"]["audio"]
    whole = base64.b64decode(audio["base64"])
    assert heard(events) == whole
    assert decoding.decoded(whole, provider="test").duration_s == pytest.approx(audio["duration_s"], abs=0.1)
    assert (audio["format"], audio["voice"], audio["language"]) == ("mp3", "Seoyeon", "ko-KR")
    assert audio["media_type"] == "audio/mpeg"
    sounds = [event.data for event in events if event.name == "audio"]
    assert len(sounds) > 2
    assert [sound["part"] for sound in sounds] == list(range(len(sounds)))
    assert [sound["last"] for sound in sounds] == [False] * (len(sounds) - 1) + [True]
    assert {(sound["index"], sound["format"], sound["sample_rate"]) for sound in sounds} == {
        (0, "mp3", audio["sample_rate"])
    }
    (asked,) = speech_server.received
    assert (asked.body["VoiceId"], asked.body["Engine"]) == ("Seoyeon", "neural")
    assert (job["model"], job["provider"]) == ("polly/neural", "polly")
    assert job["usage"]["characters"] == len(KOREAN)
    assert [(call["model"], call["outcome"]) for call in job["calls"]] == [("polly/neural", "answered")]
    (usage,) = [event.data for event in events if event.name == "usage"]
    assert (usage["stage"], usage["characters"]) == ("synthesis", len(KOREAN))


async def test_options_are_the_voices(talking: Talking, speech_server: SpeechServer) -> None:
    given = {"ssml": "<speak>안녕 <break time='1s'/> 하세요</speak>", "voice": "Jihye", "format": "pcm"}
    events, job = await run(talking, input={**given, "sample_rate": 8000})
    audio = job["output"]["audio"]
    assert (audio["format"], audio["sample_rate"], audio["voice"]) == ("pcm", 8000, "Jihye")
    assert len(heard(events)) / 2 / 8000 == pytest.approx(audio["duration_s"], abs=0.01)
    assert speech_server.received[0].body["TextType"] == "ssml"
    assert job["usage"]["audio_s"] == pytest.approx(audio["duration_s"], abs=0.01)


async def test_marks_tell_when_words_are_spoken(talking: Talking) -> None:
    _, job = await run(talking, input={"text": KOREAN, "language": "ko-KR", "marks": True})
    sentence, *words = job["output"]["audio"]["marks"]
    assert (sentence["kind"], sentence["text"]) == ("sentence", KOREAN)
    assert [KOREAN[word["start"] : word["end"]] for word in words] == [word["text"] for word in words]
    assert [word["text"] for word in words] == KOREAN.split()
    assert words[0]["at_s"] < words[-1]["at_s"]
    assert job["usage"]["characters"] == 2 * len(KOREAN), "Polly is asked a second time for them"


@pytest.mark.parametrize("delivery", ["inline", "url"])
async def test_a_wav_knows_its_length_in_the_end(talking: Talking, speech_server: SpeechServer, delivery: str) -> None:
    given = {"text": KOREAN, "language": "ko-KR", "format": "wav", "delivery": delivery}
    events, job = await run(talking, input=given)
    audio = job["output"]["audio"]
    assert (audio["format"], audio["media_type"], audio["sample_rate"]) == ("wav", "audio/wav", 16_000)
    whole = base64.b64decode(audio["base64"]) if delivery == "inline" else request(talking.url + audio["url"]).body
    with wave.open(io.BytesIO(whole)) as file:
        assert file.getnframes() / 16_000 == pytest.approx(audio["duration_s"], abs=0.001)
        samples = file.readframes(file.getnframes())
    if delivery == "inline":
        assert len([event for event in events if event.name == "audio"]) > 2, "it comes in parts"
        assert heard(events)[44:] == samples
        assert decoding.decoded(heard(events), provider="test").duration_s == len(samples) / 32_000


async def test_a_link_instead(talking: Talking, speech_server: SpeechServer, callback_inbox: CallbackInbox) -> None:
    given = {"text": KOREAN, "language": "ko", "delivery": "url"}
    events, job = await run(talking, input=given, callback={"url": f"{callback_inbox.url}/hook"})
    (callback,) = await callback_inbox.wait_for(1)
    audio = callback.json["data"]["output"]["audio"]
    assert audio == job["output"]["audio"]
    assert "base64" not in audio
    (sound,) = [event.data for event in events if event.name == "audio"]
    assert (sound["url"], sound["last"]) == (audio["url"], True)

    whole = request(talking.url + audio["url"])
    assert (whole.status, whole.headers["content-type"]) == (200, "audio/mpeg")
    assert decoding.decoded(whole.body, provider="test").duration_s == pytest.approx(audio["duration_s"], abs=0.1)
    size = len(whole.body)
    for asked, status, part, told in (
        ("bytes=0-99", 206, whole.body[:100], f"bytes 0-99/{size}"),
        ("bytes=100-", 206, whole.body[100:], f"bytes 100-{size - 1}/{size}"),
        ("bytes=-10", 206, whole.body[-10:], f"bytes {size - 10}-{size - 1}/{size}"),
        (f"bytes={size}-", 416, b"", f"bytes */{size}"),
        ("bytes=a-b", 200, whole.body, None),
    ):
        reply = request(talking.url + audio["url"], headers={"range": asked})
        assert (reply.status, reply.body, reply.headers.get("content-range")) == (status, part, told)


@pytest.mark.parametrize("name", ["speech.wav", "nothing.mp3", "..%2F..%2Fvalkey.out", ".speech.mp3.1"])
async def test_nothing_else_is_given_out(talking: Talking, speech_server: SpeechServer, name: str) -> None:
    _, job = await run(talking, input={"text": KOREAN, "language": "ko", "delivery": "url"})
    reply = request(f"{talking.url}/v1/jobs/{job['id']}/audio/{name}")
    assert reply.status == 404
    assert request(f"{talking.url}/v1/jobs/job_nonsense/audio/speech.mp3").status == 404


async def test_a_voice_that_breaks_off_begins_anew(talking: Talking, speech_server: SpeechServer) -> None:
    speech_server.enqueue(SpeechScript(fault="cut", fault_after=3), SpeechScript(fault="rate_limited", retry_after=60))
    speech_server.enqueue(SpeechScript())
    events, job = await run(talking)
    assert (job["status"], job["error"]["code"], job["error"]["provider"]) == (
        "failed",
        "speech_rate_limited",
        "polly",
    )
    speech_server.reset()

    speech_server.enqueue(SpeechScript(fault="cut", fault_after=3))
    events, job = await run(talking)
    assert job["status"] == "succeeded"
    assert heard(events) == base64.b64decode(job["output"]["audio"]["base64"])
    assert [event.data["part"] for event in events if event.name == "audio"].count(0) == 2
    assert [call["outcome"] for call in job["calls"]] == ["failed", "answered"]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"text": "…!"}, "bad_text"),
        ({"text": "x", "voice": "Nobody"}, "unsupported"),
        ({"text": "x", "language": "tlh"}, "unsupported"),
        ({"text": "x", "format": "pcm", "sample_rate": 44100}, "unsupported"),
        ({"ssml": "<speak>x"}, "bad_text"),
    ],
)
async def test_what_cannot_be_spoken_is_said(
    talking: Talking, speech_server: SpeechServer, given: dict[str, Any], code: str
) -> None:
    _, job = await run(talking, input=given)
    assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == ("failed", code, False)
    assert job["usage"].get("characters") is None


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"model": "fake/x"}, "#/model"),
        ({"fallbacks": ["fake/x"]}, "#/fallbacks"),
        ({"input": {}}, "#/input/text"),
        ({"input": {"text": "a", "ssml": "<speak>a</speak>"}}, "#/input/text"),
        ({"input": {"text": "a", "format": "aiff"}}, "#/input/format"),
        ({"input": {"text": "a", "rate": 9}}, "#/input/rate"),
    ],
)
def test_what_is_refused_at_once(talking: Talking, fields: dict[str, Any], pointer: str) -> None:
    reply = submit(talking, **fields)
    assert reply.status == 422
    assert reply.json["errors"][0]["pointer"] == pointer


async def test_a_job_that_speaks_is_cancelled(talking: Talking, speech_server: SpeechServer) -> None:
    speech_server.script(SpeechScript(fault="stall", fault_after=1), service="polly")
    reply = submit(talking)
    await speech_server.wait_received(1)
    assert request(f"{talking.url}/v1/jobs/{reply.json['id']}/cancel", method="POST").status == 202
    events = await eventsource.read(talking.url + reply.json["links"]["events"])
    assert events[-1].name == "job.cancelled"
    assert [call["outcome"] for call in events[-1].data["calls"]] == ["cancelled"]
    await speech_server.wait_disconnected(1)


async def test_english_without_any_vendor(offline: Talking) -> None:
    events, job = await run(offline, input={"text": "Where is my order?", "format": "wav"})
    audio = job["output"]["audio"]
    whole = base64.b64decode(audio["base64"])
    assert encoding.sized(heard(events)) == whole
    assert 0.5 < decoding.decoded(whole, provider="test").duration_s < 5
    assert (job["model"], job["cost"]) == ("offline/hibari", {"usd": 0.0, "complete": True})
