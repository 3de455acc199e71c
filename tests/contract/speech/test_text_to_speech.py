"""What every `TextToSpeech` must do."""

import asyncio
import io
import wave
from contextlib import aclosing
from typing import Any, get_args

import pytest

from jobs.audio import sniffed
from ringback.testing.speech.script import Fault, SpeechScript
from ringback.testing.speech.server import SpeechServer
from speech import errors
from speech.audio import decoding, encoding
from speech.audio.pcm import Pcm
from speech.polly.client import PollySpeech
from speech.registry import SpeechServices
from speech.service import AudioFormat, AudioPart, Utterance
from speech.utterance import fitting
from tests.contract.speech.case import SAID, Speaker, say

pytestmark = pytest.mark.asyncio(loop_scope="module")

KINDS = {"mp3": "mp3", "ogg_vorbis": "ogg", "ogg_opus": "ogg", "wav": "wav"}
LONG = "The parcel left our house on Monday, and it should have come by now. " * 60


@pytest.mark.parametrize("audio_format", get_args(AudioFormat))
async def test_every_format_that_is_offered_is_what_it_says(audio_format: AudioFormat, speaker: Speaker) -> None:
    rates = speaker.service.capabilities().formats.get(audio_format, ())
    if not rates:
        with pytest.raises(errors.Unsupported, match=r"^format: .*mp3"):
            await say(speaker, Utterance(text=SAID, format=audio_format))
    for rate in rates:
        audio, _, end = await say(speaker, Utterance(text=SAID, format=audio_format, sample_rate=rate))
        assert (end.format, end.sample_rate) == (audio_format, rate)
        if audio_format == "pcm":
            assert end.duration_s == pytest.approx(len(audio) / 2 / rate, abs=0.01)
        else:
            assert sniffed(audio) == KINDS[audio_format]
            decoded = decoding.decoded(audio, provider="test")
            assert 0.5 < decoded.duration_s < 5
            assert not decoded.silent


async def test_every_language_has_a_voice(speaker: Speaker) -> None:
    able = speaker.service.capabilities()
    assert able.languages
    for language in able.languages[:12]:
        _, _, end = await say(speaker, Utterance(text=SAID, language=language.lower()))
        assert end.language == language
        (voice,) = (voice for voice in able.voices if voice.name == end.voice)
        assert language in voice.languages
        assert end.engine == voice.engines[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("language", "tlh"),
        ("voice", "Nobody"),
        ("engine", "steam"),
        ("sample_rate", 12_345),
        ("rate", 3.0),
        ("rate", float("nan")),
        ("volume_db", 60.0),
        ("pause_before_s", -1.0),
        ("pause_after_s", 11.0),
    ],
)
async def test_what_is_not_offered_is_refused_by_its_field(
    field: str, value: Any, speaker: Speaker, speech_server: SpeechServer
) -> None:
    given: dict[str, Any] = {"text": SAID, field: value}
    with pytest.raises(errors.Unsupported, match=f"^{field}: "):
        await say(speaker, Utterance(**given))
    assert speech_server.received == []


async def test_what_is_no_voice_of_the_language_is_told_with_those_that_are(
    services: SpeechServices, speech_server: SpeechServer
) -> None:
    polly = Speaker(id="polly", service=services.text_to_speech("polly"), wired=True)
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"voice": "Nobody", "language": "ko"}, r"^voice: .*'Nobody'.*ko-KR: Seoyeon, Jihye$"),
        ({"voice": "Nobody"}, r"^voice: .*'Nobody'.*Seoyeon, .*…$"),
        ({"voice": "Seoyeon", "language": "en-US"}, r"^language: Seoyeon speaks ko-KR, .*en-US: Joanna, Matthew"),
        ({"voice": "Seoyeon", "language": "tlh"}, r"^language: Seoyeon speaks ko-KR, not 'tlh'; leave the voice out$"),
    )
    for given, told in cases:
        with pytest.raises(errors.Unsupported, match=told):
            await say(polly, Utterance(text=SAID, **given))


@pytest.mark.parametrize(
    ("name", "language", "expected"),
    [
        ("Seoyeon", "ko-KR", ("Seoyeon", "ko-KR")),
        ("seoyeon", "ko", ("Seoyeon", "ko-KR")),
        ("Seoyeon", "en", ("", "en-US")),
        ("Amy", "en-CA", ("Amy", "en-GB")),
        ("Seoyeon", "zh-TW", ("", "cmn-CN")),
        ("", "es-AR", ("", "es-ES")),
        ("", "tlh", ("", "tlh")),
        ("Amy", "en-US", ("Amy", "en-GB")),
        ("Kajal", "hi", ("Kajal", "hi-IN")),
        ("Nobody", "ko", ("", "ko-KR")),
        ("", "ko", ("", "ko-KR")),
    ],
)
async def test_a_voice_that_speaks_the_language(name: str, language: str, expected: tuple[str, str]) -> None:
    assert fitting(name, language, PollySpeech().capabilities()) == expected


