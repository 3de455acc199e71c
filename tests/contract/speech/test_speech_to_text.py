"""What every `SpeechToText` must do."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ringback.testing.speech import transcribe
from ringback.testing.speech.script import Fault, SpeechScript
from ringback.testing.speech.server import SpeechServer
from speech import errors
from speech.audio import encoding
from speech.audio.pcm import Pcm
from speech.registry import SpeechServices
from speech.service import AudioFormat, Recording
from speech.transcribe import streaming
from tests.contract.speech.case import SAID, Listener, hear, live, tone, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

SILENCE = Pcm(bytes(64_000), 16_000)


def recordings(server: SpeechServer) -> list[str]:
    """Those that are in our bucket."""
    return [key for key in server.objects if key.startswith("our-audio/")]


@pytest.mark.parametrize("audio_format", ["wav", "mp3", "ogg_vorbis", "ogg_opus"])
async def test_recordings(audio_format: AudioFormat, listener: Listener, spoken: Pcm) -> None:
    audio = encoding.encoded(spoken, audio_format)
    partials, segments, end = await hear(listener, Recording(audio=audio, language="en"))
    assert words(end.text) == words(SAID)
    assert end.language == "en-US"
    assert end.confidence is None or 0 < end.confidence <= 1
    assert all(0 <= segment.start_s < segment.end_s for segment in segments)
    assert all(partial.text for partial in partials)
    assert bool(partials) == listener.service.capabilities().live


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
async def test_rates(rate: int, listener: Listener, spoken: Pcm) -> None:
    _, _, end = await hear(listener, Recording(audio=encoding.encoded(spoken, "wav", rate), language="en-US"))
    if rate > 8_000:  # a telephone's band is too narrow for the models of the offline engine
        assert words(end.text) == words(SAID)


@pytest.mark.parametrize("rate", [16_000, 48_000])
async def test_audio_as_it_comes(rate: int, listener: Listener, spoken: Pcm) -> None:
    recording = Recording(audio=live(spoken.at(rate), 0.033), sample_rate=rate, language="en-US")
    if not listener.service.capabilities().live:
        with pytest.raises(errors.Unsupported):
            await hear(listener, recording)
        return
    partials, _, end = await hear(listener, recording)
    assert words(end.text) == words(SAID)
    assert partials
    assert end.duration_s == pytest.approx(spoken.duration_s, abs=0.05)


@pytest.mark.parametrize(
    ("audio", "error"),
    [
        (b"", errors.BadAudio),
        (b"not audio at all " * 50, errors.BadAudio),
        (b'{"audio_url": "https://example.com/a.wav"}', errors.BadAudio),
        (b"RIFF" + bytes(4) + b"WAVE" + bytes(33 * 1024 * 1024), errors.AudioTooLarge),
    ],
)
async def test_what_is_no_audio_is_refused(
    audio: bytes, error: type[errors.SpeechError], listener: Listener, speech_server: SpeechServer
) -> None:
    with pytest.raises(error, match=r"^audio: "):
        await hear(listener, Recording(audio=audio))
    assert speech_server.received == []


async def test_a_damaged_file_is_refused(listener: Listener, speech_server: SpeechServer) -> None:
    if listener.wired == "transcribe":
        speech_server.script(SpeechScript(fault="failed"))
    with pytest.raises(errors.BadAudio, match=r"^audio: "):
        await hear(listener, Recording(audio=tone(2, "ogg_opus")[:400]))


async def test_silence_is_an_empty_transcript(listener: Listener, speech_server: SpeechServer) -> None:
    speech_server.script(SpeechScript(heard=(), polls=0))
    for recording in (
        Recording(audio=encoding.encoded(SILENCE, "wav"), language="en-US"),
        Recording(audio=encoding.encoded(Pcm(b"", 16_000), "wav"), language="en-US"),
    ):
        partials, segments, end = await hear(listener, recording)
        assert (partials, segments, end.text, end.language) == ([], [], "", "en-US")


@pytest.mark.parametrize("given", [{"language": "tlh"}, {"language": "ko-JP"}])
async def test_a_language_that_is_not_offered_is_refused(
    given: dict[str, Any], listener: Listener, speech_server: SpeechServer
) -> None:
    with pytest.raises(errors.Unsupported, match=r"^language: "):
        await hear(listener, Recording(audio=tone(1), **given))
    assert speech_server.received == []


async def test_korean(listener: Listener, speech_server: SpeechServer) -> None:
    heard = ("주문한 게 아직 안 왔어요.", "언제 오나요?")
    speech_server.script(SpeechScript(heard=heard, polls=1))
    recording = Recording(audio=tone(1.5), language="ko")
    if "ko-KR" not in listener.service.capabilities().languages:
        with pytest.raises(errors.Unsupported, match="AWS credentials"):
            await hear(listener, recording)
        return
    _, segments, end = await hear(listener, recording)
    assert (end.text, end.language) == (" ".join(heard), "ko-KR")
    assert tuple(segment.text for segment in segments) == heard


async def test_finding_out_the_language(listener: Listener, speech_server: SpeechServer) -> None:
    if not listener.service.capabilities().identifies:
        assert (await hear(listener, Recording(audio=tone(1))))[2].language == "en-US"
        return
    speech_server.script(SpeechScript(heard=("今日は", "いい天気です。"), language="ja-JP", polls=0))
    _, _, end = await hear(listener, Recording(audio=tone(1), languages=("ja", "en-GB", "en-US")))
    assert end.language == "ja-JP"
    with pytest.raises(errors.Unsupported, match=r"^languages: "):
        await hear(listener, Recording(audio=tone(1), languages=("en-GB", "en-US")))


async def test_live_audio_that_breaks_off(listener: Listener, speech_server: SpeechServer) -> None:
    if not listener.service.capabilities().live:
        return

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(6_400)
        raise RuntimeError("the caller hung up")

    with pytest.raises(RuntimeError, match="hung up"):
        async with asyncio.timeout(20):
            await hear(listener, Recording(audio=broken(), sample_rate=16_000))
    with pytest.raises(errors.Unsupported, match=r"^sample_rate: "):
        await hear(listener, Recording(audio=live(SILENCE), sample_rate=4_000))


async def test_cancelling_ends_the_call_and_the_next_one_works(
    listener: Listener, speech_server: SpeechServer, spoken: Pcm
) -> None:
    speech_server.script(SpeechScript(fault="stall" if listener.id == "transcribe" else "hang"))
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield spoken.at(16_000).data
            started.set()
            await asyncio.sleep(0.01)

    alive = listener.service.capabilities().live
    audio: Any = endless() if alive else encoding.encoded(spoken, "wav")
    task = asyncio.create_task(hear(listener, Recording(audio=audio, sample_rate=16_000 if alive else 0)))
    if alive:
        await started.wait()
    else:
        await speech_server.wait_until(
            lambda: any(request.operation == "StartTranscriptionJob" for request in speech_server.received)
        )
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if listener.wired and speech_server.received:
        await speech_server.wait_disconnected()
    speech_server.script(SpeechScript(heard=(SAID,), polls=0))
    _, _, end = await hear(listener, Recording(audio=encoding.encoded(spoken, "mp3"), language="en-US"))
    assert words(end.text) == words(SAID)


async def test_several_at_once(listener: Listener, spoken: Pcm) -> None:
    recording = Recording(audio=encoding.encoded(spoken, "ogg_opus"), language="en-US")
    whole = await asyncio.gather(*(hear(listener, recording) for _ in range(3)))
    assert [words(end.text) for _, _, end in whole] == [words(SAID)] * 3


STREAMED: dict[Fault, type[errors.SpeechError]] = {
    "rate_limited": errors.RateLimited,
    "unavailable": errors.Unavailable,
    "bad_request": errors.BadRequest,
    "unauthorized": errors.AuthenticationFailed,
    "forbidden": errors.PermissionDenied,
    "reset": errors.ConnectionFailed,
    "cut": errors.StreamInterrupted,
    "error_in_stream": errors.Unavailable,
    "malformed": errors.MalformedAnswer,
}
BATCHED: dict[Fault, type[errors.SpeechError]] = {
    "rate_limited": errors.RateLimited,
    "unavailable": errors.Unavailable,
    "bad_request": errors.BadRequest,
    "unauthorized": errors.AuthenticationFailed,
    "forbidden": errors.PermissionDenied,
    "reset": errors.ConnectionFailed,
    "failed": errors.BadAudio,
    "no_document": errors.Unavailable,
    "cut": errors.MalformedAnswer,
    "malformed": errors.MalformedAnswer,
}


@pytest.mark.parametrize("fault", STREAMED)
async def test_what_goes_wrong_with_a_stream(
    fault: Fault, services: SpeechServices, speech_server: SpeechServer
) -> None:
    speech_server.script(SpeechScript(fault=fault))
    listener = Listener(id="transcribe", service=services.speech_to_text("transcribe"), wired="transcribe-streaming")
    with pytest.raises(STREAMED[fault]) as caught:
        await hear(listener, Recording(audio=tone(1)))
    assert type(caught.value) is STREAMED[fault]
    assert caught.value.provider == "transcribe"
    assert len(speech_server.received) == 1, "callers retry"


@pytest.mark.parametrize("fault", BATCHED)
async def test_what_goes_wrong_with_a_batch(fault: Fault, batch: Listener, speech_server: SpeechServer) -> None:
    speech_server.script(SpeechScript(fault=fault, polls=0, retry_after=7))
    with pytest.raises(BATCHED[fault]) as caught:
        await hear(batch, Recording(audio=tone(1)))
    assert type(caught.value) is BATCHED[fault]
    assert caught.value.provider == "transcribe-batch"
    await speech_server.wait_until(lambda: not recordings(speech_server), what="the recording is deleted")
    started = [request for request in speech_server.received if request.operation == "StartTranscriptionJob"]
    assert len(started) == 1, "callers retry"


@pytest.mark.parametrize("job", [{}, {"TranscriptionJobStatus": "COMPLETED"}, {"TranscriptionJobStatus": "ODD"}])
async def test_a_job_of_another_shape(
    job: dict[str, Any], batch: Listener, speech_server: SpeechServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcribe, "status", lambda *_: {"TranscriptionJob": job})
    with pytest.raises(errors.MalformedAnswer):
        await hear(batch, Recording(audio=tone(1)))
    await speech_server.wait_until(lambda: not recordings(speech_server), what="the recording is deleted")


async def test_a_bucket_that_cannot_be_used(batch: Listener, speech_server: SpeechServer) -> None:
    speech_server.script(SpeechScript(fault="forbidden"), service="s3")
    with pytest.raises(errors.PermissionDenied):
        await hear(batch, Recording(audio=tone(1)))


async def test_a_batch_takes_what_streams_do_not_and_leaves_nothing(
    batch: Listener, speech_server: SpeechServer
) -> None:
    m4a = b"\0\0\0\x20ftypM4A " + bytes(200)
    _, _, end = await hear(batch, Recording(audio=m4a, language="ko-KR"))
    assert end.text == SAID
    (put,) = (request for request in speech_server.received if request.operation == "PutObject")
    (started,) = (request.body for request in speech_server.received if request.operation == "StartTranscriptionJob")
    assert (started["MediaFormat"], started["LanguageCode"]) == ("m4a", "ko-KR")
    assert started["Media"]["MediaFileUri"].endswith(".m4a")
    assert put.body == m4a
    await speech_server.wait_until(lambda: speech_server.received[-1].operation == "DeleteTranscriptionJob")
    assert not recordings(speech_server)


async def test_a_stream_is_sent_as_amazon_wants_it(
    services: SpeechServices, speech_server: SpeechServer, spoken: Pcm
) -> None:
    listener = Listener(id="transcribe", service=services.speech_to_text("transcribe"), wired="transcribe-streaming")
    await hear(listener, Recording(audio=encoding.encoded(spoken, "ogg_opus"), language="ko"))
    (received,) = speech_server.received
    assert received.body["sample-rate"] == "16000"
    assert received.body["language-code"] == "ko-KR"
    assert received.audio[-1] == b"", "the empty frame comes before the close"
    assert all(0 < len(chunk) <= 32_000 for chunk in received.audio[:-1])
    assert sum(map(len, received.audio)) / 32_000 == pytest.approx(spoken.duration_s, abs=0.05)


async def test_a_pause_in_live_audio_is_filled_with_silence(
    speech_server: SpeechServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    speech_server.script(SpeechScript(idle_s=1.0))
    service = streaming.TranscribeStreaming(speech_server.environment()["RINGBACK_TRANSCRIBE_STREAMING_URL"])
    listener = Listener(id="transcribe", service=service, wired="transcribe-streaming")
    resume = asyncio.Event()

    async def pausing() -> AsyncIterator[bytes]:
        yield b"\1\0" * 1_600
        await resume.wait()
        yield b"\2\0" * 1_600

    with monkeypatch.context() as patch:
        patch.setattr(streaming, "_SILENCE_AFTER_S", 0.05)
        task = asyncio.create_task(hear(listener, Recording(audio=pausing(), sample_rate=16_000)))
        await speech_server.wait_until(lambda: any(len(request.audio) > 5 for request in speech_server.received))
        resume.set()
        await task
    first, *silence, last, end = speech_server.received[0].audio
    assert (first[:1], last[:1], end) == (b"\1", b"\2", b"")
    assert not any(b"".join(silence))

    resume.clear()
    speech_server.script(SpeechScript(idle_s=0.1))
    with pytest.raises(errors.TimedOut, match="no new audio"):
        await hear(listener, Recording(audio=pausing(), sample_rate=16_000))


async def test_an_address_that_is_none_is_not_told(speech_server: SpeechServer) -> None:
    service = streaming.TranscribeStreaming(speech_server.url)
    listener = Listener(id="transcribe", service=service, wired="transcribe-streaming")
    with pytest.raises(errors.ConnectionFailed, match="ws://") as caught:
        await hear(listener, Recording(audio=tone(1)))
    assert "Signature" not in str(caught.value)
    assert caught.value.__cause__ is None
