"""Sentences, also of customers who write without a full stop. Nothing is lost: the parts together are the text.

Own rules, since no library does this: the light ones split inside quotations and dates (2026. 11. 21.), not at a
line's end, and not where Korean goes without punctuation; those that know Korean grammar weigh hundreds of MB.
"""

import re
from bisect import bisect_left

from providers.offline import hangul
from providers.offline.facts import Span, spans

LONGEST = 2_000
"""Characters. A longer part is cut between words, so that no rule ever has to work on more."""

_GAP = re.compile(r"\s+")
_SPOKEN_ENDS = {
    "요": "세어아해데네나까예에군든가지래게돼워려져여줘봐와고걸",
    "네": "없있같하되오나치받리쁘비크많늦씹",
    "냐": "없있하되오가",
    "다": "없있같깝많늦싫좋렵럽겁",
    "어": "없있",
    "라": "하해되켜려내",
    "아": "잖",
    "야": "거",
    "든": "거",
    "오": "시",
    "쇼": "십",
    "까": "",
    "죠": "",
}
"""Syllables that end a Korean sentence without punctuation, if one of these precedes; see also `_ends_spoken`."""
_BOUNDARY = re.compile(
    r"(?P<line>\n\s*)"
    r"|(?P<wide>[。！？]+[」』”’）)]*\s*)"
    r"|(?P<stop>(?<![.!?…])[.!?…]++)[\"'”’)\]」』]*+(?:\s+|(?=[가-힣])|$)"
    r"|(?<=[가-힣])(?P<tail>(?:[ㅋㅎㅠㅜㅡ;~^]{2,}|~)[.!?]*\s+)"
    rf"|(?<=[{''.join(_SPOKEN_ENDS)}해줘놔내마])(?P<space>[ \t]+)"
)
_DEMAND_END = re.compile(r"(?:[가-힣]해|[줘놔내라])$")
_AFTER_DEMAND = re.compile(
    r"안\s?그러|아니면|안\s?하면|그리고|근데|그런데|이게|이거|왜|언제|내\s?돈|(?:제발|당장|빨리|진짜)\s+\S"
)
_STOPPED_END = re.compile(r"[다요까죠음임함됨림킴줌냐어야네지해돼줘라]$")
_CONTINUES = re.compile(
    r"가며|갔다|말[은이도]?\s|싶|보[이여니입]|주[세시]|라[고는며면]|하[고면더]|해[도놓서]|했|그러|치고|면서|는데|고\s|만\s|그랬|요\s"
    r"|(?:진짜|정말|아주)(?:[\s.!?~ㅋㅡㅠ]*$|[.!?])"
)
_QUOTING = re.compile(r"(?:이?라[고는며면]|하고|고\s)")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|Ave|Rd|Inc|Ltd|Co|Corp|Dept|Acct|Ref|Tel|Ext|Fig|Est|Qty"
    r"|vs|no|nr|nos|pp?|approx|etc|e\.g|i\.e|eg|ie|cf|incl|excl|max|min|ca|[ap]\.m)$",
    re.IGNORECASE,
)


def split(text: str, facts: list[Span] | None = None) -> list[Span]:
    """Start and end of each sentence with the white space after it; `facts` (of `facts.spans`) stay whole."""
    whole = spans(text) if facts is None else facts
    found: list[Span] = []
    start = 0
    for match in _BOUNDARY.finditer(text):
        end = match.end()
        if (
            end > start
            and not _inside(end, whole)
            and _is_end(text, start, match, quoted=_inside(match.start(), whole))
        ):
            found += _bounded(text, start, end, whole)
            start = end
    if start < len(text):
        found += _bounded(text, start, len(text), whole)
    return found


def _is_end(text: str, start: int, match: re.Match[str], *, quoted: bool) -> bool:
    """Whether `match` ends the sentence that began at `start`; `quoted`: its punctuation is part of a quotation."""
    before = text[max(start, match.start() - 12) : match.start()]
    after = text[match.end() : match.end() + 8]
    spaced = match.group()[-1:].isspace() or not after
    if quoted and (not spaced or after[:1].islower() or _QUOTING.match(after)):
        return False
    match match.lastgroup:
        case "line":
            wrapped = after[:1].isascii() and after[:1].islower() and not before.rstrip().endswith((".", "!", "?", ":"))
            return not wrapped
        case "wide":
            return True
        case "stop":
            return _is_full_stop(match["stop"], before, after, spaced=spaced)
        case "tail":
            return bool(_STOPPED_END.search(before))
        case _:
            ends = _ends_spoken(before)
            demanded = _DEMAND_END.search(before) and _AFTER_DEMAND.match(after)
            return bool(after and (demanded or (ends and not _CONTINUES.match(after))))


def _ends_spoken(before: str) -> bool:
    """Whether words that end so end a sentence: 왔어요, 왔습니다, 왔어, 왔다, 안 오냐, 안 온다."""
    last, previous = before[-1], before[-2:-1]
    if before.endswith(("지 마", "지마")):
        return True
    if last not in _SPOKEN_ENDS or not previous:
        return False
    if last in "다까" and previous == "니":
        return len(before) > 2 and hangul.final(before[-3]) == hangul.BIEUP
    if last in "어다냐네" and hangul.final(previous) == hangul.PAIR_SIOT:
        return not before.endswith("왔다 갔다")
    if last == "다" and hangul.final(previous) == hangul.NIEUN:
        return before[-2:] not in ("판다", "혼다")
    return last == "죠" or previous in _SPOKEN_ENDS[last]


def _is_full_stop(stop: str, before: str, after: str, *, spaced: bool) -> bool:
    if "!" in stop or "?" in stop:
        return not _QUOTING.match(after)
    korean = "가" <= before[-1:] <= "힣"
    if stop == ".":
        if not before.strip() or (
            before[-1:].isdigit() and (after[:1].isdigit() or before.strip().isdigit() or not spaced)
        ):
            return False
        return not _ABBREVIATION.search(before) if spaced else bool(_STOPPED_END.search(before))
    return bool(_STOPPED_END.search(before)) if korean else after[:1].isupper() or not after


def _inside(position: int, whole: list[Span]) -> bool:
    index = bisect_left(whole, (position, 0)) - 1
    return index >= 0 and position < whole[index][1]


def _bounded(text: str, start: int, end: int, whole: list[Span]) -> list[Span]:
    """One sentence, cut between words where it is too long."""
    found: list[Span] = []
    while end - start > LONGEST:
        gaps = (gap.end() for gap in _GAP.finditer(text, start + LONGEST // 2, end))
        gap = next((gap for gap in gaps if not _inside(gap, whole)), end)
        found.append((start, gap))
        start = gap
    if start < end:
        found.append((start, end))
    return found
