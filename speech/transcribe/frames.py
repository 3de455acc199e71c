"""Transcribe's event-stream frames ↔ our types: audio out, results and exceptions in.

Source: docs.aws.amazon.com/transcribe/latest/dg/streaming-websocket.html
"""

import struct
from collections.abc import Iterator
from zlib import crc32

import msgspec

from amazon.eventstream import EventReader
from amazon.failures import Failure
from speech import errors
from speech.amazon.errors import translated
from speech.recording import confidence
from speech.service import Partial, Segment

PROVIDER = "transcribe"
_STRING = 7


def _header(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + struct.pack(">BH", _STRING, len(value)) + value.encode()


_HEADERS = (
    _header(":content-type", "application/octet-stream")
    + _header(":event-type", "AudioEvent")
    + _header(":message-type", "event")
)


def audio_event(chunk: bytes) -> bytes:
    """A frame of audio; the empty one says that there is no more."""
    prelude = struct.pack(">II", 16 + len(_HEADERS) + len(chunk), len(_HEADERS))
    message = prelude + struct.pack(">I", crc32(prelude)) + _HEADERS + chunk
    return message + struct.pack(">I", crc32(message))


class _Item(msgspec.Struct, rename="pascal"):
    stable: bool | None = None
    confidence: float | None = None


class _Alternative(msgspec.Struct, rename="pascal"):
    transcript: str
    items: tuple[_Item, ...] | None = None


class _Result(msgspec.Struct, rename="pascal"):
    is_partial: bool
    start_time: float
    end_time: float
    alternatives: tuple[_Alternative, ...] = ()
    language_code: str | None = None


class _Transcript(msgspec.Struct, rename="pascal"):
    results: tuple[_Result, ...]


class _TranscriptEvent(msgspec.Struct, rename="pascal"):
    transcript: _Transcript


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A result, and the language it is in where Transcribe had to find that out."""

    result: Partial | Segment
    language: str = ""
    words: tuple[float, ...] = ()
    """The confidence of each, of a segment."""


class FrameReader:
    """Reads what the service sends."""

    def __init__(self) -> None:
        self._events = EventReader()

    @property
    def between_frames(self) -> bool:
        """Whether all that came are whole frames."""
        return self._events.between_frames

    def read(self, data: bytes) -> Iterator[Heard]:
        """The results in some frames. Raises what an exception frame says, and `errors.MalformedAnswer`."""
        with translated(PROVIDER):
            try:
                for kind, event in self._events.read(data):
                    if kind == "TranscriptEvent":
                        told = msgspec.convert(event, _TranscriptEvent)
                        yield from (_heard(result) for result in told.transcript.results if result.alternatives)
            except Failure as failure:
                # Where it waited for audio in vain, the recording's source is to blame, not the request.
                if "no new audio" in failure.message:
                    raise errors.TimedOut(failure.detail, provider=PROVIDER) from None
                raise
            except msgspec.ValidationError:
                raise errors.MalformedAnswer("a frame of the stream cannot be read", provider=PROVIDER) from None


def _heard(result: _Result) -> Heard:
    best = result.alternatives[0]
    items = best.items or ()
    language = result.language_code or ""
    if result.is_partial:
        stable = sum(1 for item in items if item.stable)
        stability = stable / len(items) if items else None
        return Heard(result=Partial(text=best.transcript, stability=stability), language=language)
    words = tuple(item.confidence for item in items if item.confidence is not None)
    segment = Segment(
        text=best.transcript, start_s=result.start_time, end_s=result.end_time, confidence=confidence(words)
    )
    return Heard(result=segment, language=language, words=words)
