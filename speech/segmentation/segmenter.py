"""`Segmenter`: cuts a stream of text into what can be spoken, each piece as soon as its end is certain."""

import re
from typing import Literal

import msgspec

from speech.segmentation import boundaries, characters, clauses, korean, markdown, unmarked
from speech.segmentation.place import LATER, NO, Place

_PLAIN = rf"{re.escape(characters.MARKS)}\n{characters.FACES}"
_EVENT = "|".join(
    (
        f"(?<=[{_PLAIN}])",
        r"(?<=```)|(?<=~~~)|(?<=[:;=][)])|(?<=[:;=]-[)])",
        "(?<=[ㅋㅎㅠㅜ][ㅋㅎㅠㅜ])",
        "|".join(f"(?<={ending} )" for ending in korean.UNMARKED),
    )
)
"""Judged by what stands behind, so that the search can skip from one possible character to the next."""
_SENTENCES = re.compile(f"[{_PLAIN}`~)ㅋㅎㅠㅜ ](?:{_EVENT})")
_CLAUSES = re.compile(
    f"[{_PLAIN}`~)ㅋㅎㅠㅜ {clauses.CLAUSE_MARKS}](?:{_EVENT}|(?<=[{clauses.CLAUSE_MARKS}])|(?<=[가-힣] ))"
)
_FENCE_END = re.compile(r"\n[ \t]*(?:```+|~~~+)[ \t]*\n")
_LONGEST_CODE = 4000
_LONGEST_UNSPOKEN = 2000
_BREAK = re.compile(r"\s*\n|[ \t]*")


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the text; the `text` of all pieces, joined, is the text itself."""

    index: int
    """0, 1, 2 …"""
    text: str
    """Exactly what came, with whitespace and markdown."""
    spoken: str
    """What to synthesize: no markdown, emoji or outer whitespace. Empty if there is nothing to say (a code block)."""
    kind: Literal["sentence", "clause"]
    """`clause` if its sentence goes on in the next segment."""


class Segmenter:
    """Takes text as it comes and gives back segments; one for each reply.

    `language` is a code such as `ko` or `ko-KR`, None if unknown: it decides little, since the text shows most of it.
    With `clause_first` the first segment may end at a clause, which is heard earlier than a whole sentence. `first` is
    the index of the first segment, for a reply that goes on after one that broke off.

    What is spoken does not depend on how the text was cut into deltas. The texts may differ in whitespace, marks and
    emoji between two segments: what comes after a segment was given out opens the next one.
    """

    def __init__(self, language: str | None = None, clause_first: bool = False, *, first: int = 0) -> None:
        self._language = (language or "").replace("_", "-").split("-")[0].lower()
        self._clause = clause_first
        self._index = first
        self._text = ""
        self._start = 0
        self._scan = 0
        self._speech = -1
        self._carried = ""
        self._code = False
        self._fresh_line = True

    def feed(self, delta: str) -> list[Segment]:
        """Adds what came; the segments whose end is certain now, often none."""
        if not delta:
            return []
        self._text += delta
        return self._advance(ended=False)

    def end(self) -> list[Segment]:
        """Nothing more will come: the segments that are left."""
        segments = self._advance(ended=True)
        if self._start < len(self._text):
            segments.append(self._cut(len(self._text), "sentence"))
        self._text, self._start, self._scan = "", 0, 0
        return segments

    def _advance(self, *, ended: bool) -> list[Segment]:
        segments: list[Segment] = []
        while (segment := self._next(ended)) is not None:
            segments.append(segment)
        if self._start:
            self._text = self._text[self._start :]
            self._scan -= self._start
            self._speech = max(-1, self._speech - self._start)
            self._start = 0
        return segments

    def _next(self, ended: bool) -> Segment | None:
        while self._scan < len(self._text):
            if self._code:
                return self._code_block()
            self._find_speech()
            match = (_CLAUSES if self._clause else _SENTENCES).search(self._text, self._scan)
            at = len(self._text) if match is None else match.start()
            long = self._too_long(at)
            if long is not None:
                return long
            if match is None:
                self._scan = at
                break
            cut = self._judge(at, ended)
            if cut == LATER:
                self._scan = at
                break
            if cut > self._start:
                clause = self._clause and self._text[at] in clauses.CLAUSE_MARKS + " "
                return self._cut(cut, "clause" if clause and not self._unmarked(at) else "sentence")
            self._scan = self._past(at)
        return None

    def _past(self, at: int) -> int:
        run = characters.RUN.match(self._text, at)
        return at + 1 if run is None else run.end()

    def _find_speech(self) -> None:
        if self._speech < 0:
            word = characters.WORD.search(self._text, max(self._start, self._scan))
            self._speech = -1 if word is None else word.start()

    def _judge(self, at: int, ended: bool) -> int:
        mark = self._text[at]
        if mark in "`~":
            return self._fence(at)
        if self._speech < 0 or self._speech >= at:
            return NO
        if mark == "\n":
            match = _BREAK.match(self._text, at)
            return at + 1 if match is None else max(at + 1, match.end())
        place = Place(self._text, self._start, self._speech, at, self._carried, self._language, ended)
        if mark in characters.MARKS:
            return boundaries.after_mark(place)
        if mark == " " and self._unmarked(at):
            return unmarked.after_ending(place)
        if mark in clauses.CLAUSE_MARKS + " ":
            return unmarked.after_clause(place)
        return unmarked.after_face(place)

    def _unmarked(self, at: int) -> bool:
        return self._text[at] == " " and self._text[max(0, at - 2) : at] in korean.UNMARKED

    def _fence(self, at: int) -> int:
        """Three backticks at the start of a line begin a block that is not spoken."""
        line = self._text.rfind("\n", self._start, at) + 1
        head = self._text[line or self._start : at - 2]
        self._code = not head.strip() and (line > 0 or self._fresh_line)
        if self._code:
            self._scan = at
        return NO

    def _code_block(self) -> Segment | None:
        end = _FENCE_END.search(self._text, self._scan)
        if end is not None:
            self._code = False
            return self._cut(end.end(), "sentence", silent=True)
        last = self._text.rfind("\n", self._scan)
        if last >= 0:
            self._scan = last
        if len(self._text) - self._start > _LONGEST_CODE:
            return self._cut(max(self._scan, self._start + _LONGEST_CODE // 2), "sentence", silent=True)
        return None

    def _too_long(self, at: int) -> Segment | None:
        """The segment that its length ends, if it does so before `at`."""
        if self._speech < 0:
            if at - self._start <= _LONGEST_UNSPOKEN:
                return None
            return self._cut(at, "sentence", silent=True)
        limit = clauses.edge(self._text, self._speech, at)
        return None if limit < 0 else self._cut(clauses.cut_before(self._text, self._speech, limit), "clause")

    def _cut(self, end: int, kind: Literal["sentence", "clause"], *, silent: bool = False) -> Segment:
        text = self._text[self._start : end]
        silent = silent or self._code
        spoken = "" if silent else markdown.speakable(text)
        segment = Segment(index=self._index, text=text, spoken=spoken, kind=kind)
        if not silent:
            self._carried = characters.opened(text, self._carried)
        if spoken:
            self._clause = False
        self._index += 1
        self._fresh_line = text.endswith("\n")
        self._start = self._scan = end
        self._speech = -1
        return segment
