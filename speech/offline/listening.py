"""`OfflineRecognition`: pocketsphinx, in a process of its own."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing

from speech import errors
from speech.audio import decoding
from speech.audio.pcm import BYTES, resampled
from speech.offline.engine import Engine
from speech.offline.frames import Frame
from speech.offline.recognizer import RATE
from speech.offline.speaking import LANGUAGE, NAME, check_language
from speech.recording import confidence, live_rate, pcm_of
from speech.service import ListeningCapabilities, Partial, Recording, Segment, Transcript

_LIMITS = decoding.Limits()
_CAPABILITIES = ListeningCapabilities(
    languages=(LANGUAGE,), identifies=False, containers=decoding.DECODABLE, live=True, max_s=_LIMITS.max_s
)
_CHUNK_S = 0.25
_PROCESSES = 2


class OfflineRecognition:
    """English, with no vendor and no network."""

    name = NAME
    target = f"{NAME}/pocketsphinx"

    def __init__(self) -> None:
        self._engine = Engine("speech.offline.recognizer", provider=NAME, processes=_PROCESSES)

    def capabilities(self) -> ListeningCapabilities:
        """See `SpeechToText`."""
        return _CAPABILITIES

    async def transcribe(self, recording: Recording) -> AsyncGenerator[Partial | Segment | Transcript, None]:
        """See `SpeechToText`."""
        check_language(recording.language)
        if isinstance(recording.audio, bytes):
            pcm = await pcm_of(recording, provider=NAME, limits=_LIMITS, rate=RATE)
            if pcm.silent:
                yield Transcript(text="", language=LANGUAGE, segments=(), duration_s=pcm.duration_s)
                return
            source = _each(list(pcm.chunks(_CHUNK_S)))
        else:
            source = resampled(recording.audio, live_rate(recording, provider=NAME), RATE)
        heard = _Heard()
        segments: list[Segment] = []
        words: list[float] = []
        async with aclosing(self._engine.answer(heard.request(source))) as results:
            async for result in results:
                if "partial" in result:
                    yield Partial(text=result["partial"])
                    continue
                words += result["words"]
                segment = Segment(
                    text=result["text"],
                    start_s=result["start_s"],
                    end_s=result["end_s"],
                    confidence=confidence(result["words"]),
                )
                segments.append(segment)
                yield segment
        yield Transcript(
            text=" ".join(segment.text for segment in segments),
            language=LANGUAGE,
            segments=tuple(segments),
            confidence=confidence(words),
            duration_s=heard.samples / RATE,
        )

    async def warm_up(self) -> None:
        """See `SpeechToText`. Starts one process."""
        await self._engine.warm_up()

    async def aclose(self) -> None:
        """See `SpeechToText`."""
        await self._engine.aclose()


class _Heard:
    """The request made of a recording, and how much went by."""

    def __init__(self) -> None:
        self.samples = 0

    async def request(self, source: AsyncIterable[bytes]) -> AsyncIterator[Frame]:
        async for chunk in source:
            self.samples += len(chunk) // BYTES
            if self.samples > _LIMITS.max_s * RATE:
                raise errors.AudioTooLarge(f"audio: longer than {_LIMITS.max_s:g} s", provider=NAME)
            yield {"pcm": chunk}
        yield {"last": True}


async def _each(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)
