"""Whole turns on the bad days of speech services: slow, silent, broken off, refusing; by streams and in batches."""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import pytest

from ringback.testing.script import Script
from ringback.testing.speech.script import Fault, SpeechScript
from ringback.testing.speech.server import SpeechServer
from ringback.testing.vendors.server import VendorServer
from speech.transcribe.batch import TranscribeBatch
from tests.integration.speech import talk
from tests.integration.speech.impatience import Impatient
from tests.integration.speech.sounds import heard, tone
from tests.stack import Stack

MODEL = "openai/gpt-4o"
SAID = "주문한 게 아직 안 왔어요."
REPLY = ("주문하신 ", "상품은 오늘 ", "출발했습니다. 내일 ", "오후 3시쯤 ", "도착해요! 더 ", "궁금한 점이 있으세요?")
WAV = {"content-type": "audio/wav"}
IMPATIENCE_S = 0.8


NOT_FROM_OUTSIDE = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
LAST = "궁금한 점이"
"""Of the last sentence."""


@pytest.fixture(scope="module")
def workers(
    tmp_path_factory: pytest.TempPathFactory, amazon_environment: dict[str, str]
) -> Iterator[tuple[Impatient, Impatient]]:
    """A worker that listens to streams, and one that listens in batches; both soon lose their patience."""
    stack = Stack(tmp_path_factory.mktemp("impatient"), {**amazon_environment, "RINGBACK_S3_BUCKET": "our-audio"})
    made: list[Impatient] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in NOT_FROM_OUTSIDE:
            patch.delenv(name, raising=False)
            patch.delenv(name.lower(), raising=False)
        for name, value in amazon_environment.items():
            patch.setenv(name, value)
        patch.setattr(TranscribeBatch.__init__, "__kwdefaults__", {"first_s": 0.01})
        patch.setattr("workers.runtime._give_up", lambda: None)  # nobody sends them probes
        try:
            url = stack.gateway()
            made.append(Impatient(stack, url, {"RINGBACK_STT": "transcribe"}))
            made.append(Impatient(stack, url, {"RINGBACK_STT": "transcribe-batch"}))
            for worker in made:  # what they load at first takes its time
                turn = asyncio.run(worker.turn(session(worker), "voice", tone(), WAV))
                assert turn.names[-1] == "job.succeeded", turn.job["error"]
            for limit in ("workers.speaker.FIRST_S", "workers.speaker.STALL_S", "workers.listener.SILENCE_S"):
                patch.setattr(limit, IMPATIENCE_S)
            yield made[0], made[1]
        finally:
            for worker in made:
                worker.close()
            stack.close()


@pytest.fixture
def streaming(workers: tuple[Impatient, Impatient]) -> Impatient:
    return workers[0]


@pytest.fixture
def batching(workers: tuple[Impatient, Impatient]) -> Impatient:
    return workers[1]


@pytest.fixture(autouse=True)
def _vendors(vendor_server: VendorServer, speech_server: SpeechServer) -> None:
    vendor_server.script(Script(deltas=REPLY, delta_s=0.01))
    for service in ("transcribe-streaming", "transcribe"):
        speech_server.script(SpeechScript(heard=(SAID,), polls=0), service=service)


def session(worker: Impatient) -> str:
    return talk.session(worker.url, model=MODEL, language="ko-KR")


def understood(worker: Impatient, session_id: str) -> None:
    """The turn was remembered as it should be."""
    assert talk.history(worker.url, session_id) == [("user", SAID), ("assistant", "".join(REPLY))]


def sound(sentence: dict[str, Any]) -> bytes:
    """The audio of a sentence of the output."""
    return base64.b64decode(sentence["audio"]["base64"])


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("hang", "speech_timeout"),
        ("stall", "speech_timeout"),
        ("unavailable", "speech_unavailable"),
        ("cut", "speech_stream_interrupted"),
    ],
)
async def test_one_sentence_cannot_be_spoken(
    streaming: Impatient, speech_server: SpeechServer, fault: Fault, code: str
) -> None:
    made = session(streaming)
    failing = SpeechScript(fault=fault, chunk_bytes=2048, fault_after=1)
    speech_server.enqueue(failing, failing, about=LAST)
    turn = await streaming.turn(made, "voice", tone(), WAV)
    assert turn.names[-1] == "job.succeeded"
    *others, last = turn.job["output"]["sentences"]
    assert len(others) >= 2
    for sentence in others:
        assert heard(turn.events, sentence["index"]) == sound(sentence)
        assert "error" not in sentence
    assert "audio" not in last
    assert (last["text"].strip(), last["error"]["code"]) == ("더 궁금한 점이 있으세요?", code)
    told = [data for data in turn.data("audio") if data["index"] == last["index"]]
    assert (told[-1]["last"], told[-1]["error"]) == (True, code)
    assert [data["last"] for data in told[:-1]] == [False] * (len(told) - 1)
    assert len([r for r in speech_server.received if LAST in str(r.body)]) == 2
    understood(streaming, made)

    # The same sentence fails once only.
    speech_server.enqueue(failing, about=LAST)
    turn = await streaming.turn(made, "voice", tone(), WAV)
    for sentence in turn.job["output"]["sentences"]:
        assert heard(turn.events, sentence["index"]) == sound(sentence)
    assert len([r for r in speech_server.received if LAST in str(r.body)]) == 4


