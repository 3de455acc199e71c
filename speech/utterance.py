"""What an utterance leaves open, decided; and what it asks for, checked, before any service is called."""

import msgspec

from speech import errors, languages
from speech.service import SpeakingCapabilities, Utterance, Voice
from speech.text import sayable

LONGEST = 100_000
"""Characters of one utterance."""
_NAMES = 12
"""So many voices are named where one is not there."""
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
    rates = _rates(utterance, able, provider)
    return Settled(voice=voice, engine=engine, language=language, sample_rate=utterance.sample_rate or rates[0])


def check(utterance: Utterance, able: SpeakingCapabilities, *, provider: str) -> None:
    """Raises `errors.Unsupported` if nothing, in whatever language, can be spoken like this: voice, format, speed."""
    _check_ranges(utterance, provider)
    _rates(utterance, able, provider)
    if utterance.voice and named(utterance.voice, able) is None:
        raise _no_voice(utterance, able, provider)


def named(name: str, able: SpeakingCapabilities) -> Voice | None:
    """The voice of that name, whatever its case."""
    return next((voice for voice in able.voices if voice.name.lower() == name.lower()), None)


def fitting(name: str, language: str, able: SpeakingCapabilities) -> tuple[str, str]:
    """The voice of that name, and the tag in which it speaks the language, if need be with its own accent.

    If it does not: no voice, which is the default one of the language or, if need be, of its usual accent.
    """
    voice = named(name, able) if name else None
    for found, offered in ((voice.name, voice.languages) if voice else ("", ()), ("", able.languages)):
        for wanted in (language, language.replace("_", "-").partition("-")[0]):
            if tag := languages.resolved(wanted, offered):
                return found, tag
    return "", language


def _rates(utterance: Utterance, able: SpeakingCapabilities, provider: str) -> tuple[int, ...]:
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
    return rates


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
    _check_ranges(utterance, provider)


def _check_ranges(utterance: Utterance, provider: str) -> None:
    for field, least, most in _RANGES:
        if not least <= getattr(utterance, field) <= most:
            raise errors.Unsupported(f"{field}: {least:g} to {most:g}", provider=provider)


def _voice(
    utterance: Utterance, able: SpeakingCapabilities, defaults: dict[str, str], provider: str
) -> tuple[Voice, str]:
    if utterance.voice:
        voice = named(utterance.voice, able)
        if voice is None:
            raise _no_voice(utterance, able, provider)
        language = languages.resolved(utterance.language, voice.languages) if utterance.language else voice.languages[0]
        if language is None:
            raise errors.Unsupported(
                f"language: {voice.name} speaks {', '.join(voice.languages)}, not {utterance.language[:40]!r};"
                f" leave the voice out{_or_one_of(utterance.language, able)}",
                provider=provider,
            )
        return voice, language
    language = languages.resolved(utterance.language or "en", able.languages)
    if language is None:
        raise errors.Unsupported(
            f"language: {utterance.language[:40]!r} is not spoken by {provider}; {', '.join(able.languages)} are",
            provider=provider,
        )
    default = named(defaults[language], able)
    assert default is not None  # noqa: S101 - both come from one table
    return default, language


def _no_voice(utterance: Utterance, able: SpeakingCapabilities, provider: str) -> errors.Unsupported:
    others = _or_one_of(utterance.language, able) or _or_one_of("", able)
    return errors.Unsupported(
        f"voice: there is no {utterance.voice[:40]!r} here; leave it out{others}", provider=provider
    )


def _or_one_of(language: str, able: SpeakingCapabilities) -> str:
    """How the advice to leave a voice out goes on: those of the language, or some of any."""
    tag = languages.resolved(language, able.languages) if language else None
    if language and tag is None:
        return ""
    names = [voice.name for voice in able.voices if tag is None or tag in voice.languages]
    more = "…" if len(names) > _NAMES else ""
    return f", or name one{f' that speaks {tag}' if tag else ''}: {', '.join(names[:_NAMES])}{more}"
