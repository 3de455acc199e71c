"""Where a sentence may be cut to save time: at a clause, so that sound starts early, or where it is too long."""

import re

from speech.segmentation import characters, korean

CLAUSE_MARKS = ",，、;；:：—"
SHORTEST_CLAUSE = 12
"""Columns that a first clause must have: six Korean syllables, a dozen letters."""

LONGEST = 240
"""Columns of a segment at most: 120 Korean syllables, some 20 seconds of speech."""

_PARTICLE = re.compile(
    r"(?:[はがをにでともへて]|から|ので|けど|まで|より)(?=[\u30a0-\u30ff\u3400-\u9fff])|[的了吗呢吧呀](?=[\u3400-\u9fff])"
)
_CLAUSE = re.compile(rf"[{CLAUSE_MARKS}](?!\d)")
_SPACE = re.compile(r"\s+")
_CONTINUING = re.compile(rf"[\u0300-\u036f\u3099\u309a{characters.EMOJI}]")


def edge(text: str, start: int, end: int) -> int:
    """The first index in `[start, end)` whose character is one too many for a segment begun at `start`, or -1."""
    if end - start <= LONGEST // 2 or characters.width(text[start:end]) <= LONGEST:
        return -1
    used = 0
    for at in range(start, end):
        used += 2 if characters.WIDE.match(text, at) else 1
        if used > LONGEST:
            return at
    return -1


def cut_before(text: str, start: int, limit: int) -> int:
    """Where best to cut `text[start:limit + 1]`: behind a clause, else a word, a particle, or any character.

    The answer is above `start` and at most `limit`.
    """
    floor = start + (limit - start) // 3
    for find in (_last_clause, _last_connective, _last_space, _last_particle):
        cut = find(text, floor, limit)
        if cut > floor:
            return cut
    for cut in range(limit, floor, -1):
        if not _joined(text, cut):
            return cut
    return limit


def _last_clause(text: str, floor: int, limit: int) -> int:
    return max((match.end() for match in _CLAUSE.finditer(text, floor, limit)), default=-1)


def _last_connective(text: str, floor: int, limit: int) -> int:
    cuts = (match.end() for match in _SPACE.finditer(text, floor, limit) if korean.connective(text[: match.start()]))
    return max((cut for cut in cuts if not korean.auxiliary(text[cut : cut + 1])), default=-1)


def _last_space(text: str, floor: int, limit: int) -> int:
    return max((match.end() for match in _SPACE.finditer(text, floor, limit + 1) if match.end() <= limit), default=-1)


def _last_particle(text: str, floor: int, limit: int) -> int:
    return max(
        (match.end() for match in _PARTICLE.finditer(text, floor, limit + 1) if match.end() <= limit), default=-1
    )


def _joined(text: str, cut: int) -> bool:
    """Whether a cut here would tear a Latin word, a number or what is drawn as one character."""
    before, after = text[cut - 1], text[cut]
    if _CONTINUING.match(after) or before == "\u200d":
        return True
    return before.isascii() and after.isascii() and not before.isspace()
