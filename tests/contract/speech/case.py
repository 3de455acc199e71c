"""The speech services under contract, and what they are asked."""

from collections.abc import AsyncIterator, Callable

import msgspec

from ringback.testing.speech.script import Service
from speech.audio import encoding
from speech.audio.pcm import Pcm
from speech.service import (
    AudioFormat,
    AudioPart,
    Mark,
    Partial,
    Recording,
    Segment,
    SpeechToText,
    Spoken,
    TextToSpeech,
    Transcript,
    Utterance,
)

SAID = "Where is my order?"


class Speaker(msgspec.Struct, frozen=True, kw_only=True):
    """A `TextToSpeech`; `wired` if it talks to the fake server."""

    id: str
    service: TextToSpeech
    wired: bool


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """A `SpeechToText`, and which service of the fake server it talks to."""

    id: str
    service: SpeechToText
    wired: Service | None


async def say(speaker: Speaker, utterance: Utterance) -> tuple[bytes, list[Mark], Spoken]:
    """The audio, the marks, and the end, which must be the only one and the last."""
    audio = b""
    marks: list[Mark] = []
    ends: list[Spoken] = []
    async for item in speaker.service.synthesize(utterance):
        assert not ends, "something came after the end"
        match item:
            case AudioPart():
                assert item.data
                audio += item.data
            case Mark():
                marks.append(item)
            case Spoken():
                ends.append(item)
    assert len(ends) == 1
    return audio, marks, ends[0]


async def hear(listener: Listener, recording: Recording) -> tuple[list[Partial], list[Segment], Transcript]:
    """What was understood, and the end, which must be the only one and the last."""
    partials: list[Partial] = []
    segments: list[Segment] = []
    ends: list[Transcript] = []
    async for item in listener.service.transcribe(recording):
        assert not ends, "something came after the end"
        match item:
            case Partial():
                partials.append(item)
            case Segment():
                segments.append(item)
            case Transcript():
                ends.append(item)
    assert len(ends) == 1
    assert tuple(segments) == ends[0].segments
    return partials, segments, ends[0]


def words(text: str) -> list[str]:
    """The words of a text, whatever its case and marks."""
    return "".join(character if character.isalnum() else " " for character in text.lower()).split()


def tone(seconds: float, audio_format: AudioFormat = "wav") -> bytes:
    """A recording of a tone."""
    import numpy as np

    wave = np.sin(np.arange(int(16_000 * seconds)) * 0.2) * 9_000
    return encoding.encoded(Pcm(wave.astype("<i2").tobytes(), 16_000), audio_format)


def live(pcm: Pcm, seconds: float = 0.1, after: Callable[[], object] = lambda: None) -> AsyncIterator[bytes]:
    """Samples as they come."""

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in pcm.chunks(seconds):
            yield chunk
        after()

    return chunks()
