"""Utterances ↔ SynthesizeSpeech: text as SSML, pieces within Polly's limits, requests, speech marks.

Limits: 3,000 billed and 6,000 total characters a request, where tags are not billed.
Source: docs.aws.amazon.com/polly/latest/dg/limits.html
"""

import re
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape, unescape

import msgspec

from speech import errors
from speech.service import Mark, Utterance
from speech.text import pieces, sendable
from speech.utterance import Settled

PROVIDER = "polly"
BILLED = 3_000
TOTAL = 6_000
_TAG = re.compile(r"<[^>]*>")


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One request's worth of an utterance."""

    text: str
    """As it is sent."""
    ssml: bool
    before: str = ""
    """What stands before the speaker's own words in `text`: tags that were put there."""
    words: str = ""
    """The speaker's own words in `text`, escaped; empty where all of it is the caller's."""


def requested(utterance: Utterance) -> Iterator[Said]:
    """What is to be sent for an utterance, one after the other. Raises `errors.BadText`.

    SSML of the caller is never split.
    """
    text = sendable(utterance.text)
    if utterance.ssml:
        if _billed(_TAG.sub("", text)) > BILLED or len(text) > TOTAL:
            raise errors.BadText(
                f"text: SSML may have {BILLED:,} characters, {TOTAL:,} with its tags; split it", provider=PROVIDER
            )
        yield Said(text=text, ssml=True)
        return
    plain = utterance.rate == 1 and not (utterance.volume_db or utterance.pause_before_s or utterance.pause_after_s)
    prosody = _prosody(utterance)
    some = [piece for piece in pieces(text, lambda piece: _fits(piece, prosody, plain=plain)) if piece.strip()]
    for number, piece in enumerate(some):
        if plain:
            yield Said(text=piece, ssml=False)
            continue
        head = _break(utterance.pause_before_s) if number == 0 else ""
        tail = _break(utterance.pause_after_s) if number == len(some) - 1 else ""
        before, words = f"<speak>{head}{prosody}", escape(piece)
        after = f"{'</prosody>' if prosody else ''}{tail}</speak>"
        yield Said(text=before + words + after, ssml=True, before=before, words=words)


def arguments(said: Said, utterance: Utterance, how: Settled) -> dict[str, Any]:
    """Those of SynthesizeSpeech for the audio."""
    output = "pcm" if utterance.format == "wav" else utterance.format
    return _voiced(said, how) | {"OutputFormat": output, "SampleRate": str(how.sample_rate)}


def mark_arguments(said: Said, how: Settled) -> dict[str, Any]:
    """Those of SynthesizeSpeech for the speech marks."""
    return _voiced(said, how) | {"OutputFormat": "json", "SpeechMarkTypes": ["sentence", "word"]}


def marks(said: Said, lines: bytes) -> Iterator[Mark]:
    """The speech marks of one request. Raises `errors.MalformedAnswer`."""
    encoded = said.text.encode()
    for line in lines.splitlines():
        try:
            mark = msgspec.json.decode(line)
            start, end = (_characters(said, encoded[: mark[edge]]) for edge in ("start", "end"))
            yield Mark(kind=mark["type"], at_s=mark["time"] / 1000, start=start, end=end, text=mark["value"])
        except (msgspec.DecodeError, KeyError, TypeError):
            raise errors.MalformedAnswer("a speech mark cannot be read", provider=PROVIDER) from None


def _characters(said: Said, before: bytes) -> int:
    """Where in the caller's text a place in what was sent is, given all bytes before it."""
    text = before.decode(errors="ignore")
    if not said.words:
        return len(text)
    return len(unescape(text[len(said.before) :][: len(said.words)]))


def _voiced(said: Said, how: Settled) -> dict[str, Any]:
    given: dict[str, Any] = {
        "Text": said.text,
        "TextType": "ssml" if said.ssml else "text",
        "VoiceId": how.voice.name,
        "Engine": how.engine,
    }
    if how.language != how.voice.languages[0]:
        given["LanguageCode"] = how.language
    return given


def _fits(piece: str, prosody: str, *, plain: bool) -> bool:
    if _billed(piece) > BILLED:
        return False
    return plain or len(escape(piece)) + len(prosody) + 100 <= TOTAL


def _billed(text: str) -> int:
    """Its characters as a service written in Java counts them."""
    return len(text) + sum(1 for character in text if character > "\uffff")


def _prosody(utterance: Utterance) -> str:
    rate = f' rate="{utterance.rate * 100:.0f}%"' if utterance.rate != 1 else ""
    volume = f' volume="{utterance.volume_db:+.1f}dB"' if utterance.volume_db else ""
    return f"<prosody{rate}{volume}>" if rate or volume else ""


def _break(seconds: float) -> str:
    return f'<break time="{seconds * 1000:.0f}ms"/>' if seconds else ""
