"""Turns by voice: Transcribe, a model and Polly end to end, and everything that fails on the way."""

import base64
from typing import Any

import aiohttp
import pytest

from ringback.testing.inbox import CallbackInbox
from ringback.testing.script import Script
from ringback.testing.speech.script import SpeechScript
from ringback.testing.speech.server import SpeechServer
from ringback.testing.vendors.server import VendorServer
from speech.audio import decoding
from tests.gallery import Gallery
from tests.integration.gateway import eventsource
from tests.integration.speech import talk
from tests.integration.speech.conftest import Talking
from tests.integration.speech.sounds import heard, silence, text, tone
from tests.stack import request

MODEL = "bedrock/anthropic.claude-3-haiku"
SAID = "주문한 게 아직 안 왔어요."
REPLY = ("주문하신 ", "상품은 오늘 ", "출발했습니다. 내일 ", "오후 3시쯤 ", "도착해요! 더 ", "궁금한 점이 있으세요?")
SENTENCES = ["주문하신 상품은 오늘 출발했습니다.", "내일 오후 3시쯤 도착해요!", "더 궁금한 점이 있으세요?"]
WAV = {"content-type": "audio/wav"}
FORM = {"content-type": "multipart/form-data; boundary=x"}


@pytest.fixture
def korean(talking: Talking, vendor_server: VendorServer, speech_server: SpeechServer) -> str:
    """A session in Korean; the vendors understand and answer in it."""
    vendor_server.script(Script(deltas=REPLY, delta_s=0.01, input_tokens=90, output_tokens=30))
    speech_server.script(SpeechScript(heard=(SAID,)), service="transcribe-streaming")
    return talk.session(talking.url, model=MODEL, language="ko-KR")


async def voiced(stack: Talking, session: str, recording: bytes | None = None, **params: str) -> talk.Turn:
    """A turn whose body is the recording."""
    return await talk.take(stack.url, session, by="voice", data=recording or tone(), headers=WAV, params=params or None)


def form(head: str, content: bytes) -> bytes:
    """A form of one field."""
    return f"--x\r\ncontent-disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n--x--\r\n"


def whole(sentence: dict[str, Any]) -> bytes:
    """The audio of a sentence of the output."""
    return base64.b64decode(sentence["audio"]["base64"])


async def test_a_korean_turn_end_to_end(talking: Talking, korean: str, speech_server: SpeechServer) -> None:
    turn = await voiced(talking, korean)

    assert turn.names[-1] == "job.succeeded"
    assert turn.data("transcript.final") == [{"text": SAID, "language": "ko-KR"}]
    output = turn.job["output"]
    assert (output["transcript"], output["text"]) == (SAID, "".join(REPLY))
    assert "".join(sentence["text"] for sentence in output["sentences"]) == "".join(REPLY)
    assert turn.sentences[-2:] == SENTENCES[-2:]
    for sentence in output["sentences"]:
        assert heard(turn.events, sentence["index"]) == whole(sentence)
        duration = decoding.decoded(whole(sentence), provider="test").duration_s
        assert duration == pytest.approx(sentence["audio"]["duration_s"], abs=0.1)
        assert sentence["audio"]["voice"] == "Seoyeon"
    order = [data["index"] for data in turn.data("audio")]
    assert order == sorted(order)
    # Each sentence is told before its sound.
    for index in {*order}:
        told = next(n for n, e in enumerate(turn.events) if e.name == "sentence" and e.data["index"] == index)
        sound = next(n for n, e in enumerate(turn.events) if e.name == "audio" and e.data["index"] == index)
        assert told < sound
    spoken = [r.body["Text"] for r in speech_server.received if r.service == "polly"]
    assert any("세 시" in line for line in spoken), "numbers are said as words"
    assert talk.history(talking.url, korean) == [("user", SAID), ("assistant", "".join(REPLY))]
    usage = turn.job["usage"]
    stages = ["transcript_s", "first_token_s", "first_sentence_s", "first_audio_s", "last_audio_s"]
    times = [usage["timings"][stage] for stage in stages]
    assert times == sorted(times)
    assert usage["characters"] == sum(map(len, spoken))
    assert usage["audio_s"] >= 1.0
    assert {data["stage"] for data in turn.data("usage")} == {"speech-to-text", "answer", "synthesis"}
    assert turn.job["model"] == MODEL
    assert turn.job["input"]["audio"]["stored"] is True
    assert turn.job["input"]["language"] == "ko-KR"


