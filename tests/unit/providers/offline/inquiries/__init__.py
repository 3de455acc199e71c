"""Angry inquiries, with what must be left of them and what must be gone."""

import tomllib
from pathlib import Path

import msgspec


class Inquiry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of them."""

    text: str
    keep: tuple[str, ...]
    gone: tuple[str, ...]
    soft: str | None = None
    """The whole softened text."""
    category: str | None = None


def load(language: str) -> list[Inquiry]:
    """All in `language`: `ko` or `en`."""
    raw = tomllib.loads((Path(__file__).parent / f"{language}.toml").read_text(encoding="utf-8"))
    return msgspec.convert(raw["inquiry"], list[Inquiry])
