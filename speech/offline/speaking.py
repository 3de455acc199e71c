"""`OfflineSpeech`: the voice of hibari-tts, in a process of its own."""

import asyncio
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from speech import errors, languages
from speech.audio import encoding
from speech.audio.pcm import BYTES, Pcm
from speech.offline.engine import Engine
from speech.offline.frames import Frame
from speech.offline.voice import RATE
from speech.service import AudioPart, Mark, SpeakingCapabilities, Spoken, Utterance, Voice
from speech.text import pieces, sendable
from speech.utterance import settled

NAME = "offline"
LANGUAGE = "en-US"
ELSEWHERE = "the offline engines know English only; Amazon's, which AWS credentials switch on, know many languages"
_VOICE = Voice(name="heart", languages=(LANGUAGE,), engines=("hibari",), gender="female")
_CAPABILITIES = SpeakingCapabilities(
    languages=(LANGUAGE,), voices=(_VOICE,), formats=dict(encoding.RATES), ssml=False, marks=False
)
_PIECE = 400
"""Characters given to the voice at once: the first sound comes early, and no model input grows without bound."""
_PROCESSES = 2


class OfflineSpeech:
    """English, with no vendor and no network."""

    name = NAME

    def __init__(self) -> None:
        self._engine = Engine("speech.offline.voice", provider=NAME, processes=_PROCESSES)

    def capabilities(self) -> SpeakingCapabilities:
        """See `TextToSpeech`."""
        return _CAPABILITIES

    def target(self, utterance: Utterance) -> str:
        """See `TextToSpeech`."""
        return f"{NAME}/{_VOICE.engines[0]}"

    async def synthesize(self, utterance: Utterance) -> AsyncGenerator[AudioPart | Mark | Spoken, None]:
        """See `TextToSpeech`. It comes a few sentences at a time."""
        check_language(utterance.language)
        how = settled(utterance, _CAPABILITIES, {LANGUAGE: _VOICE.name}, provider=NAME)
        _check_letters(utterance.text)
        encoder = encoding.Encoder(utterance.format, how.sample_rate)
        samples = 0
        async with aclosing(self._samples(utterance)) as stretches:
            async for stretch in stretches:
                samples += len(stretch) // BYTES
                if data := await asyncio.to_thread(encoder.encode, Pcm(stretch, RATE)):
                    yield AudioPart(data)
        if data := await asyncio.to_thread(encoder.end):
            yield AudioPart(data)
        yield Spoken(
            voice=how.voice.name,
            engine=how.engine,
            language=how.language,
            format=utterance.format,
            sample_rate=how.sample_rate,
            characters=len(utterance.text),
            duration_s=samples / RATE,
        )

    async def warm_up(self) -> None:
        """See `TextToSpeech`. Starts one process."""
        await self._engine.warm_up()

    async def aclose(self) -> None:
        """See `TextToSpeech`."""
        await self._engine.aclose()

    async def _samples(self, utterance: Utterance) -> AsyncGenerator[bytes, None]:
        if utterance.pause_before_s:
            yield _silence(utterance.pause_before_s)
        gain = 10 ** (utterance.volume_db / 20)
        async with aclosing(self._engine.answer(_request(utterance))) as results:
            async for result in results:
                yield result["pcm"] if gain == 1 else await asyncio.to_thread(_amplified, result["pcm"], gain)
        if utterance.pause_after_s:
            yield _silence(utterance.pause_after_s)


async def _request(utterance: Utterance) -> AsyncIterator[Frame]:
    for piece in pieces(sendable(utterance.text), lambda text: len(text) <= _PIECE):
        yield {"text": piece, "speed": utterance.rate}
    yield {"text": "", "speed": 1.0, "last": True}


def check_language(language: str) -> None:
    """Raises `errors.Unsupported`, which says what would know it, if it is not English."""
    if language and languages.resolved(language.partition("-")[0], (LANGUAGE,)) is None:
        raise errors.Unsupported(f"language: {language[:40]!r} is not known here: {ELSEWHERE}", provider=NAME)


def _check_letters(text: str) -> None:
    """English text may name things in other scripts, which are not spoken; text in another script is refused."""
    letters = [character for character in text if character.isalpha()]
    latin = sum(1 for character in letters if unicodedata.name(character, "").startswith("LATIN"))
    if latin * 2 < len(letters):
        raise errors.Unsupported(f"text: it is not English: {ELSEWHERE}", provider=NAME)


def _silence(seconds: float) -> bytes:
    return bytes(int(seconds * RATE) * BYTES)


def _amplified(pcm: bytes, gain: float) -> bytes:
    import numpy as np

    louder = np.frombuffer(pcm, "<i2").astype("float32") * gain
    return louder.clip(-32_768, 32_767).astype("<i2").tobytes()