async def test_every_way_to_send_a_recording(talking: Talking, korean: str, callback_inbox: CallbackInbox) -> None:
    form = aiohttp.FormData()
    form.add_field("audio", tone(), filename="question.wav", content_type="audio/wav")
    form.add_field("format", "pcm")
    form.add_field("sample_rate", "8000")
    form.add_field("metadata", '{"ticket": 1}')
    form.add_field("callback", f"{callback_inbox.url}/hook")
    turn = await talk.take(talking.url, korean, by="voice", data=form)
    audio = turn.job["output"]["sentences"][0]["audio"]
    assert (audio["format"], audio["sample_rate"]) == ("pcm", 8000)
    (callback,) = await callback_inbox.wait_for(1)
    assert callback.json["data"]["output"] == turn.job["output"]
    assert callback.json["data"]["metadata"] == {"ticket": 1}

    turn = await voiced(talking, korean, format="ogg_vorbis", delivery="url")
    for sentence in turn.job["output"]["sentences"]:
        reply = request(talking.url + sentence["audio"]["url"])
        assert (reply.status, reply.headers["content-type"]) == (200, "audio/ogg")
    assert all("base64" not in data for data in turn.data("audio"))

    with Gallery() as gallery:
        gallery.files["/question.wav"] = tone()
        body: dict[str, Any] = {"audio_url": f"{gallery.url}/question.wav", "speech": None}
        turn = await talk.take(talking.url, korean, by="voice", json=body)
    assert turn.job["output"]["transcript"] == SAID
    assert "audio" not in turn.names

    turn = await talk.take(talking.url, korean, by="voice", json={"audio": {"base64": text(tone())}})
    assert turn.job["output"]["transcript"] == SAID

    reply = request(f"{talking.url}/v1/sessions/{korean}/voice", method="POST", body=tone(), headers=WAV)
    assert reply.status == 202
    events = await eventsource.read(talking.url + reply.headers["location"] + "/events")
    assert events[-1].name == "job.succeeded"


@pytest.mark.parametrize(
    ("body", "headers", "query", "status", "pointer"),
    [
        (b"", WAV, "", 422, "#"),
        (b"no audio at all, is it?", WAV, "", 422, "#"),
        (tone(), {"content-type": "text/plain"}, "", 422, "header:Content-Type"),
        (tone(), WAV, "?format=aiff", 422, "#/speech/format"),
        (tone(), WAV, "?nonsense=1", 422, "#/nonsense"),
        (tone(), WAV, "?sample_rate=x", 422, "#/sample_rate"),
        (tone(), WAV, "?busy=no", 422, "#/busy"),
        (tone(), WAV, "?language=%00", 422, "#/language"),
        (b"{}", {"content-type": "application/json"}, "", 422, "#/audio"),
        (b'{"audio_url": 5}', {"content-type": "application/json"}, "", 422, "#/audio_url"),
        (b'{"audio_url": "http://10.0.0.1/"}', {"content-type": "application/json"}, "", 422, "#/audio/url"),
        (b'{"audio": {"stored": true}}', {"content-type": "application/json"}, "", 422, "#/audio/stored"),
        (b"--x--\r\n", FORM, "", 422, "#/audio"),
        (form('name="audio"; filename="a"', b""), FORM, "", 422, "#/audio"),
        (form('name="language"', b"\xff"), FORM, "", 422, "#"),
        (form('name="language"\r\ncontent-type: text/plain; charset=klingon', b"en"), FORM, "", 422, "#"),
        (b"rubbish", FORM, "", 422, "header:Content-Type"),
        (b"rubbish", {"content-type": "multipart/form-data"}, "", 422, "header:Content-Type"),
    ],
)
def test_what_is_refused_at_once(
    talking: Talking, korean: str, body: bytes, headers: dict[str, str], query: str, status: int, pointer: str
) -> None:
    reply = request(f"{talking.url}/v1/sessions/{korean}/voice{query}", method="POST", body=body, headers=headers)
    assert (reply.status, reply.json["errors"][0]["pointer"]) == (status, pointer), reply.body


