"""Whether a sentence ends at a mark, judged by what stands before it and as little as needed of what follows.

Every judgement depends on the text alone and never on how much of it has come: it is a place to cut, `NO`, or `LATER`
when what has come does not decide. So the same text has the same sentences however it was cut into deltas.
"""

import re

import msgspec

from speech.segmentation import abbreviations, characters, clauses, korean
from speech.segmentation.abbreviations import Kind

NO = -1
LATER = -2

_AHEAD = 200
"""Characters that are looked through at most: spaces, repeated marks."""

_DRAWN = re.compile(rf"(?:[\sㅋㅎㅠㅜ{characters.EMOJI}]|[:;=]-?[)(DPp])+")
_NOT_SPACE = re.compile(r"\S")
_LATIN_WORD = re.compile(r"[A-Za-zÀ-ɏ]+(?:['’][A-Za-z]+)?")
_WORD_BEFORE = re.compile(r"[A-Za-zÀ-ɏ]+(?:\.[A-Za-zÀ-ɏ]+)*$")
_NUMBER_BEFORE = re.compile(r"\d+$")
_DATE_BEFORE = re.compile(r"\d{1,4}\.\s?\d{1,2}\.$")
_LIST_LETTER = re.compile(r"[A-Za-z]|[IVXivx]{1,4}")
_SPACES = re.compile(rf"(?:[ \t\u3000]*[{characters.EMOJI}]+)*[ \t\u3000]*(?:\s*\n)?")
_TRAILING = re.compile(rf"[{re.escape(characters.MARKS)}*_]*" + _SPACES.pattern)
_STRONG = re.compile("[!?！？。｡]")
_EMOJI = re.compile(f"[{characters.EMOJI}]")
_SPEAKERS = "他她我你它"
_SAYING = "问問说說道喊答叫笑"
_JAPANESE_PARTICLES = "とってはがをにのでもなかだ"


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
        found = _NOT_SPACE.search(self.text, index, index + _AHEAD)
        if found is not None:
            return found.start()
        if len(self.text) >= index + _AHEAD:
            return index + _AHEAD - 1
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


def after_mark(place: Place) -> int:
    """Judges one of `characters.MARKS`, the first of its run."""
    text, at = place.text, place.at
    line = text[max(place.start, text.rfind("\n", 0, at) + 1) : at]
    if line.lstrip(characters.LEADING).startswith("|"):
        return NO
    run = characters.RUN.match(text, at)
    end = at + 1 if run is None else run.end()
    marks = place.open()
    if not marks and _certain(place):
        return _with_spaces(text, end, _TRAILING)
    if text[at] in "…‥" + characters.PERIODS and (strong := _STRONG.search(text, at, end)) is not None:
        return after_mark(msgspec.structs.replace(place, at=strong.start()))
    if end == len(text):
        return place.missing() if end - at < _AHEAD else NO
    closers = characters.CLOSERS + characters.EMPHASIS + ("\"'" if marks else "")
    close = end
    while close < len(text) and text[close] in closers:
        close += 1
    if close == len(text):
        return place.missing() if close - end < _AHEAD else NO
    if any(char not in characters.EMPHASIS for char in text[end:close]):
        return _after_closer(place, marks, close)
    following = text[close]
    if following.isspace():
        return _before_space(place, end - at, close)
    return _before_character(place, end - at, close)


def _certain(place: Place) -> bool:
    """Whether the mark ends its sentence whatever follows. Nothing is open."""
    text, at = place.text, place.at
    mark, before = text[at], text[at - 1]
    if mark in characters.FULL_STOPS:
        return True
    if characters.hangul(before):
        return mark in "!?！？" or (at - 2 >= place.start and korean.final(text[at - 2], before))
    if mark in "！？":
        return not place.japanese()
    if mark in "!?":
        if characters.kana(before) or characters.han(before):
            return not place.japanese()
        return not before.isspace() and not _in_address(text, place.start, at)
    return False


def _in_address(text: str, start: int, at: int) -> bool:
    begin = at
    while begin > start and not text[begin - 1].isspace() and text[begin - 1].isascii():
        begin -= 1
    token = text[begin:at]
    return "/" in token or "](" in token or token.startswith("www.")


def _with_spaces(text: str, end: int, trailing: re.Pattern[str] = _SPACES) -> int:
    match = trailing.match(text, end)
    return end if match is None else match.end()


