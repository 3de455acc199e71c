"""Speaking for a job: limits, a second try, and what is counted."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest

from jobs.model import ModelCall
from speech import errors
from speech.service import AudioPart, Mark, SpeakingCapabilities, Spoken, Utterance
from workers import patience, speaker
from workers.speaker import Again, Speaker

UTTERANCE = Utterance(text="안녕하세요", language="ko-KR")
ENDED = Spoken(
    voice="Seoyeon", engine="neural", language="ko-KR", format="mp3", sample_rate=24_000, characters=5, duration_s=1.0
)
Script = Callable[[], AsyncIterator[AudioPart | Mark | Spoken]]


class Scripted:
    """A `TextToSpeech` that does as it is told, once for each call."""

    name = "polly"

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)

    def capabilities(self) -> SpeakingCapabilities:
        return SpeakingCapabilities(languages=(), voices=(), formats={}, ssml=False, marks=False)

    def target(self, utterance: Utterance) -> str:
        return "polly/neural"

    def synthesize(self, utterance: Utterance) -> AsyncIterator[AudioPart | Mark | Spoken]:
        return self._scripts.pop(0)()

    async def warm_up(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


async def fine() -> AsyncIterator[AudioPart | Mark | Spoken]:
    yield AudioPart(b"one")
    yield AudioPart(b"two")
    yield ENDED


async def cut() -> AsyncIterator[AudioPart | Mark | Spoken]:
    yield AudioPart(b"one")
    raise errors.StreamInterrupted(provider="polly")


async def endless() -> AsyncIterator[AudioPart | Mark | Spoken]:
    yield AudioPart(b"one")
    await asyncio.get_running_loop().create_future()


async def mute() -> AsyncIterator[AudioPart | Mark | Spoken]:
    if UTTERANCE.text:
        await asyncio.get_running_loop().create_future()
    yield ENDED


async def unended() -> AsyncIterator[AudioPart | Mark | Spoken]:
    yield AudioPart(b"one")


async def busy() -> AsyncIterator[AudioPart | Mark | Spoken]:
    if UTTERANCE.text:
        raise errors.RateLimited(provider="polly", retry_after=3600)
    yield ENDED


async def throttled() -> AsyncIterator[AudioPart | Mark | Spoken]:
    if UTTERANCE.text:
        raise errors.RateLimited(provider="polly")
    yield ENDED


async def wrong() -> AsyncIterator[AudioPart | Mark | Spoken]:
    if UTTERANCE.text:
        raise errors.Unsupported(provider="polly")
    yield ENDED


class Heard:
    """What came of speaking."""

    def __init__(self) -> None:
        self.items: list[object] = []
        self.calls: list[ModelCall] = []
        self.error: errors.SpeechError | None = None


async def speak(*scripts: Script) -> Heard:
    heard = Heard()
    try:
        async with (
            asyncio.timeout(10),
            aclosing(Speaker(Scripted(*scripts), heard.calls.append).say(UTTERANCE)) as items,
        ):
            async for item in items:
                heard.items.append(item)
    except errors.SpeechError as error:
        heard.error = error
    return heard


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaker, "FIRST_S", 0.05)
    monkeypatch.setattr(speaker, "STALL_S", 0.05)
    monkeypatch.setattr(patience, "BACKOFF_S", 0.0)


async def test_what_is_spoken_is_counted() -> None:
    heard = await speak(fine)
    assert heard.items == [AudioPart(b"one"), AudioPart(b"two"), ENDED]
    (call,) = heard.calls
    assert (call.model, call.outcome, call.usage.characters, call.usage.audio_s) == (
        "polly/neural",
        "answered",
        5,
        1.0,
    )
    assert call.first_token_s is not None


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (cut, "speech_stream_interrupted"),
        (endless, "speech_timeout"),
        (mute, "speech_timeout"),
        (unended, "speech_stream_interrupted"),
    ],
)
async def test_what_fails_is_tried_again_once(script: Script, code: str) -> None:
    heard = await speak(script, fine)
    assert heard.items[-4:] == [Again(), AudioPart(b"one"), AudioPart(b"two"), ENDED]
    assert [(call.outcome, call.error) for call in heard.calls] == [("failed", code), ("answered", None)]
    twice = await speak(script, script)
    assert twice.error is not None
    assert twice.error.code == code
    begun = script is not mute
    # Audio that was begun is billed.
    assert [(call.usage.characters or 0, call.estimated) for call in twice.calls] == [(5 if begun else 0, begun)] * 2


@pytest.mark.parametrize("script", [wrong, busy])
async def test_what_makes_no_sense_is_not_tried_again(script: Script) -> None:
    heard = await speak(script)
    assert heard.error is not None
    assert len(heard.calls) == 1


async def test_what_nobody_wants_to_hear_any_more_is_cancelled() -> None:
    calls: list[ModelCall] = []
    async with aclosing(Speaker(Scripted(endless), calls.append).say(UTTERANCE)) as items:
        async for _ in items:
            break
    assert [call.outcome for call in calls] == ["cancelled"]


async def test_what_was_throttled_is_asked_again_as_often_as_the_time_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaker, "FIRST_S", 20.0)
    heard = await speak(*[throttled] * 7, cut, throttled, fine)
    assert heard.items[-1] == ENDED
    refused = ("failed", "speech_rate_limited")
    broken = ("failed", "speech_stream_interrupted")
    outcomes = [(call.outcome, call.error) for call in heard.calls]
    assert outcomes == [*[refused] * 7, broken, refused, ("answered", None)]
    assert [call.usage.characters or 0 for call in heard.calls] == [0] * 7 + [5, 0, 5]


async def test_throttling_ends_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaker, "FIRST_S", 1.0)
    monkeypatch.setattr(patience, "BACKOFF_S", 0.01)
    heard = await speak(*[throttled] * 1000)
    assert isinstance(heard.error, errors.RateLimited)
    assert 1 < len(heard.calls) < 1000
