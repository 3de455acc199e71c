"""Text on its way to a voice: whether there is anything to say, and pieces that end where a speaker would pause."""

import re
from collections.abc import Callable, Iterator

_BREAKS = (
    re.compile(r"\n\s*\n"),
    re.compile(r"(?:(?<=[.!?…])[\"'”’»)\]]*(?=\s)|(?<=[。！？])[」』”’）]*)"),
    re.compile(r"(?:(?<=[,;:—])(?=\s)|(?<=[，、；：]))"),
    re.compile(r"\s+"),
)
"""Where a piece may end, the best kinds first: paragraph, sentence, clause, word."""


_UNSENDABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def sendable(text: str) -> str:
    """`text` with a space for every character that XML 1.0 cannot contain: control characters, lone surrogates."""
    return _UNSENDABLE.sub(" ", text)


def sayable(text: str) -> bool:
    """Whether there is a letter or digit in it."""
    return any(character.isalnum() for character in text)


def pieces(
    text: str, fits: Callable[[str], bool], sentences: Callable[[str], list[str]] | None = None
) -> Iterator[str]:
    """`text` in pieces that fit, as few and as evenly broken as their order allows; put together they are `text`.

    `sentences` splits better than the rules here, for whoever has something that does; its parts joined must be its
    argument. Each character by itself must fit.
    """
    if fits(text):
        if text:
            yield text
        return
    if sentences is not None and len(parts := sentences(text)) > 1:
        yield from _gathered(parts, fits, 1)
        return
    yield from _gathered(_split(text, _BREAKS[0]), fits, 1)


def _split(text: str, breaks: re.Pattern[str]) -> list[str]:
    ends = [match.end() for match in breaks.finditer(text)]
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True) if text[a:b]]


def _gathered(parts: list[str], fits: Callable[[str], bool], level: int) -> Iterator[str]:
    """The parts, as many together as fit; one that does not fit by itself is broken at the next kind of place."""
    held = ""
    for part in parts:
        if fits(held + part):
            held += part
            continue
        if held:
            yield held
        held = ""
        if fits(part):
            held = part
        elif level < len(_BREAKS):
            *whole, held = _gathered(_split(part, _BREAKS[level]), fits, level + 1)
            yield from whole
        else:
            *whole, held = _cut(part, fits)
            yield from whole
    if held:
        yield held


def _cut(part: str, fits: Callable[[str], bool]) -> list[str]:
    """A word without end, cut where it has to be."""
    cut: list[str] = []
    while part:
        size = 1
        while size < len(part) and fits(part[: size * 2]):
            size *= 2
        size = max(1, min(size, len(part)))
        cut.append(part[:size])
        part = part[size:]
    return cut