@pytest.mark.parametrize("text", ["", "  \n", "…!?", "🙂", "—", "x" * 100_001])
async def test_text_that_cannot_be_spoken_is_refused(text: str, speaker: Speaker, speech_server: SpeechServer) -> None:
    with pytest.raises(errors.BadText, match=r"^text: "):
        await say(speaker, Utterance(text=text))
    assert speech_server.received == []


async def test_korean(speaker: Speaker, speech_server: SpeechServer) -> None:
    utterance = Utterance(text="안녕하세요, 주문하신 상품이 오늘 도착합니다.", language="ko")
    if "ko-KR" not in speaker.service.capabilities().languages:
        with pytest.raises(errors.Unsupported, match="AWS credentials"):
            await say(speaker, utterance)
        with pytest.raises(errors.Unsupported, match="AWS credentials"):
            await say(speaker, Utterance(text=utterance.text))
        return
    audio, _, end = await say(speaker, utterance)
    assert (end.voice, end.language) == ("Seoyeon", "ko-KR")
    assert decoding.decoded(audio, provider="test").duration_s > 0.5
    assert speech_server.received[0].body["Text"] == utterance.text


@pytest.mark.parametrize(
    "text", ['Salt & <pepper>, "really"? It\'s ]]> 5 < 6.', "a\x00b\x1bc", "naïve\ud800 café \U0001f600"]
)
async def test_any_characters(text: str, speaker: Speaker) -> None:
    for rate in (1.0, 1.25):
        audio, _, _ = await say(speaker, Utterance(text=text, rate=rate, pause_after_s=rate - 1))
        assert decoding.decoded(audio, provider="test").duration_s > 0


async def test_speed_volume_and_pauses(speaker: Speaker, speech_server: SpeechServer) -> None:
    plain, _, _ = await say(speaker, Utterance(text=SAID, format="pcm"))
    changed = Utterance(text=SAID, format="pcm", rate=2, volume_db=-12, pause_before_s=1, pause_after_s=2)
    audio, _, _ = await say(speaker, changed)
    if speaker.wired:
        text = speech_server.received[-1].body["Text"]
        assert text.startswith('<speak><break time="1000ms"/><prosody rate="200%" volume="-12.0dB">')
        assert text.endswith('</prosody><break time="2000ms"/></speak>')
        return
    seconds = (len(audio) - len(plain)) / 32_000
    assert 1.5 < seconds < 3
    assert Pcm(audio[:30_000], 16_000).silent
    assert not Pcm(audio[30_000:], 16_000).silent


async def test_long_text_is_spoken_to_its_end(speaker: Speaker, speech_server: SpeechServer) -> None:
    audio, _, end = await say(speaker, Utterance(text=LONG, format="pcm"))
    assert end.characters >= len(LONG) - 10
    assert len(audio) / 32_000 > 25
    if speaker.wired:
        sent = [request.body["Text"] for request in speech_server.received]
        assert len(sent) == end.requests > 1
        assert "".join(sent) == LONG
        assert all(text.endswith((". ", ".")) for text in sent)


async def test_several_at_once(speaker: Speaker) -> None:
    texts = [f"{'This is number ' * count} {count}." for count in range(1, 7)]
    whole = await asyncio.gather(*(say(speaker, Utterance(text=text, format="pcm")) for text in texts))
    lengths = [len(audio) for audio, _, _ in whole]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) == len(lengths)


async def test_cancelling_and_closing_end_the_call(speaker: Speaker, speech_server: SpeechServer) -> None:
    speech_server.script(SpeechScript(chunk_s=0.2, chunk_bytes=4096))
    task = asyncio.create_task(say(speaker, Utterance(text=LONG, format="pcm")))
    items = aiter(speaker.service.synthesize(Utterance(text=LONG, format="pcm")))
    async with aclosing(items) as parts:  # type: ignore[type-var] # all of them are generators
        assert isinstance(await anext(parts), AudioPart)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if speaker.wired:
        await speech_server.wait_until(
            lambda: all(request.disconnected for request in speech_server.received), what="closed connections"
        )
    speech_server.reset()
    assert (await say(speaker, Utterance(text=SAID)))[0]


async def test_a_closed_service_is_not_brought_back(services: SpeechServices, speaker: Speaker) -> None:
    other = type(speaker.service)()
    await other.aclose()
    await other.aclose()


WRONG: dict[Fault, type[errors.SpeechError]] = {
    "rate_limited": errors.RateLimited,
    "unavailable": errors.Unavailable,
    "bad_request": errors.BadRequest,
    "unauthorized": errors.AuthenticationFailed,
    "forbidden": errors.PermissionDenied,
    "reset": errors.ConnectionFailed,
    "cut": errors.StreamInterrupted,
    "empty": errors.MalformedAnswer,
    "malformed": errors.MalformedAnswer,
}


