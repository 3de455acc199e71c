"""The ledger of pinned facts: found by rules in what was said, kept word for word, dropped only when it overflows."""

import re
from collections.abc import Iterable, Sequence

from conversations.memory.summary import Fact, Kind
from jobs.session import Message
from providers import tokens

MOST_FACTS = 96
LONGEST = 200
"""Characters of a fact."""
_SENTENCE = re.compile(r"(?<=[.!?。！？…])(?<!\d\.)\s+|(?<=[。！？])|\n+")
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DAYS = "mon|tues|wednes|thurs|fri|satur|sun"
# Nothing in a rule may repeat without a limit: in a message of digits alone each of them would be a beginning.
_RULES: tuple[tuple[Kind, int, re.Pattern[str]], ...] = (
    (
        "name",
        6,
        re.compile(
            r"\bname(?:'s| is| was|d)\b|\bcall(?:ed)? me\b|\bI(?:'m| am) called\b|\bheter\b"
            r"|이름[은이]|성함|라고 (?:합|해|불|부)|(?:저는|나는|제가|전) ?\S{1,32}?(?:입니다|이에요|예요|이라고|라고)"
            r"|名前は|と申します|と呼んで|我叫|名字是",
            re.IGNORECASE,
        ),
    ),
    (
        "promise",
        5,
        re.compile(
            r"\b(?:I|we)(?:'ll| will| shall| promise| must| have to| never| always| prefer)\b"
            r"|\bpromised?\b|\bremember\b|\ballerg|\bdeadline\b|\bdon't (?:forget|like|eat)\b"
            r"|\b(?:booked|reserved|agreed)\b"
            r"|약속|할게요|을게요|하겠습니다|드리겠습니다|기억해|잊지|꼭 |까지 |마감|알레르기|못 먹|싫어|좋아하|예약"
            r"|約束|覚えて|アレルギー|までに|予約|答应|记住|过敏|预订",
            re.IGNORECASE,
        ),
    ),
    (
        "date",
        4,
        re.compile(
            rf"\b(?:{_MONTHS})[a-z]* \d|\b\d{{1,2}}(?:st|nd|rd|th)?(?: of)? (?:{_MONTHS})|\b(?:{_DAYS})day\b"
            r"|\b\d{1,4}[-./]\s?\d{1,2}[-./]\s?\d{1,4}|\b\d{1,2}:\d{2}\b|\b\d{1,2} ?[ap]\.?m\b"
            r"|\d{1,4} ?[년월일시분年月日時点时]|[월화수목금토일]요일",
            re.IGNORECASE,
        ),
    ),
    ("number", 4, re.compile(r"\d{2,}|[$€£¥₩]\s?\d|\d ?[%원円元명개살번]|\b[\w.+-]{1,64}@[\w-]{1,64}\.\w|https?://")),
    ("proper", 2, re.compile(r"(?<=[a-z,] )(?!I\b)[A-Z][a-zåäö]+")),
)
_QUESTION = re.compile(r"[?？]\s*$")
_LESS_OF_A_QUESTION = 2
_LESS_OF_THE_ASSISTANT = 3
_WORDS = re.compile(r"\d[\d.,:/-]*\d|\d|[^\W\d_]+")
_GROUNDED = 0.6
"""Share of the words of a fact by the model that must occur in what it is about."""


def found(messages: Iterable[Message]) -> list[Fact]:
    """The facts in what was said, in that order."""
    return [
        fact
        for message in messages
        for sentence in _SENTENCE.split(message.text)
        if (fact := _fact(sentence.strip(), message)) is not None
    ]


def _fact(sentence: str, message: Message) -> Fact | None:
    for kind, weight, rule in _RULES:
        if match := rule.search(sentence):
            less = _LESS_OF_A_QUESTION if _QUESTION.search(sentence) else 0
            less += _LESS_OF_THE_ASSISTANT if message.role == "assistant" else 0
            return Fact(text=_clipped(sentence, match.start()), kind=kind, weight=weight - less, message_id=message.id)
    return None


def _clipped(sentence: str, around: int) -> str:
    """At most `LONGEST` characters of it, with what is at `around`."""
    if len(sentence) <= LONGEST:
        return sentence
    start = max(0, min(around - LONGEST // 2, len(sentence) - LONGEST))
    piece = sentence[start : start + LONGEST]
    head = 0 if start == 0 else piece.find(" ", 0, LONGEST // 4) + 1
    tail = piece.rfind(" ", LONGEST * 3 // 4)
    return piece[head : tail if tail > 0 else LONGEST].strip()


def noted(lines: Iterable[str], messages: Sequence[Message]) -> list[Fact]:
    """Those of a model's facts that were really said in `messages`."""
    source = "\n".join(message.text for message in messages).casefold()
    facts = []
    for line in lines:
        text = " ".join(line.split())[:LONGEST]
        if text and _is_grounded(text, source):
            facts.append(Fact(text=text, kind="noted", weight=3, message_id=messages[-1].id))
    return facts


def _is_grounded(text: str, source: str) -> bool:
    words = _WORDS.findall(text.casefold())
    if not words or any(word not in source for word in words if word[0].isdigit()):
        return False
    # Endings differ (particles, plurals): the beginning of a word tells.
    return sum(word[: max(2, len(word) - 2)] in source for word in words) >= _GROUNDED * len(words)


def merged(kept: Sequence[Fact], new: Iterable[Fact], *, token_limit: int) -> tuple[Fact, ...]:
    """The ledger with `new` facts, none twice, of at most `MOST_FACTS` and `token_limit` tokens.

    What overflows goes by weight, the lightest first; among equals the oldest. Everything else stays as it was.
    """
    facts: list[Fact] = list(kept)
    plain = [_plain(fact.text) for fact in facts]
    for fact in new:
        text = _plain(fact.text)
        if not text or any(text in other for other in plain):
            continue
        # What says the same and more takes the place of the shorter one.
        shorter = [n for n, other in enumerate(plain) if other in text]
        weight = max((facts[n].weight for n in shorter), default=fact.weight)
        for n in reversed(shorter):
            del facts[n], plain[n]
        facts.append(Fact(text=fact.text, kind=fact.kind, weight=max(weight, fact.weight), message_id=fact.message_id))
        plain.append(text)
    sizes = [tokens.estimate(fact.text) + 2 for fact in facts]
    total = sum(sizes)
    for n in sorted(range(len(facts)), key=lambda n: (facts[n].weight, n)):
        if total <= token_limit and sum(size > 0 for size in sizes) <= MOST_FACTS:
            break
        total -= sizes[n]
        sizes[n] = 0
    return tuple(fact for fact, size in zip(facts, sizes, strict=True) if size)


def _plain(text: str) -> str:
    return " ".join(_WORDS.findall(text.casefold()))