def _before_space(place: Place, length: int, close: int) -> int:
    text, at = place.text, place.at
    mark, before = text[at], text[at - 1]
    if mark in "…‥" or (length > 1 and mark in characters.PERIODS):
        return _after_ellipsis(place, close)
    if mark not in characters.PERIODS:
        return _with_spaces(text, close)
    if before.isdigit():
        return _after_number(place, close)
    head = text[place.speech : at]
    if characters.hangul(before):
        return NO if len(head) == 1 and before in korean.ENUMERATORS else _with_spaces(text, close)
    if not characters.latin(before):
        return _with_spaces(text, close)
    if _LIST_LETTER.fullmatch(head):
        return NO
    return _after_word(place, close)


def _after_ellipsis(place: Place, close: int) -> int:
    following = place.ahead(close)
    if following < 0:
        return following
    if not place.text[following].isupper():
        return NO
    word = _word(place, following)
    if isinstance(word, int):
        return word
    return NO if word.split("'")[0].split("’")[0] == "I" else following


def _after_word(place: Place, close: int) -> int:
    """A word of Latin letters, a period, a space."""
    text = place.text
    match = _WORD_BEFORE.search(text, max(place.start, place.at - 24), place.at)
    word = match[0] if match else ""
    kind = abbreviations.kind(word)
    initial = len(word) == 1 and word.isupper()
    if kind is Kind.JOINED:
        return NO
    if kind is Kind.NONE and not initial:
        return _with_spaces(text, close)
    following = place.ahead(close)
    if following < 0:
        return following
    char = text[following]
    if kind is Kind.NUMBERED:
        return NO if char.isdigit() else following
    if char.islower() or char.isdigit() or char in ",;:)&+-–":
        return NO
    if not characters.latin(char):
        return following if kind is Kind.CLOCK or (kind is Kind.EITHER and not char.isalpha()) else NO
    if kind is Kind.EITHER:
        return following
    return _before_name(place, kind, word, following)


def _before_name(place: Place, kind: Kind, word: str, following: int) -> int:
    """A capitalised word follows: is it part of the name, or does it open a sentence?"""
    next_word = _word(place, following)
    if isinstance(next_word, int):
        return next_word
    if kind is Kind.CLOCK:
        return NO if next_word in abbreviations.AFTER_CLOCK else following
    if next_word in abbreviations.OPENING:
        initials = next_word == "I" and place.text[following + 1 : following + 2] == "."
        return NO if initials else following
    return following if word == "I" and _small_word_before(place) else NO


def _small_word_before(place: Place) -> bool:
    words = place.text[place.start : place.at - 1].split()
    return bool(words) and words[-1].islower()


def _word(place: Place, begin: int) -> str | int:
    """The whole Latin word at `begin`, or `LATER` while it may go on."""
    match = _LATIN_WORD.match(place.text, begin, begin + 24)
    word = match[0] if match else ""
    unfinished = place.text[begin + len(word) :] in ("", "'", "’")
    return LATER if unfinished and len(word) < 24 and not place.ended else word


def _after_number(place: Place, close: int) -> int:
    """Digits, a period, a space: a list, a date, or the end of a sentence."""
    text, at = place.text, place.at
    number = _NUMBER_BEFORE.search(text, place.start, at)
    digits = number[0] if number else ""
    begin = at - len(digits)
    before = text[place.start : begin].rstrip()
    if len(digits) <= 3 and (begin <= place.speech or before.endswith((":", "："))):
        return NO
    following = place.ahead(close)
    if following < 0:
        return following
    char = text[following]
    if char.isdigit():
        return NO if place.korean() or _DATE_BEFORE.search(text, place.start, at + 1) else following
    if len(digits) <= 2 and _numbered(text[place.start : begin], int(digits) - 1):
        return begin
    if characters.hangul(char):
        return NO if _DATE_BEFORE.search(text, place.start, at + 1) else following
    return NO if char.islower() or char in ",;:)-–~" else following


def _numbered(text: str, number: int) -> bool:
    """Whether `number.` opens an item of a list in `text`, which ends where the next item would begin."""
    return number > 0 and text[-1:].isspace() and re.search(rf"(?:^|[\s:：]){number}\.\s", text) is not None


def _before_character(place: Place, length: int, close: int) -> int:
    """Something follows the mark directly."""
    text, at = place.text, place.at
    mark, before, following = text[at], text[at - 1], text[close]
    if _EMOJI.match(following):
        return close
    if characters.kana(following) and mark in "!?！？":
        return NO if following in "とっ" else close
    if mark in "…‥" or (length > 1 and mark in characters.PERIODS):
        return NO
    if mark not in characters.PERIODS:
        joined = following.isascii() and (
            before.isspace() or not following.isalnum() or _in_address(text, place.start, at)
        )
        return NO if joined or following in clauses.CLAUSE_MARKS else close
    if characters.latin(before) and (characters.kana(following) or characters.han(following)):
        return NO if _abbreviated(place) or not text[at - 2 : at].isalpha() else close
    if before.isdigit() or before.isspace() or characters.latin(before):
        return NO
    if characters.hangul(following) or characters.han(following) or characters.kana(following):
        return close
    return close if following in characters.OPENERS and not following.isascii() else NO


