"""Hundreds of patterns searched for in one go.

Python's `re` tries the alternatives of a pattern one after another at every place, a millisecond for a sentence. Here
the first character at a place chooses the few that can fit; these are compiled when they are first needed.
"""

import functools
import re
from collections.abc import Iterable

Entry = tuple[str, str]
"""A pattern, and what is put in the place of what it finds."""

_ANY = frozenset({""})
"""In a set of first characters: any character."""
_ZERO_WIDTH = re.compile(r"\(\?<?[=!]|[\^$]|\\b")
_CLASS = re.compile(r"\[((?:\\.|[^\]])+)\]")
_ESCAPED = {"s": frozenset(" \t"), "w": _ANY, "d": _ANY, "S": _ANY, "W": _ANY, "D": _ANY}
_QUANTIFIER = re.compile(r"[?*+]|\{(\d+),?\d*\}")


class Rules:
    """Patterns and what replaces them. Where several fit, the first wins."""

    def __init__(self, entries: Iterable[Entry], *, before: str = "", after: str = "", flags: int = 0) -> None:
        """`before` (of fixed width) and `after` must fit around each entry; entries have no capturing groups.

        Every entry must be able to start with some definite characters, and `flags` apply to all.
        """
        self._after, self._flags, self._any_case = after, flags, bool(flags & re.IGNORECASE)
        self._puts: list[str] = []
        self._starting: dict[str, list[tuple[int, str]]] = {}
        for index, (find, put) in enumerate(entries):
            self._puts.append(put)
            characters, empty = first_characters(find)
            if empty or characters & _ANY:
                raise ValueError(f"pattern can start with anything: {find}")
            for character in {c.lower() for c in characters} if self._any_case else characters:
                self._starting.setdefault(character, []).append((index, find))
        self._start = re.compile(f"{before}[{re.escape(''.join(self._starting))}]", flags)
        self._compiled: dict[str, re.Pattern[str]] = {}

    def search(self, text: str, position: int = 0) -> tuple[int, int, str] | None:
        """Start and end of the first thing found from `position` on, and what replaces it."""
        while start := self._start.search(text, position):
            position = start.start()
            found = self._at(text[position]).match(text, position)
            if found and found.end() > position:
                return position, found.end(), self._puts[int((found.lastgroup or "r0")[1:])]
            position += 1
        return None

    def apply(self, text: str) -> str:
        """`text` with everything replaced that is found."""
        pieces: list[str] = []
        position = 0
        while found := self.search(text, position):
            start, end, put = found
            pieces += text[position:start], put
            position = end
        return "".join([*pieces, text[position:]]) if pieces else text

    def _at(self, character: str) -> re.Pattern[str]:
        key = character.lower() if self._any_case else character
        if key not in self._compiled:
            united = "|".join(f"(?P<r{index}>{find})" for index, find in self._starting[key])
            self._compiled[key] = re.compile(f"(?:{united}){self._after}", self._flags)
        return self._compiled[key]


def first_characters(pattern: str) -> tuple[frozenset[str], bool]:
    """The characters that a match of `pattern` can start with (`""` among them: any), and whether it can be empty.

    Knows what the word lists use: literals, classes, groups, alternatives, quantifiers, anchors and lookarounds.
    """
    characters, empty, end = _alternatives(pattern, 0)
    if end < len(pattern):
        raise ValueError(f"unbalanced: {pattern}")
    return characters, empty


def _alternatives(pattern: str, at: int) -> tuple[frozenset[str], bool, int]:
    """As `first_characters`, for the alternatives from `at` to the end of their group, and where that is."""
    found: frozenset[str] = frozenset()
    can_be_empty, open_so_far = False, True
    while at < len(pattern) and pattern[at] != ")":
        if pattern[at] == "|":
            can_be_empty, open_so_far, at = can_be_empty or open_so_far, True, at + 1
            continue
        characters, empty, at = _atom(pattern, at)
        if quantifier := _QUANTIFIER.match(pattern, at):
            empty = empty or quantifier.group() in "?*" or quantifier[1] == "0"
            at = quantifier.end() + (pattern[quantifier.end() : quantifier.end() + 1] in ("?", "+"))
        if open_so_far:
            found |= characters
            open_so_far = empty
    return found, can_be_empty or open_so_far, at


def _atom(pattern: str, at: int) -> tuple[frozenset[str], bool, int]:
    """As `_alternatives`, for the one thing at `at`, without its quantifier."""
    if zero_width := _ZERO_WIDTH.match(pattern, at):
        if not zero_width.group().startswith("("):
            return frozenset(), True, zero_width.end()
        return frozenset(), True, _alternatives(pattern, zero_width.end())[2] + 1
    if pattern.startswith("(?:", at):
        characters, empty, end = _alternatives(pattern, at + 3)
        return characters, empty, end + 1
    if listed := _CLASS.match(pattern, at):
        return _listed(listed[1]), False, listed.end()
    if pattern[at] == "\\":
        return _ESCAPED.get(pattern[at + 1], frozenset(pattern[at + 1])), False, at + 2
    return _ANY if pattern[at] == "." else frozenset(pattern[at]), False, at + 1


@functools.cache
def _listed(inside: str) -> frozenset[str]:
    """The characters of a class, given what stands between its brackets."""
    if inside[0] == "^" or any(f"\\{c}" in inside for c in "wdSDW"):
        return _ANY
    plain = inside.replace("\\s", " \t")
    ranges = re.findall(r"\\?(.)-\\?(.)", plain)
    single = re.sub(r"\\?.-\\?.", "", plain).replace("\\", "")
    return frozenset(single).union(*({chr(c) for c in range(ord(a), ord(b) + 1)} for a, b in ranges))
