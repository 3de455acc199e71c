"""Polly's wire: POST /v1/speech, really valid audio as long as its text, speech marks, refusals.

Source: the Amazon Polly API reference, "SynthesizeSpeech".
"""

import re
from functools import lru_cache
from html import unescape
from typing import Any
from xml.etree import ElementTree as ET

import msgspec

from ringback.testing.speech.script import Fault
from speech.audio import encoding
from speech.audio.pcm import Pcm
from speech.service import AudioFormat

SECOND_PER_CHARACTER = 0.06
_LONGEST_S = 20.0
_RATE = 24_000
_TAG = re.compile(r"<[^>]*>")
_RATES: dict[str, tuple[str, ...]] = {
    "mp3": ("8000", "16000", "22050", "24000", "44100", "48000"),
    "ogg_vorbis": ("8000", "16000", "22050", "24000", "44100", "48000"),
    "ogg_opus": ("48000",),
    "pcm": ("8000", "16000"),
    "json": ("8000", "16000", "22050", "24000", "44100", "48000"),
}
TYPES = {
    "mp3": "audio/mpeg",
    "ogg_vorbis": "audio/ogg",
    "ogg_opus": "audio/ogg",
    "pcm": "audio/pcm",
    "json": "application/x-json-stream",
}
REFUSALS: dict[Fault, tuple[int, str, str]] = {
    "rate_limited": (400, "ThrottlingException", "Rate exceeded"),
    "unavailable": (500, "ServiceFailureException", "An unknown condition has caused a service failure."),
    "no_engine": (
        400,
        "EngineNotSupportedException",
        "This voice does not support one of the selected engines in this region",
    ),
    "bad_request": (400, "ValidationException", "1 validation error detected: Value '{text}' at 'text' is not valid"),
    "bad_text": (400, "InvalidSsmlException", "Invalid SSML request"),
    "unauthorized": (403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    "forbidden": (403, "AccessDeniedException", "User is not authorized to perform: polly:SynthesizeSpeech"),
}


def problem(body: dict[str, Any]) -> tuple[int, str, str] | None:
    """What Polly itself would not take; `None` if it is sound."""
    text, output, engine = str(body.get("Text", "")), str(body.get("OutputFormat")), body.get("Engine", "standard")
    if body.get("TextType") == "ssml":
        try:
            root = ET.fromstring(text)  # noqa: S314 - a test's own text
        except ET.ParseError:
            return 400, "InvalidSsmlException", "Invalid SSML request"
        if root.tag != "speak" or (engine == "neural" and ("<emphasis" in text or "pitch=" in text)):
            return 400, "InvalidSsmlException", "Unsupported Neural feature"
    if billed(body) > 3000 or len(text) > 6000:
        return 400, "TextLengthExceededException", "Maximum text length has been exceeded"
    if output not in _RATES or not text:
        return 400, "ValidationException", f"Value {output!r} at 'outputFormat' failed to satisfy constraint"
    if str(body.get("SampleRate", _RATES[output][0])) not in _RATES[output]:
        return 400, "InvalidSampleRateException", "The specified sample rate is not valid."
    return None


def billed(body: dict[str, Any]) -> int:
    """The characters that are billed."""
    return len(_spoken(body))


def audio(body: dict[str, Any]) -> bytes:
    """What is said, in the format that was asked for; marks are lines of JSON."""
    output = body["OutputFormat"]
    if output == "json":
        return b"".join(msgspec.json.encode(mark) + b"\n" for mark in _marks(body))
    length = max(2, min(round(len(_spoken(body).encode("utf-8")) / 4), 300))
    return _tone(length, output, int(body.get("SampleRate", _RATES[output][0])))


def _spoken(body: dict[str, Any]) -> str:
    text = str(body.get("Text", ""))
    return unescape(_TAG.sub("", text)) if body.get("TextType") == "ssml" else text


@lru_cache(maxsize=64)
def _tone(quarters: int, output: AudioFormat, rate: int) -> bytes:
    """A tone whose length stands for that of a text."""
    import numpy as np

    seconds = min(quarters * 4 * SECOND_PER_CHARACTER, _LONGEST_S)
    wave = np.sin(np.arange(int(seconds * _RATE)) * (220 * 2 * np.pi / _RATE)) * 9_000
    return encoding.encoded(Pcm(wave.astype("<i2").tobytes(), _RATE), output, rate)


def _marks(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Offsets are in bytes of what was sent, tags included."""
    text = body["Text"]
    found = [match for match in re.finditer(r"<[^>]*>|[^\s<]+", text) if not match[0].startswith("<")]
    kinds = body.get("SpeechMarkTypes", [])
    marks = []
    for number, match in enumerate(found):
        start = len(text[: match.start()].encode())
        value = unescape(match[0])
        word = {"time": number * 200, "type": "word", "start": start, "end": start + len(match[0].encode())}
        marks.append(word | {"value": value})
    if "sentence" in kinds and marks:
        whole = {"time": 0, "type": "sentence", "start": marks[0]["start"], "end": marks[-1]["end"]}
        marks.insert(0, whole | {"value": _spoken(body).strip()})
    return [mark for mark in marks if mark["type"] in kinds]
