"""Takes the heat out of a text and leaves its facts and requests: Korean and English, by rules.

Other languages come back as they are, less their rows of exclamation marks.
"""

import re

import msgspec

from providers.offline import english, facts, korean, sentences
from providers.offline.facts import Span
from providers.offline.heat import Heat
from providers.offline.language import Language, detect

_NOTHING_LEFT: dict[Language, str] = {
    "ko": "불편을 겪어 불만이 있다는 내용입니다.",
    "en": "The customer is upset.",
    "ja": "不満があるとのことです。",
    "zh": "客户表示不满。",
}
_END = " \t.!?…~！？。ㅋㅎㅠㅜㅡ;^"
_CALM = frozenset({"", ".", "!", "?", "...", "…", "。", "！", "？"})
_HANGUL = re.compile("[가-힣ㄱ-ㅣ]")
_LATIN = re.compile("[A-Za-z]{2}|[@*#]")
_ROWS = re.compile(r"[!?！？]{3}|\?!|!\?")
_LINES = re.compile(r"\n{3,}")


class Softened(msgspec.Struct, frozen=True, kw_only=True):
    """A text without its heat."""

    text: str
    heat: Heat
    """How much of it there was."""


def soften(text: str) -> Softened:
    """`text` without insults, threats and shouting; never empty.

    Every number, address and quoted string stays as it stands; a calm text stays as it is altogether.
    """
    heat = Heat.CURT if _ROWS.search(text) else Heat.CALM
    where = facts.spans(text)
    shouted = english.is_shouted(text)
    pieces: list[str] = []
    first = 0
    for start, end in sentences.split(text, where):
        last = first
        while last < len(where) and where[last][0] < end:
            last += 1
        inside = [(a - start, b - start) for a, b in where[first:last]]
        piece, found = _sentence(text[start:end], inside, shouted=shouted)
        pieces.append(piece)
        heat = max(heat, found)
        first = last
    if heat is Heat.CALM:
        return Softened(text=text.strip(), heat=heat)
    softened = _LINES.sub("\n\n", "".join(pieces)).strip()
    return Softened(text=softened or _NOTHING_LEFT[detect(text)], heat=heat)


def _sentence(text: str, inside: list[Span], *, shouted: bool) -> tuple[str, Heat]:
    """One sentence with the white space after it, and how heated it was.

    Empty, or only its line break, if nothing of it is left.
    """
    body = text.rstrip()
    gap = text[len(body) :]
    if len(inside) > facts.LIMIT:
        return text, Heat.CALM
    masked = facts.mask(body, inside)
    core = masked.text.rstrip(_END)
    end = masked.text[len(core) :]
    question = "?" in end or "？" in end
    korean_words, latin_words = _HANGUL.search(core), _LATIN.search(core)
    softened, heat = korean.soften(core, question=question) if korean_words else (core, Heat.CALM)
    if latin_words:
        softened, found = english.soften(softened, alone=not korean_words, shouted=shouted)
        heat = max(heat, found)
    restored = masked.put_back(softened)
    if restored is None:
        softened, restored = core, masked.put_back(core) or body
    if not restored:
        return "\n" if "\n" in gap else "", heat
    if korean_words and softened[-1:] != core[-1:]:
        question = False  # what asked was an attack and is gone, or is another ending that has its own mark
    mark = _punctuation(end.strip(), softened, question=question, changed=softened != core, last=not gap)
    return restored + mark + gap, heat


def _punctuation(end: str, core: str, *, question: bool, changed: bool, last: bool) -> str:
    """The end of a sentence that ended in `end`."""
    if not changed and end in _CALM:
        return end
    if core.endswith("?"):
        return ""
    if question and not core.endswith("니다"):
        return "?"
    if end or (changed and (not last or core[-1:].isalpha())):
        return "。" if re.search("[\u3040-\u30ff\u4e00-\u9fff]$", core) else "."
    return ""
