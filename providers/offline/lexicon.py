"""The word lists of this provider, read from the TOML files beside it when they are first needed."""

import functools
import re
import tomllib
from pathlib import Path
from typing import Any

from providers.offline.patterns import Entry


@functools.cache
def load(language: str) -> dict[str, Any]:
    """The file of `language`, its macros filled in."""
    raw = tomllib.loads((Path(__file__).parent / f"lexicon_{language}.toml").read_text(encoding="utf-8"))
    macros = raw.pop("macros", {})
    filled: dict[str, Any] = _filled(raw, macros)
    return filled


def entries(language: str, section: str) -> list[Entry]:
    """The pairs of a section that is a list of tables with `find` and `put`."""
    return [(find, table["put"]) for table in load(language)[section] for find in table["find"]]


def _filled(value: Any, macros: dict[str, str]) -> Any:
    if isinstance(value, str):
        for name in reversed(macros):
            value = value.replace(name, macros[name])
        return value
    if isinstance(value, list):
        return [_filled(item, macros) for item in value]
    return {name: _filled(item, macros) for name, item in value.items()}


@functools.cache
def _disguised() -> re.Pattern[str]:
    return re.compile("|".join([*load("ko")["disguised"], *load("en")["disguised"]]), re.IGNORECASE)


def is_disguised_swear(word: str) -> bool:
    """Whether `word` is a swear word spelt with digits or signs, such as 씨1발 or sh1t, and so no fact."""
    return _disguised().fullmatch(word) is not None