async def test_a_sentence_that_is_refused_is_no_silence(streaming: Impatient, speech_server: SpeechServer) -> None:
    speech_server.enqueue(SpeechScript(fault="bad_text"), about=LAST)
    turn = await streaming.turn(session(streaming), "voice", tone(), WAV)
    *_, last = turn.job["output"]["sentences"]
    assert ("audio" in last, last["error"]["code"]) == (False, "bad_text")
    assert len([r for r in speech_server.received if LAST in str(r.body)]) == 1, "it would be refused again"


async def test_a_voice_that_is_slower_than_it_is_patient_for_is_heard_to_its_end(
    streaming: Impatient, speech_server: SpeechServer
) -> None:
    made = session(streaming)
    speech_server.enqueue(SpeechScript(chunk_bytes=4096, chunk_s=IMPATIENCE_S / 8), about=LAST)
    turn = await streaming.turn(made, "text", {"text": SAID, "speech": {"format": "pcm"}})
    timings = turn.job["usage"]["timings"]
    assert timings["last_audio_s"] - timings["first_audio_s"] > IMPATIENCE_S
    for sentence in turn.job["output"]["sentences"]:
        assert heard(turn.events, sentence["index"]) == sound(sentence)


@pytest.mark.parametrize("fault", ["reset", "cut", "stall", "malformed"])
async def test_a_recording_is_understood_the_second_time(
    streaming: Impatient, speech_server: SpeechServer, fault: Fault
) -> None:
    made = session(streaming)
    speech_server.enqueue(SpeechScript(heard=(SAID,), fault=fault))
    turn = await streaming.turn(made, "voice", tone(), WAV)
    assert turn.names[-1] == "job.succeeded", turn.job["error"]
    assert [data["text"] for data in turn.data("transcript.final")] == [SAID]
    assert turn.job["calls"][0]["outcome"] == "failed"
    understood(streaming, made)


@pytest.mark.parametrize(
    ("fault", "code", "times"),
    [
        ("unauthorized", "speech_authentication_failed", 1),
        ("bad_request", "speech_bad_request", 1),
        ("hang", "speech_timeout", 2),
        ("error_in_stream", "speech_unavailable", 2),
    ],
)
async def test_a_recording_that_is_never_understood(
    streaming: Impatient,
    speech_server: SpeechServer,
    vendor_server: VendorServer,
    fault: Fault,
    code: str,
    times: int,
) -> None:
    made = session(streaming)
    speech_server.enqueue(*[SpeechScript(heard=(SAID,), fault=fault)] * times)
    turn = await streaming.turn(made, "voice", tone(), WAV)
    nothing_was_said(streaming, made, vendor_server, turn, code)
    assert len(turn.job["calls"]) == times
    turn = await streaming.turn(made, "voice", tone(), WAV)
    assert turn.names[-1] == "job.succeeded"
    understood(streaming, made)


def nothing_was_said(
    worker: Impatient, session_id: str, vendor_server: VendorServer, turn: talk.Turn, code: str
) -> None:
    """The turn failed before anybody was asked anything, and nothing is remembered."""
    assert (turn.names[-1], turn.job["error"]["code"]) == ("job.failed", code), turn.job["error"]
    assert turn.job["output"] is None
    assert not vendor_server.received
    assert talk.history(worker.url, session_id) == []


async def test_a_batch_takes_the_turns_recording_and_leaves_nothing(
    batching: Impatient, speech_server: SpeechServer
) -> None:
    made = session(batching)
    turn = await batching.turn(made, "voice", tone(), WAV)
    assert turn.names[-1] == "job.succeeded", turn.job["error"]
    understood(batching, made)
    await speech_server.wait_until(lambda: not recordings(speech_server), what="the recording is deleted")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("failed", "bad_audio"),
        ("no_document", "speech_unavailable"),
        ("forbidden", "speech_permission_denied"),
    ],
)
async def test_a_batch_that_fails(
    batching: Impatient, speech_server: SpeechServer, vendor_server: VendorServer, fault: Fault, code: str
) -> None:
    made = session(batching)
    speech_server.script(SpeechScript(fault=fault, polls=0), service="transcribe")
    turn = await batching.turn(made, "voice", tone(), WAV)
    nothing_was_said(batching, made, vendor_server, turn, code)
    await speech_server.wait_until(lambda: not recordings(speech_server), what="the recording is deleted")


async def test_a_bucket_that_takes_nothing(
    batching: Impatient, speech_server: SpeechServer, vendor_server: VendorServer
) -> None:
    made = session(batching)
    speech_server.script(SpeechScript(fault="unavailable"), service="s3")
    turn = await batching.turn(made, "voice", tone(), WAV)
    nothing_was_said(batching, made, vendor_server, turn, "speech_unavailable")


async def test_a_batch_that_never_ends_is_ended_by_the_turns_deadline(
    batching: Impatient, speech_server: SpeechServer, vendor_server: VendorServer
) -> None:
    made = session(batching)
    speech_server.script(SpeechScript(polls=1_000_000), service="transcribe")
    given = {"audio": {"base64": base64.b64encode(tone()).decode()}, "deadline": {"total_s": 1}}
    turn = await batching.turn(made, "voice", given, {"content-type": "application/json"})
    nothing_was_said(batching, made, vendor_server, turn, "deadline_exceeded")
    await speech_server.wait_until(lambda: not recordings(speech_server), what="the recording is deleted")


def recordings(server: SpeechServer) -> list[str]:
    """What is left in the bucket of ours."""
    return [name for name in server.objects if name.startswith("our-audio/")]
