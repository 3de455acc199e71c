"""The transcript document of a transcription job.

Source: docs.aws.amazon.com/transcribe/latest/dg/how-input.html#how-output
"""

from typing import Any

import msgspec

from speech import errors
from speech.recording import confidence
from speech.service import Segment, Transcript

_LONGEST = 64 * 1024 * 1024
_TOTAL_S = 60.0
_CONNECT_S = 10.0


class _Transcript(msgspec.Struct):
    transcript: str


class _Alternative(msgspec.Struct):
    confidence: str | None = None


class _Item(msgspec.Struct):
    type: str
    alternatives: tuple[_Alternative, ...] = ()
    start_time: str | None = None
    end_time: str | None = None


class _AudioSegment(msgspec.Struct):
    transcript: str
    start_time: str
    end_time: str
    items: tuple[int, ...] = ()


class _Results(msgspec.Struct):
    transcripts: tuple[_Transcript, ...]
    items: tuple[_Item, ...] = ()
    audio_segments: tuple[_AudioSegment, ...] = ()
    language_code: str = ""


class _Document(msgspec.Struct):
    results: _Results


async def fetched(uri: str, *, provider: str) -> bytes:
    """The document, from the signed address that its job names. Raises a class of `speech.errors`."""
    import aiohttp
    from yarl import URL

    limits = aiohttp.ClientTimeout(total=_TOTAL_S, sock_connect=_CONNECT_S)
    try:
        signed = URL(uri, encoded=True)  # in any other spelling its signature would not fit
        async with aiohttp.ClientSession(timeout=limits, trust_env=True) as session, session.get(signed) as response:
            if response.status != 200:
                detail = f"the transcript is not where its job says: HTTP status {response.status}"
                raise errors.Unavailable(detail, provider=provider)
            body = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                body += chunk
                if len(body) > _LONGEST:
                    raise errors.MalformedAnswer("the transcript is too long", provider=provider)
            return bytes(body)
    except TimeoutError:
        raise errors.TimedOut("the transcript did not come in time", provider=provider) from None
    except (aiohttp.ClientError, ValueError) as error:
        # Without its message, in which the signed address stands.
        raise errors.ConnectionFailed(
            f"the transcript cannot be fetched: {type(error).__name__}", provider=provider
        ) from None


def read(data: bytes, *, language: str, provider: str) -> Transcript:
    """What is in a document. Raises `errors.MalformedAnswer`."""
    try:
        results = msgspec.json.decode(data, type=_Document).results
        words = [_confidence(item) for item in results.items if item.type == "pronunciation"]
        return Transcript(
            text=results.transcripts[0].transcript,
            language=language or results.language_code,
            segments=tuple(_segment(part, results.items) for part in _parts(results)),
            confidence=confidence([word for word in words if word is not None]),
        )
    except (msgspec.DecodeError, ValueError, LookupError):
        raise errors.MalformedAnswer("the transcript cannot be read", provider=provider) from None


def _parts(results: _Results) -> tuple[Any, ...]:
    """The segments; older documents have none, and are one."""
    timed = [item for item in results.items if item.start_time is not None and item.end_time is not None]
    if results.audio_segments or not timed:
        return results.audio_segments
    whole = _AudioSegment(
        transcript=results.transcripts[0].transcript,
        start_time=timed[0].start_time or "0",
        end_time=timed[-1].end_time or "0",
        items=tuple(range(len(results.items))),
    )
    return (whole,)


def _segment(part: _AudioSegment, items: tuple[_Item, ...]) -> Segment:
    words = [_confidence(items[index]) for index in part.items if items[index].type == "pronunciation"]
    return Segment(
        text=part.transcript,
        start_s=float(part.start_time),
        end_s=float(part.end_time),
        confidence=confidence([word for word in words if word is not None]),
    )


def _confidence(item: _Item) -> float | None:
    return float(item.alternatives[0].confidence or 0) if item.alternatives else None
