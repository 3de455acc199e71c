"""The languages of Transcribe, and which of its parameters say the one that is wanted.

Source: docs.aws.amazon.com/transcribe/latest/dg/supported-languages.html
"""

from collections.abc import Sequence

from speech import errors, languages
from speech.service import Recording


def _tags(text: str) -> tuple[str, ...]:
    return tuple(text.split())


STREAMING = _tags(
    """
    ko-KR en-US en-GB en-AU en-IN en-IE en-NZ en-ZA en-AB en-WL ja-JP zh-CN zh-TW zh-HK sv-SE da-DK no-NO fi-FI de-DE
    de-CH nl-NL fr-FR fr-CA es-ES es-US ca-ES eu-ES gl-ES pt-BR pt-PT it-IT pl-PL cs-CZ sk-SK hr-HR sr-RS ro-RO el-GR
    ru-RU uk-UA lv-LV hi-IN id-ID ms-MY th-TH tl-PH vi-VN ar-AE ar-SA fa-IR he-IL af-ZA so-SO zu-ZA
    """
)
BATCH = (
    *STREAMING,
    *_tags(
        """
    tr-TR es-MX ta-IN te-IN bn-IN gu-IN kn-IN ml-IN mr-IN or-IN pa-IN bg-BG bs-BA et-EE hu-HU is-IS lt-LT mk-MK mt-MT
    sl-SI sq-AL hy-AM ka-GE kk-KZ mn-MN si-LK sw-KE am-ET km-KH my-MM ga-IE gd-GB cy-GB
    """
    ),
)
CANDIDATES = ("ko-KR", "en-US", "ja-JP", "zh-CN", "sv-SE")
"""Where the language is to be found out and nobody says among which: the ones this product is made for."""
_UNSPACED = ("ja", "zh", "th", "my", "km")


def fixed(recording: Recording, offered: Sequence[str], *, provider: str) -> str | None:
    """The language that the recording is said to be in; `None` if that is to be found out.

    Raises `errors.Unsupported`.
    """
    return _one(recording.language, offered, "language", provider) if recording.language else None


def candidates(recording: Recording, offered: Sequence[str], *, provider: str) -> tuple[str, ...]:
    """Those among which the language is to be found: at least two, of each language one dialect.

    Raises `errors.Unsupported`.
    """
    named = tuple(_one(language, offered, "languages", provider) for language in recording.languages) or CANDIDATES
    first: dict[str, str] = {}
    for tag in named:
        first.setdefault(tag.partition("-")[0], tag)
    if len(first) < 2:
        raise errors.Unsupported(
            "languages: name two or more different ones to choose from, or one as `language`", provider=provider
        )
    return tuple(first.values())


def joined(texts: Sequence[str], language: str) -> str:
    """Segments as one text."""
    return ("" if language.startswith(_UNSPACED) else " ").join(text for text in texts if text)


def _one(language: str, offered: Sequence[str], field: str, provider: str) -> str:
    found = languages.resolved(language, offered)
    if found is None:
        raise errors.Unsupported(
            f"{field}: {language[:40]!r} is not understood by {provider}; these are: {', '.join(offered)}",
            provider=provider,
        )
    return found
