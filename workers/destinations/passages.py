"""Cuts a long text into passages that each fit into one block of Slack.

A cut falls between paragraphs, else lines, sentences, words; never inside what reads as one character, and a code block
that has to be cut is closed and opened again.
"""

import re
import unicodedata
from collections.abc import Iterator

_FENCE = re.compile(r"`{3,}")
_LANGUAGE = re.compile(r"^( {0,3}`{3,})[\w+#.-]+[ \t]*$", re.MULTILINE)
"""Slack would show it as the first line of the code."""
_OPEN, _CLOSE = "```\n", "\n```"
_LINES = (re.compile(r"\n[ \t]*\n+"), re.compile(r"\n"))
_PROSE = (
    *_LINES,
    re.compile(r"[.!?…]+[)\]\"'”’」』]*\s+|[。！？]+[」』”’）]*"),  # sentences
    re.compile(r"\s+"),
)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escaped(text: str) -> str:
    """The text as Slack's mrkdwn takes it literally: no mention, no channel, no link can be made by it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def size(text: str) -> int:
    """What the text counts for once it is escaped, in UTF-16 units: Slack does not say what its characters are."""
    return sum(map(_cost, text))


def passages(text: str, room: int) -> Iterator[str]:
    """The text, escaped, in passages of at most `room` UTF-16 units (at least 32); white space between them is lost."""
    text = _LANGUAGE.sub(r"\1", text).strip("\n")
    start, fenced = 0, False
    while start < len(text):
        end = _end(text, start, room - len(_OPEN) - len(_CLOSE), fenced=fenced)
        piece = text[start:end]
        opened = fenced
        fenced ^= len(_FENCE.findall(piece)) % 2 == 1
        shown = piece.strip("\n") if opened or fenced else piece.strip()
        if shown:
            yield (_OPEN if opened else "") + escaped(shown) + (_CLOSE if fenced else "")
        start = end


def _end(text: str, start: int, room: int, *, fenced: bool) -> int:
    """Where the passage that begins at `start`, inside a code block or not, ends."""
    reach = _reach(text, start, room)
    if reach == len(text):
        return reach
    end = _cut(text, start, reach, fenced=fenced)
    fences = list(_FENCE.finditer(text, start, end))
    inside = fenced ^ (len(fences) % 2 == 1)
    if inside and (close := re.compile(r"\n?`{3}(?!`)").match(text, end)):
        return close.end()  # what is left of the code block is its end, for which there is room
    if inside and fences and not text[fences[-1].end() : end].strip() and text[start : fences[-1].start()].strip():
        return fences[-1].start()  # the code block would only begin here
    return end


def _reach(text: str, start: int, room: int) -> int:
    """How far `room` units carry; at least one character."""
    position = start
    while position < len(text) and (room := room - _cost(text[position])) >= 0:
        position += 1
    return max(position, start + 1)


def _cut(text: str, start: int, reach: int, *, fenced: bool) -> int:
    """The best place for a cut in the second half of what could be taken, else the last one between characters."""
    floor = start + (reach - start) // 2
    for kind in _PROSE:
        for found in reversed(list(kind.finditer(text, floor, reach))):
            end = found.end()
            in_code = fenced ^ (len(_FENCE.findall(text, start, end)) % 2 == 1)
            if _separable(text, end) and (kind in _LINES if in_code else not _in_code_span(text, start, end)):
                return end
    return next((end for end in range(reach, start, -1) if _separable(text, end)), reach)


def _in_code_span(text: str, start: int, end: int) -> bool:
    """Whether `end` lies between two single backticks of its line."""
    line = text[max(start, text.rfind("\n", start, end) + 1) : end]
    return _FENCE.sub("", line).count("`") % 2 == 1


def _separable(text: str, at: int) -> bool:
    """Whether a reader sees two characters left and right of `at` (after the rules of UAX 29, a little stricter)."""
    left, right = text[at - 1], text[at]
    if left == right == "`" or (left, right) == ("\r", "\n"):
        return False
    if left == "\u200d" or right == "\u200d" or unicodedata.category(right) in ("Mn", "Mc", "Me"):
        return False
    if "\U0001f3fb" <= right <= "\U0001f3ff" or "\U000e0020" <= right <= "\U000e007f":
        return False  # the colour of a skin, the letters of a flag
    if _is_flag_letter(left) and _is_flag_letter(right):
        before = at - 1
        while before and _is_flag_letter(text[before - 1]):
            before -= 1
        return (at - before) % 2 == 0
    # Hangul in single letters, as some systems write it: vowels and finals belong to what stands before them.
    final = "\u1160" <= right <= "\u11ff" or "\ud7b0" <= right <= "\ud7fb"
    return not (final or (_is_initial(left) and _is_initial(right)))


def _is_flag_letter(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _is_initial(character: str) -> bool:
    return "\u1100" <= character <= "\u115f" or "\ua960" <= character <= "\ua97c"


def _cost(character: str) -> int:
    return len(_ENTITIES.get(character, "")) or (2 if character > "\uffff" else 1)