def _after_closer(place: Place, marks: str, close: int) -> int:
    """A quotation or bracket has ended with its sentence."""
    text = place.text
    following = text[close]
    if not marks:
        return NO
    if text[place.at] in characters.PERIODS and _abbreviated(place):
        return NO
    if following.isspace():
        return _after_closer_and_space(place, close)
    if characters.kana(following):
        return NO if following in _JAPANESE_PARTICLES else close
    if characters.han(following):
        return _before_speaker(place, close)
    if following in characters.OPENERS or _EMOJI.match(following):
        return close
    return close if characters.latin(following) and text[place.at] not in ".!?" else NO


def _abbreviated(place: Place) -> bool:
    match = _WORD_BEFORE.search(place.text, max(place.start, place.at - 24), place.at)
    return match is not None and abbreviations.kind(match[0]) is not Kind.NONE


def _after_closer_and_space(place: Place, close: int) -> int:
    text = place.text
    following = place.ahead(close)
    if following < 0:
        return following
    char = text[following]
    if "\n" in text[close:following]:
        return NO
    if char.islower() or char in clauses.CLAUSE_MARKS:
        return NO
    if characters.hangul(char):
        if char in korean.QUOTING_STARTS and following + 3 > len(text) and not place.ended:
            return LATER
        return NO if korean.quotes(text[following : following + 3]) else following
    return following


def _before_speaker(place: Place, close: int) -> int:
    """Chinese: “…？”他问 goes on, “…。”然后 does not."""
    text = place.text
    if text[close] in _SAYING:
        return NO
    if text[close] not in _SPEAKERS:
        return close
    if close + 1 == len(text):
        return close if place.ended else LATER
    return NO if text[close + 1] in _SAYING else close


def after_face(place: Place) -> int:
    """Judges an emoji or emoticon such as people put behind a sentence."""
    text = place.text
    begin = place.at
    while begin > place.speech and _DRAWN.match(text, begin - 1):
        begin -= 1
    if begin <= place.speech:
        return NO
    before = text[begin - 1]
    drawn = _DRAWN.match(text, place.at + 1, place.at + _AHEAD)
    following = place.at + 1 if drawn is None else drawn.end()
    if following >= len(text):
        return place.missing()
    if "\n" in text[place.at : following]:
        return NO
    char = text[following]
    if characters.hangul(before):
        return NO if before in korean.PARTICLES or not char.isalnum() or char.islower() else following
    if characters.latin(char):
        return following if char.isupper() and text[following - 1].isspace() else NO
    return following if char.isalnum() and not char.isdigit() else NO


def after_unmarked(place: Place) -> int:
    """Judges the space behind one of `korean.UNMARKED`."""
    text = place.text
    if characters.width(text[place.speech : place.at]) < clauses.SHORTEST_CLAUSE or place.open():
        return NO
    following = place.ahead(place.at)
    if following < 0:
        return following
    if "\n" in text[place.at : following]:
        return NO
    char = text[following]
    if characters.hangul(char):
        if char in korean.QUOTING_STARTS and following + 2 > len(text) and not place.ended:
            return LATER
        return NO if korean.quotes(text[following : following + 2]) else following
    return following if char.isdigit() or char.isupper() else NO


def after_clause(place: Place) -> int:
    """Judges one of `clauses.CLAUSE_MARKS`, or the space behind a Korean word."""
    text, at = place.text, place.at
    if characters.width(text[place.speech : at]) < clauses.SHORTEST_CLAUSE or place.open():
        return NO
    mark = text[at]
    if mark.isspace():
        return _after_connective(place)
    if mark == "、" and not place.japanese():
        return NO
    if mark in ",:;" and (mark != "," or text[at - 1].isdigit()):
        if at + 1 == len(text):
            return place.missing()
        if not text[at + 1].isspace():
            return NO
        following = place.ahead(at + 1)
        if following < 0:
            return following
        return NO if text[following].isdigit() else _with_spaces(text, at + 1)
    return _with_spaces(text, at + 1)


def _after_connective(place: Place) -> int:
    if not korean.connective(place.text[place.speech : place.at]):
        return NO
    following = place.ahead(place.at)
    if following < 0:
        return following
    return NO if korean.auxiliary(place.text[following]) else following