@pytest.mark.parametrize("fault", WRONG)
async def test_what_goes_wrong_at_polly(fault: Fault, services: SpeechServices, speech_server: SpeechServer) -> None:
    polly = Speaker(id="polly", service=services.text_to_speech("polly"), wired=True)
    speech_server.script(SpeechScript(fault=fault, retry_after=7, chunk_bytes=512))
    secret = "비밀 번호는 사천칠백십일번 입니다."
    with pytest.raises(WRONG[fault]) as caught:
        await say(polly, Utterance(text=secret, language="ko-KR", format="pcm"))
    assert type(caught.value) is WRONG[fault]
    assert caught.value.provider == "polly"
    assert caught.value.retry_after == (7 if fault == "rate_limited" else None)
    assert secret not in str(caught.value)
    assert len(speech_server.received) == 1, "callers retry"


async def test_a_voice_without_its_best_engine_speaks_with_the_next(
    speech_server: SpeechServer, services: SpeechServices
) -> None:
    polly = PollySpeech()
    speaker = Speaker(id="polly", service=polly, wired=True)
    speech_server.enqueue(SpeechScript(fault="no_engine"))
    korean = Utterance(text="안녕하세요.", language="ko-KR")
    for _ in range(2):
        audio, _, end = await say(speaker, korean)
        assert (end.voice, end.engine) == ("Seoyeon", "standard")
        assert audio
    assert polly.target(korean) == "polly/standard"
    assert [request.body["Engine"] for request in speech_server.received] == ["neural", "standard", "standard"]
    # What was asked for by name, or is the last one, is not replaced.
    for utterance in (
        Utterance(text="안녕하세요.", voice="Jihye"),
        Utterance(text="안녕하세요.", voice="Seoyeon", engine="neural"),
    ):
        speech_server.enqueue(SpeechScript(fault="no_engine"))
        with pytest.raises(errors.Unsupported, match="does not support one of the selected engines"):
            await say(speaker, utterance)
    await polly.aclose()


async def test_wav_comes_in_parts_and_is_one_file(services: SpeechServices, speech_server: SpeechServer) -> None:
    polly = Speaker(id="polly", service=services.text_to_speech("polly"), wired=True)
    pcm, _, bare = await say(polly, Utterance(text=LONG, format="pcm", sample_rate=8000))
    wav, _, end = await say(polly, Utterance(text=LONG, format="wav", sample_rate=8000))
    assert (end.requests, end.duration_s) == (bare.requests, bare.duration_s)
    assert end.requests > 1
    assert wav[44:] == pcm
    for whole in (wav, encoding.sized(wav)):
        assert decoding.decoded(whole, provider="test").duration_s == end.duration_s
    with wave.open(io.BytesIO(encoding.sized(wav))) as file:  # which believes what the header says
        assert (file.getframerate(), file.getnchannels(), file.readframes(file.getnframes())) == (8000, 1, pcm)
    other = encoding.encoded(Pcm(pcm[:1600], 8000), "wav", 8000)
    assert encoding.sized(other) == other
    assert encoding.wav_head(8000, 1600) + pcm[:1600] == encoding.sized(encoding.wav_head(8000) + pcm[:1600])


async def test_ssml_and_marks(services: SpeechServices, speech_server: SpeechServer) -> None:
    polly = Speaker(id="polly", service=services.text_to_speech("polly"), wired=True)
    _, marks, end = await say(polly, Utterance(text="주문 <1> 도착", language="ko", rate=1.1, marks=True))
    assert [(mark.kind, mark.text, mark.start, mark.end) for mark in marks] == [
        ("sentence", "주문 <1> 도착", 0, 9),
        ("word", "주문", 0, 2),
        ("word", "<1>", 3, 6),
        ("word", "도착", 7, 9),
    ]
    assert end.requests == 2
    with pytest.raises(errors.BadText, match="Invalid SSML"):
        await say(polly, Utterance(text="<speak>one", ssml=True))
    with pytest.raises(errors.BadText, match=r"3,000"):
        await say(polly, Utterance(text=f"<speak>{'one ' * 800}</speak>", ssml=True))
    with pytest.raises(errors.Unsupported, match=r"^marks: "):
        await say(polly, Utterance(text=LONG, marks=True))


async def test_polly_refuses_what_a_hung_server_never_says(
    services: SpeechServices, speech_server: SpeechServer
) -> None:
    speech_server.script(SpeechScript(fault="hang"))
    polly = Speaker(id="polly", service=services.text_to_speech("polly"), wired=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await say(polly, Utterance(text=SAID))
    await speech_server.wait_disconnected()
