"""The process of the recognizer: `python -m speech.offline.recognizer`, see `speech.offline.frames`."""

from collections.abc import Callable, Iterator
from typing import Any

from speech.offline.frames import Frame, serve

RATE = 16_000
_PARTIAL_S = 0.2
"""Seconds of speech between two looks at what has been understood."""
_LONGEST_S = 20.0
"""Seconds after which an utterance is cut, so that the search does not grow without bound."""


def load() -> Callable[[Iterator[Frame]], Iterator[Frame]]:
    """Loads pocketsphinx. What is returned takes `{pcm}` and gives `{partial}` and `{text, start_s, end_s, words}`."""
    import pocketsphinx

    decoder = pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL")

    def answer(request: Iterator[Frame]) -> Iterator[Frame]:
        ends = pocketsphinx.Endpointer(sample_rate=RATE)
        listening = _Listening(decoder, ends)
        pending = b""
        for request_frame in request:
            pending += request_frame.get("pcm", b"")
            while len(pending) > ends.frame_bytes:  # at least one byte is kept for the last frame
                frame, pending = pending[: ends.frame_bytes], pending[ends.frame_bytes :]
                yield from listening.hear(frame)
        yield from listening.finish(pending)

    return answer


class _Listening:
    """One recording, cut into utterances where nobody speaks."""

    def __init__(self, decoder: Any, ends: Any) -> None:
        self._decoder, self._ends = decoder, ends
        self._started: float | None = None
        self._cut_at: float | None = None
        self._heard = self._looked = 0.0
        self._partial = ""

    def hear(self, frame: bytes) -> Iterator[Frame]:
        """Takes in a frame of the endpointer's length."""
        speech = self._ends.process(frame)
        if speech is None:
            return
        yield from self._take(speech)
        if not self._ends.in_speech:
            yield from self._end(self._ends.speech_end)
            self._cut_at = None
        elif self._heard >= _LONGEST_S:
            yield from self._end(None)

    def finish(self, rest: bytes) -> Iterator[Frame]:
        """Takes in what is left."""
        rest = rest[: len(rest) - len(rest) % 2]
        if self._ends.in_speech and (speech := self._ends.end_stream(rest)):
            yield from self._take(speech)
        if self._started is not None:
            yield from self._end(None)

    def _take(self, speech: bytes) -> Iterator[Frame]:
        if self._started is None:
            self._decoder.start_utt()
            self._started = self._cut_at if self._cut_at is not None else self._ends.speech_start
            self._heard = self._looked = 0.0
            self._partial = ""
        self._decoder.process_raw(speech)
        self._heard += len(speech) / 2 / RATE
        if self._heard - self._looked >= _PARTIAL_S:
            self._looked = self._heard
            said = self._said()
            if said and said != self._partial:
                self._partial = said
                yield {"partial": said}

    def _end(self, at: float | None) -> Iterator[Frame]:
        """Ends the utterance where speech ended; `None`: after what was heard of it."""
        self._decoder.end_utt()
        start, self._started = self._started or 0.0, None
        self._cut_at = start + self._heard
        if said := self._said():
            words = [segment for segment in self._decoder.seg() if segment.word[0] not in "<["]
            chances = [min(segment.prob, 1.0) for segment in words]
            yield {"text": said, "start_s": start, "end_s": at or self._cut_at, "words": chances}

    def _said(self) -> str:
        found = self._decoder.hyp()
        return found.hypstr if found is not None else ""


if __name__ == "__main__":
    serve(load)
