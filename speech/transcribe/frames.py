"""Transcribe's event-stream frames ↔ our types: audio out, results and exceptions in.

Source: docs.aws.amazon.com/transcribe/latest/dg/streaming-websocket.html
"""

import struct
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import msgspec

from speech import errors
from speech.amazon.errors import meant
from speech.recording import confidence
from speech.service import Partial, Segment

PROVIDER = "transcribe"
_STRING = 7
_LANGUAGE = "LanguageCode"


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


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A result, and the language it is in where Transcribe had to find that out."""

    result: Partial | Segment
    language: str = ""
    words: tuple[float, ...] = ()
    """The confidence of each, of a segment."""


class FrameReader:
    """Reads what the service sends."""

    def __init__(self) -> None:
        from botocore.eventstream import EventStreamBuffer

        self._buffer = EventStreamBuffer()

    def read(self, data: bytes) -> Iterator[Heard]:
        """The results in some frames. Raises what an exception frame says, and `errors.MalformedAnswer`."""
        from botocore.eventstream import ParserError

        self._buffer.add_data(data)
        try:
            for event in self._buffer:
                body = msgspec.json.decode(event.payload, type=dict[str, Any])
                headers = event.headers
                if headers.get(":message-type") != "event":
                    code = str(headers.get(":exception-type") or headers.get(":error-code") or "")
                    raise _failure(code, str(body.get("Message") or body.get("message") or ""))
                if headers.get(":event-type") == "TranscriptEvent":
                    for result in body["Transcript"]["Results"]:
                        if result["Alternatives"]:
                            yield _heard(result)
        except (ParserError, msgspec.DecodeError, LookupError, TypeError):
            raise errors.MalformedAnswer("a frame of the stream cannot be read", provider=PROVIDER) from None


def _failure(code: str, message: str) -> errors.SpeechError:
    # Where Transcribe waited for audio in vain, the recording's source is to blame, not the request.
    if "no new audio" in message:
        return errors.TimedOut(message, provider=PROVIDER)
    return meant(code, message, provider=PROVIDER)


def _heard(result: dict[str, Any]) -> Heard:
    best = result["Alternatives"][0]
    items = best.get("Items", ())
    language = result.get(_LANGUAGE, "")
    if result["IsPartial"]:
        stable = sum(1 for item in items if item.get("Stable"))
        stability = stable / len(items) if items else None
        return Heard(result=Partial(text=best["Transcript"], stability=stability), language=language)
    words = tuple(item["Confidence"] for item in items if item.get("Confidence") is not None)
    segment = Segment(
        text=best["Transcript"], start_s=result["StartTime"], end_s=result["EndTime"], confidence=confidence(words)
    )
    return Heard(result=segment, language=language, words=words)