def test_a_recording_that_is_too_large(talking: Talking, korean: str) -> None:
    reply = request(
        f"{talking.url}/v1/sessions/{korean}/voice", method="POST", body=tone(0.1) + bytes(2_000_000), headers=WAV
    )
    assert (reply.status, reply.json["code"]) == (413, "body_too_large")


async def test_of_silence_nothing_is_made(
    talking: Talking, korean: str, vendor_server: VendorServer, speech_server: SpeechServer
) -> None:
    turn = await voiced(talking, korean, silence())
    assert turn.names[-1] == "job.succeeded"
    assert turn.job["output"] == {"transcript": "", "text": "", "sentences": []}
    assert talk.history(talking.url, korean) == []
    assert not vendor_server.received


async def test_what_cannot_be_understood_is_said(talking: Talking, korean: str) -> None:
    turn = await voiced(talking, korean, b"OggS" + bytes(1000))
    assert (turn.job["status"], turn.job["error"]["code"]) == ("failed", "bad_audio")
    assert talk.history(talking.url, korean) == []


async def test_a_sentence_that_fails_once_is_spoken_all_the_same(
    talking: Talking, korean: str, speech_server: SpeechServer
) -> None:
    speech_server.enqueue(
        SpeechScript(heard=(SAID,)), SpeechScript(fault="unavailable"), SpeechScript(fault="rate_limited")
    )
    turn = await voiced(talking, korean)
    sentences = turn.job["output"]["sentences"]
    assert all(heard(turn.events, sentence["index"]) == whole(sentence) for sentence in sentences)
    assert not any("error" in sentence for sentence in sentences)
    assert [call["outcome"] for call in turn.job["calls"]].count("failed") == 2


async def test_a_voice_that_fails_for_good_leaves_the_text(
    talking: Talking, korean: str, speech_server: SpeechServer
) -> None:
    speech_server.script(SpeechScript(fault="unavailable"), service="polly")
    turn = await voiced(talking, korean)
    assert turn.names[-1] == "job.succeeded"
    sentences = turn.job["output"]["sentences"]
    assert {sentence["error"]["code"] for sentence in sentences} == {"speech_unavailable"}
    assert all("audio" not in sentence for sentence in sentences)
    marks = turn.data("audio")
    assert [(mark["last"], mark["error"]) for mark in marks] == [(True, "speech_unavailable")] * len(sentences)
    assert turn.job["output"]["text"] == "".join(REPLY)


async def test_one_slow_sentence_does_not_change_the_order(
    talking: Talking, korean: str, speech_server: SpeechServer
) -> None:
    slow = SpeechScript(first_s=0.5, chunk_s=0.02)
    speech_server.enqueue(SpeechScript(heard=(SAID,)), slow)
    turn = await voiced(talking, korean)
    order = [data["index"] for data in turn.data("audio")]
    assert order == sorted(order)
    asked = [r for r in speech_server.received if r.service == "polly"]
    assert asked[-1].at - asked[0].at < 0.5, "they are spoken at the same time"


