"""What an utterance leaves open, decided; and what it asks for, checked, before any service is called."""

import msgspec

from speech import errors, languages
from speech.service import SpeakingCapabilities, Utterance, Voice
from speech.text import sayable

LONGEST = 100_000
"""Characters of one utterance."""
_RANGES = (
    ("rate", 0.5, 2.0),
    ("volume_db", -20.0, 6.0),
    ("pause_before_s", 0.0, 10.0),
    ("pause_after_s", 0.0, 10.0),
)


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """How an utterance is to be spoken."""

    voice: Voice
    engine: str
    language: str
    sample_rate: int


def settled(utterance: Utterance, able: SpeakingCapabilities, defaults: dict[str, str], *, provider: str) -> Settled:
    """How `utterance` is to be spoken by a service that is so `able`, whose voice for a language is in `defaults`.

    Raises `errors.BadText` and `errors.Unsupported`, which name the field and what would do.
    """
    _check_text(utterance, able, provider)
    voice, language = _voice(utterance, able, defaults, provider)
    engine = utterance.engine or voice.engines[0]
    if engine not in voice.engines:
        raise errors.Unsupported(
            f"engine: {voice.name} has {', '.join(voice.engines)}, not {engine!r}", provider=provider
        )
    rates = able.formats.get(utterance.format, ())
    if not rates:
        raise errors.Unsupported(
            f"format: {utterance.format!r} is not offered; one of {', '.join(able.formats)} is", provider=provider
        )
    if utterance.sample_rate and utterance.sample_rate not in rates:
        offered = ", ".join(map(str, sorted(rates)))
        raise errors.Unsupported(
            f"sample_rate: {utterance.format} has {offered} Hz, not {utterance.sample_rate}", provider=provider
        )
    return Settled(voice=voice, engine=engine, language=language, sample_rate=utterance.sample_rate or rates[0])


def _check_text(utterance: Utterance, able: SpeakingCapabilities, provider: str) -> None:
    if utterance.ssml and not able.ssml:
        raise errors.Unsupported("ssml: this service takes plain text only", provider=provider)
    if utterance.marks and not able.marks:
        raise errors.Unsupported("marks: this service cannot tell when words are spoken", provider=provider)
    if not sayable(utterance.text):
        raise errors.BadText("text: there is no word in it to be spoken", provider=provider)
    if len(utterance.text) > LONGEST:
        raise errors.BadText(
            f"text: {len(utterance.text):,} characters; at most {LONGEST:,} are spoken at once", provider=provider
        )
    for field, least, most in _RANGES:
        if not least <= getattr(utterance, field) <= most:
            raise errors.Unsupported(f"{field}: {least:g} to {most:g}", provider=provider)


def _voice(
    utterance: Utterance, able: SpeakingCapabilities, defaults: dict[str, str], provider: str
) -> tuple[Voice, str]:
    by_name = {voice.name.lower(): voice for voice in able.voices}
    if utterance.voice:
        voice = by_name.get(utterance.voice.lower())
        if voice is None:
            raise errors.Unsupported(
                f"voice: there is no {utterance.voice[:40]!r}; leave it out, or name one of"
                f" {', '.join(offered.name for offered in able.voices[:8])}…",
                provider=provider,
            )
        language = languages.resolved(utterance.language, voice.languages) if utterance.language else voice.languages[0]
        if language is None:
            raise errors.Unsupported(
                f"language: {voice.name} speaks {', '.join(voice.languages)}, not {utterance.language[:40]!r}",
                provider=provider,
            )
        return voice, language
    language = languages.resolved(utterance.language or "en", able.languages)
    if language is None:
        raise errors.Unsupported(
            f"language: {utterance.language[:40]!r} is not spoken by {provider}; {', '.join(able.languages)} are",
            provider=provider,
        )
    return by_name[defaults[language].lower()], language
