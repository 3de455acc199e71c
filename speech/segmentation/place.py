"""A place where the text might be cut, what is known around it, and the judgements that are no place."""

import re

import msgspec

from speech.segmentation import characters

NO = -1
"""Not here."""
LATER = -2
"""What has come does not decide."""
AHEAD = 200
"""Characters that are looked through at most: spaces, repeated marks."""

SPACES = re.compile(rf"(?:[ \t\u3000]*[{characters.EMOJI}]+)*[ \t\u3000]*(?:\s*\n)?")
_NOT_SPACE = re.compile(r"\S")


class Place(msgspec.Struct, frozen=True):
    """A mark in the text that has come, and what is known around it."""

    text: str
    start: int
    """Where the segment begins that the mark may end."""
    speech: int
    """Where its first letter or digit stands."""
    at: int
    """Where the mark stands."""
    carried: str
    """Brackets and quotation marks open before `start`."""
    language: str
    """Of two letters, or empty."""
    ended: bool
    """Nothing more will come."""

    def open(self) -> str:
        """Brackets and quotation marks open at the mark."""
        return characters.opened(self.text[self.start : self.at], self.carried)

    def ahead(self, index: int) -> int:
        """The first character at or after `index` that is no space; `LATER`, or `NO` if the text ends before one."""
        found = _NOT_SPACE.search(self.text, index, index + AHEAD)
        if found is not None:
            return found.start()
        if len(self.text) >= index + AHEAD:
            return index + AHEAD - 1
        return self.missing()

    def missing(self) -> int:
        """The judgement where the text has run out."""
        return NO if self.ended else LATER

    def japanese(self) -> bool:
        """Whether the segment is Japanese rather than Chinese."""
        return self.language == "ja" or any(map(characters.kana, self.text[self.start : self.at]))

    def korean(self) -> bool:
        """Whether a number with a period may be part of a Korean date."""
        if self.language:
            return self.language == "ko"
        return not any(map(characters.latin, self.text[self.start : self.at]))


def with_spaces(text: str, end: int, trailing: re.Pattern[str] = SPACES) -> int:
    """Where what belongs to a segment that ends at `end` is over: spaces, emoji, the end of the line."""
    match = trailing.match(text, end)
    return end if match is None else match.end()
