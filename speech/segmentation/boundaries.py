"""Whether a sentence ends at a mark, judged by what stands before it and as little as needed of what follows.

Every judgement depends on the text alone and never on how much of it has come: it is a place to cut, `NO`, or `LATER`
when what has come does not decide. So the same text has the same sentences however it was cut into deltas.
"""

import re

import msgspec

from speech.segmentation import abbreviations, characters, clauses, korean
from speech.segmentation.abbreviations import Kind
from speech.segmentation.place import AHEAD, LATER, NO, SPACES, Place, with_spaces

_LATIN_WORD = re.compile(r"[A-Za-zÀ-ɏ]+(?:['’][A-Za-z]+)?")
_WORD_BEFORE = re.compile(r"[A-Za-zÀ-ɏ]+(?:\.[A-Za-zÀ-ɏ]+)*$")
_NUMBER_BEFORE = re.compile(r"\d+$")
_DATE_BEFORE = re.compile(r"\d{1,4}\.\s?\d{1,2}\.$")
_CLOCK_BEFORE = re.compile(r"(?<![\d.:])\d{1,2}[.:]\d{2}$")
_LIST_LETTER = re.compile(r"[A-Za-z]|[IVXivx]{1,4}")
_TRAILING = re.compile(rf"[{re.escape(characters.MARKS)}*_]*" + SPACES.pattern)
_DIALOGUE = re.compile(r"\s*[–—-]\s")
_MARKED_NAMES = ("Yahoo!", "Jeopardy!")
_STRONG = re.compile("[!?！？。｡]")
_EMOJI = re.compile(f"[{characters.EMOJI}]")
_SPEAKERS = "他她我你它"
_SAYING = "问問说說道喊答叫笑"
_HAN = re.compile("[\u3400-\u9fff]+")
_TO_SAYING = 8
"""Characters from the speaker to the verb, at most."""
_EYES = r"[\^_;:=´｀`・ω∀▽°дoOT><*'~ー￣≧≦-]"
_KAOMOJI = re.compile(rf"[(（](?:{_EYES}{{2,9}}[)）]|{_EYES}{{0,9}}$)")
_JAPANESE_PARTICLES = "とってはがをにのでもなかだ"


def after_mark(place: Place) -> int:
    """Judges one of `characters.MARKS`, the first of its run."""
    text, at = place.text, place.at
    line = text[max(place.start, text.rfind("\n", 0, at) + 1) : at]
    if line.lstrip(characters.LEADING).startswith("|"):
        return NO
    run = characters.RUN.match(text, at)
    end = at + 1 if run is None else run.end()
    marks = place.open()
    if marks[-1:] == "《":
        return NO
    if not marks and _certain(place):
        return with_spaces(text, end, _TRAILING)
    if text[at] in "…‥" + characters.PERIODS and (strong := _STRONG.search(text, at, end)) is not None:
        return after_mark(msgspec.structs.replace(place, at=strong.start()))
    if end == len(text):
        return place.missing() if end - at < AHEAD else NO
    closers = characters.CLOSERS + characters.EMPHASIS + ("\"'" if marks else "")
    close = end
    while close < len(text) and text[close] in closers:
        close += 1
    if close == len(text):
        return place.missing() if close - end < AHEAD else NO
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
        return not (before.isspace() or _goes_on_in_small(place) or _in_address(text, place.start, at))
    return False


def _goes_on_in_small(place: Place) -> bool:
    """Whether a small letter after `?` or `!` goes on: behind a line of dialogue, or a name that ends in a mark."""
    return _DIALOGUE.match(place.text, place.start) is not None or place.text.endswith(_MARKED_NAMES, 0, place.at + 1)


def _in_address(text: str, start: int, at: int) -> bool:
    begin = at
    while begin > start and not text[begin - 1].isspace() and text[begin - 1].isascii():
        begin -= 1
    token = text[begin:at]
    return "/" in token or "](" in token or token.startswith("www.")


def _before_space(place: Place, length: int, close: int) -> int:
    text, at = place.text, place.at
    mark, before = text[at], text[at - 1]
    if mark in "…‥" or (length > 1 and mark in characters.PERIODS):
        return _after_ellipsis(place, close)
    if mark not in characters.PERIODS:
        return _before_small(place, close) if _goes_on_in_small(place) else with_spaces(text, close)
    if before.isdigit():
        return _after_number(place, close)
    head = text[place.speech : at]
    if characters.hangul(before):
        return NO if len(head) == 1 and before in korean.ENUMERATORS else with_spaces(text, close)
    if not characters.latin(before):
        return with_spaces(text, close)
    if _LIST_LETTER.fullmatch(head):
        return NO
    return _after_word(place, close)


def _before_small(place: Place, close: int) -> int:
    following = place.ahead(close)
    if following < 0:
        return following
    char = place.text[following]
    return NO if char.islower() or characters.hangul(char) else following


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
        return with_spaces(text, close)
    following = place.ahead(close)
    if following < 0:
        return following
    char = text[following]
    if kind is Kind.NUMBERED and not (initial and characters.latin(char)):
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
    if char.islower():
        return following if _CLOCK_BEFORE.search(text, place.start, at) else NO
    return NO if char in ",;:)-–~" else following


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
    if following in "(（" and (face := _KAOMOJI.match(text, close)) is not None:
        return with_spaces(text, face.end()) if text[face.end() - 1] in ")）" else place.missing()
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
    """Chinese: “…？”他小声地问 goes on, “…。”然后 does not."""
    text = place.text
    if text[close] in _SAYING:
        return NO
    if text[close] not in _SPEAKERS:
        return close
    words = _HAN.match(text, close + 1, close + 1 + _TO_SAYING)
    end = close + 1 if words is None else words.end()
    if any(char in _SAYING for char in text[close + 1 : end]):
        return NO
    return close if end < len(text) or end == close + 1 + _TO_SAYING or place.ended else LATER
