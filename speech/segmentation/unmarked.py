"""Whether a segment ends where no mark says so: behind an emoji, a Korean ending, or at a clause.

As in `boundaries`, every judgement depends on the text alone and not on how much of it has come.
"""

import re

from speech.segmentation import characters, clauses, korean
from speech.segmentation.place import AHEAD, LATER, NO, Place, with_spaces

_DRAWN = re.compile(rf"(?:[\sㅋㅎㅠㅜ{characters.EMOJI}]|[:;=]-?[)(DPp])+")


def after_face(place: Place) -> int:
    """Judges an emoji or emoticon such as people put behind a sentence."""
    text = place.text
    begin = place.at
    while begin > place.speech and _DRAWN.match(text, begin - 1):
        begin -= 1
    if begin <= place.speech:
        return NO
    before = text[begin - 1]
    drawn = _DRAWN.match(text, place.at + 1, place.at + AHEAD)
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


def after_ending(place: Place) -> int:
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
        return NO if text[following].isdigit() else with_spaces(text, at + 1)
    return with_spaces(text, at + 1)


def _after_connective(place: Place) -> int:
    if not korean.connective(place.text[place.speech : place.at]):
        return NO
    following = place.ahead(place.at)
    if following < 0:
        return following
    return NO if korean.auxiliary(place.text[following]) else following
