"""Polly's voices and formats, from its own tables."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from speech.service import AudioFormat, SpeakingCapabilities, Voice

_FORMATS: dict[AudioFormat, tuple[int, ...]] = {
    "mp3": (24_000, 8_000, 16_000, 22_050, 44_100, 48_000),
    "ogg_vorbis": (24_000, 8_000, 16_000, 22_050, 44_100, 48_000),
    "ogg_opus": (48_000,),
    "pcm": (16_000, 8_000),
    "wav": (16_000, 8_000),
}
"""Source: docs.aws.amazon.com/polly/latest/dg/API_SynthesizeSpeech.html, SampleRate. wav is its pcm behind a header."""


@cache
def table() -> dict[str, tuple[str, ...]]:
    """The names of each language's voices, the default one first."""
    return {language: tuple(row[0] for row in rows) for language, rows in _rows().items()}


@cache
def defaults() -> dict[str, str]:
    """The default voice of each language."""
    return {language: names[0] for language, names in table().items()}


@cache
def capabilities() -> SpeakingCapabilities:
    """What Polly can do. Voices that speak several languages come once."""
    voices: dict[str, Voice] = {}
    for language, rows in _rows().items():
        for name, gender, *engines in rows:
            known = voices.get(name)
            spoken = (*known.languages, language) if known else (language,)
            voices[name] = Voice(name=name, languages=spoken, engines=tuple(engines), gender=gender)
    return SpeakingCapabilities(
        languages=tuple(table()), voices=tuple(voices.values()), formats=dict(_FORMATS), ssml=True, marks=True
    )


@cache
def _rows() -> dict[str, list[Any]]:
    text = Path(__file__).with_name("voices.toml").read_text(encoding="utf-8")
    rows: dict[str, list[Any]] = tomllib.loads(text)["voices"]
    return rows