@pytest.mark.parametrize("second", ["anthropic/claude-sonnet-4", "openai/gpt-4o"])
async def test_what_was_heard_stands_when_a_model_fails(
    talking: Talking, korean: str, vendor_server: VendorServer, speech_server: SpeechServer, second: str
) -> None:
    # The first model stalls in its third sentence, long after two were spoken.
    vendor_server.reset()
    vendor_server.enqueue(Script(deltas=REPLY, delta_s=0.15, fault="cut", fault_after=5))
    vendor_server.script(Script(deltas=("그리고 ", "문자로 알려 드릴게요.")))
    headers = {**WAV, "accept": "text/event-stream"}
    turn = await talk.take(
        talking.url, korean, by="voice", data=tone(), headers=headers, params={"fallbacks": f'["{second}"]'}
    )
    (reset,) = turn.data("stream.reset")
    stands = reset["from_index"]
    assert stands > 0
    assert reset["model"] == second
    output = turn.job["output"]
    kept = "".join(sentence["text"] for sentence in output["sentences"] if sentence["index"] < stands)
    assert "".join(REPLY).startswith(kept)
    assert output["text"] == kept + "그리고 문자로 알려 드릴게요."
    assert [sentence["index"] for sentence in output["sentences"]] == list(range(len(output["sentences"])))
    for sentence in output["sentences"]:
        assert heard(turn.events, sentence["index"]) == whole(sentence)
    # What was heard is not spoken again, and the second model knows of it.
    spoken = [r.body["Text"] for r in speech_server.received if r.service == "polly"]
    assert len(spoken) == len({*spoken})
    assert kept.strip() in str(vendor_server.received[-1].body)
    assert talk.history(talking.url, korean)[-1] == ("assistant", output["text"])


async def test_a_turn_that_is_cancelled_in_mid_speech(
    talking: Talking, korean: str, vendor_server: VendorServer, speech_server: SpeechServer
) -> None:
    speech_server.script(SpeechScript(chunk_bytes=512, chunk_s=0.1), service="polly")
    reply = request(f"{talking.url}/v1/sessions/{korean}/voice", method="POST", body=tone(), headers=WAV)
    async with eventsource.opened(f"{talking.url}/v1/jobs/{reply.json['id']}/events") as stream:
        async for event in stream:
            if event.name == "audio" and event.data["part"] == 0:
                request(f"{talking.url}/v1/jobs/{reply.json['id']}/cancel", method="POST")
    assert event.name == "job.cancelled"
    user, assistant = talk.history(talking.url, korean)
    assert user == ("user", SAID)
    assert "".join(REPLY).startswith(assistant[1])
    await speech_server.wait_disconnected(1)


async def test_a_stream_is_resumed_in_mid_audio(talking: Talking, korean: str, speech_server: SpeechServer) -> None:
    speech_server.script(SpeechScript(chunk_bytes=512, chunk_s=0.03), service="polly")
    reply = request(f"{talking.url}/v1/sessions/{korean}/voice", method="POST", body=tone(), headers=WAV)
    url = f"{talking.url}/v1/jobs/{reply.json['id']}/events"
    first = []
    async with eventsource.opened(url) as stream:
        async for event in stream:
            first.append(event)
            if event.name == "audio" and event.data["part"] == 2:
                break
    rest = await eventsource.read(url, first[-1].id)
    events = [*first, *rest]
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    for sentence in events[-1].data["output"]["sentences"]:
        assert heard(events, sentence["index"]) == whole(sentence)


async def test_turns_at_the_same_time_are_each_whole(
    talking: Talking, vendor_server: VendorServer, speech_server: SpeechServer
) -> None:
    vendor_server.script(Script(deltas=REPLY, delta_s=0.02))
    speech_server.script(SpeechScript(heard=(SAID,)), service="transcribe-streaming")
    sessions = [talk.session(talking.url, model=MODEL, language="ko-KR") for _ in range(5)]
    turns = await talk.together(*(voiced(talking, session) for session in sessions))
    for session, turn in zip(sessions, turns, strict=True):
        assert turn.job["status"] == "succeeded"
        assert all(heard(turn.events, s["index"]) == whole(s) for s in turn.job["output"]["sentences"])
        assert len(talk.history(talking.url, session)) == 2


async def test_there_and_back_in_english_without_any_vendor(offline: Talking) -> None:
    body = {"type": "speak", "input": {"text": "Where is my order?", "format": "wav", "pause_after_s": 0.5}}
    spoken = request(f"{offline.url}/v1/jobs", method="POST", body=body, headers={"prefer": "wait=50"}, timeout=60)
    recording = base64.b64decode(spoken.json["output"]["audio"]["base64"])
    session = talk.session(offline.url, language="en-US")
    turn = await talk.take(offline.url, session, by="voice", data=recording, headers=WAV, params={"format": "wav"})
    assert turn.names[-1] == "job.succeeded"
    assert turn.job["output"]["transcript"].lower().rstrip(".?") == "where is my order"
    for sentence in turn.job["output"]["sentences"]:
        assert decoding.decoded(whole(sentence), provider="test").duration_s > 0.3


async def test_turns_wait_in_line_may_leave_it_and_hold_up_nobody(
    talking: Talking, korean: str, vendor_server: VendorServer
) -> None:
    vendor_server.reset()
    vendor_server.script(Script(deltas=REPLY, fault="stall", fault_after=2))
    path = f"{talking.url}/v1/sessions/{korean}"

    def accepted(recording: bytes) -> str:
        made: str = request(f"{path}/voice", method="POST", body=recording, headers=WAV).json["id"]
        return made

    first = request(f"{path}/text", method="POST", body={"text": "Hello?"}).json["id"]
    await vendor_server.wait_received(1)
    wrong, left, last = accepted(b"OggS" + bytes(1000)), accepted(tone()), accepted(tone())
    assert all(request(f"{talking.url}/v1/jobs/{job}").json["status"] == "queued" for job in (wrong, left, last))
    assert request(f"{talking.url}/v1/jobs/{left}/cancel", method="POST").status == 202
    vendor_server.script(Script(deltas=REPLY))
    request(f"{talking.url}/v1/jobs/{first}/cancel", method="POST")
    ends = {}
    for job in (first, wrong, left, last):
        async with eventsource.opened(f"{talking.url}/v1/jobs/{job}/events") as stream:
            ends[job] = (await stream.rest())[-1]
    assert [ends[job].name for job in (first, wrong, left, last)] == [
        *("job.cancelled", "job.failed", "job.cancelled", "job.succeeded"),
    ]
    assert ends[wrong].data["error"]["code"] == "bad_audio"
    assert talk.history(talking.url, korean)[-2:] == [("user", SAID), ("assistant", "".join(REPLY))]


async def test_a_turn_out_of_time_keeps_what_was_heard(
    talking: Talking, korean: str, vendor_server: VendorServer
) -> None:
    vendor_server.reset()
    vendor_server.script(Script(deltas=REPLY, delta_s=0.05, fault="stall", fault_after=5))
    turn = await voiced(talking, korean, deadline='{"total_s": 2}')
    assert (turn.job["status"], turn.job["error"]["code"]) == ("failed", "deadline_exceeded")
    assert turn.job["output"]["transcript"] == SAID
    user, assistant = request(f"{talking.url}/v1/sessions/{korean}/history").json["items"]
    assert user["text"] == SAID
    assert assistant["text"]
    assert "".join(REPLY).startswith(assistant["text"])
    assert assistant["extra"]["incomplete"] == "deadline_exceeded"


async def test_a_turn_that_is_cut_at_its_token_limit(
    talking: Talking, korean: str, vendor_server: VendorServer
) -> None:
    vendor_server.reset()
    vendor_server.script(Script(deltas=REPLY, finish="length"))
    turn = await voiced(talking, korean)
    assert (turn.job["status"], turn.job["error"]["code"]) == ("failed", "output_truncated")
    assert turn.job["output"]["text"] == "".join(REPLY)
    assert all("audio" in sentence for sentence in turn.job["output"]["sentences"])
    assert talk.history(talking.url, korean)[-1] == ("assistant", "".join(REPLY))


async def test_a_reply_of_nothing_is_a_failure(talking: Talking, korean: str, vendor_server: VendorServer) -> None:
    vendor_server.reset()
    vendor_server.script(Script(deltas=("\n",)))
    turn = await voiced(talking, korean)
    assert (turn.job["status"], turn.job["error"]["code"]) == ("failed", "output_invalid")
    assert talk.history(talking.url, korean) == [("user", SAID)]
