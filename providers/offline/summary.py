"""Extractive summaries: the sentences that have most in common with all others, as they stand.

This is LexRank's degree centrality (Erkan & Radev, 2004), which needs no word lists and no model: Korean, Japanese and
Chinese are compared by pairs of characters, what is written in letters by words. Summarizing libraries need data that
they download (sumy, nltk), Java (konlpy) or hundreds of MB (kss), and take seconds to import.
"""

import math
import re
from collections import Counter, defaultdict

from providers.offline import facts, sentences

_TERM = re.compile(r"[^\W\d_]+|\d+")
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_COMMON = frozenset(
    re.findall(
        r"\S+",
        """a an and are as at be been but by can did do for from had has have he her his i if in is it its me my no not
        of on or our she so that the their them there they this to was we were what when which who will with would you
        your""",
    )
)
_ENDINGS = re.compile(
    r"(?:습니다|입니다|합니다|됩니다|는데요?|어요|아요|해요|네요|에서|으로|에게|한테|부터|까지|했는데|하고|이고|[은는이가을를에의도로와과만])$"
)
_CUE = re.compile(
    r"부탁|요청|주세요|바랍니다|환불|교환|취소|결론|중요|따라서|때문|please|refund|request|need|must|want|would like"
    r"|because|important|result|conclu|decid|ください|お願い|請|请|希望",
    re.IGNORECASE,
)
"""Words of requests, reasons and conclusions."""
_GREETING = re.compile(
    r"(?:안녕(?:하세요|하십니까|하신가요)?|반갑습니다|여보세요|(?:hi|hello|hey|greetings)(?:\s+(?:there|all|team|everyone|folks))?"
    r"|dear\s+[^,\n]{1,40},|good\s+(?:morning|afternoon|evening|day)|こんにちは|お世話になっております|您好|你好)(?:[\s,.!~。！、，]+|$)",
    re.IGNORECASE,
)
_COURTESY = re.compile(
    r"(?:(?:대단히\s|정말\s)?(?:감사|고맙)(?:합니다|습니다|드립니다)|수고하?(?:하세요|하십시오|많으십니다|하셨습니다)|잘\s?부탁드립니다"
    r"|좋은\s하루\s(?:되세요|보내세요)|안녕히\s계세요"
    r"|(?:many\s+)?thanks?(?:\s+(?:you|so much|a lot|in advance|again|very much))*"
    r"|(?:best|kind|warm)?\s*regards|sincerely|yours\s+\w+|cheers|ありがとうございます|よろしくお願い(?:いた)?します|谢谢|感谢)[\s,.!~。！]*",
    re.IGNORECASE,
)
_NO_SPACES = re.compile("[。！？]$")
_SAME = 0.7
"""Similarity from which on a sentence says nothing new."""


def summarize(text: str, *, max_sentences: int | None = None, bullets: bool = False) -> str:
    """The sentences of `text` that matter most, in their order; `bullets`: one a line, the most important first.

    At most `max_sentences` of them; not given, a text of one or two sentences stays whole, and of a longer one it is
    the square root of their number, at most five.
    """
    said = _said(text)
    if not said:
        return " ".join(text.split())
    count = max_sentences or (len(said) if len(said) <= 2 else min(round(math.sqrt(len(said))), 5))
    chosen = _choose([_terms(sentence) for sentence in said], [_weight(said, i) for i in range(len(said))], count)
    if bullets:
        return "\n".join(f"- {said[index]}" for index in chosen)
    return _flowing([said[index] for index in sorted(chosen)])


def _said(text: str) -> list[str]:
    """The sentences, each on one line, without greetings and courtesies."""
    whole = (" ".join(text[start:end].split()) for start, end in sentences.split(text, facts.spans(text)))
    telling = (_GREETING.sub("", sentence, count=1) if _GREETING.match(sentence) else sentence for sentence in whole)
    return [sentence for sentence in telling if _TERM.search(sentence) and not _COURTESY.fullmatch(sentence)]


def _terms(sentence: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for word in _TERM.findall(sentence.lower()):
        if _WIDE.search(word):
            stem = _ENDINGS.sub("", word) or word
            found.update(stem[i : i + 2] for i in range(max(1, len(stem) - 1)))
        elif word not in _COMMON:
            found[word] += 1
    return found


def _weight(said: list[str], index: int) -> float:
    """What a sentence weighs by itself: more if it opens the text, asks for something or has numbers, less if short."""
    sentence = said[index]
    place = 1.3 if index == 0 else 1.1 if index == 1 or index == len(said) - 1 else 1.0
    number = 1.15 if any(character.isdigit() for character in sentence) else 1.0
    return place * number * (1.8 if _CUE.search(sentence) else min(1.0, len(sentence) / 20))


def _choose(vectors: list[Counter[str]], weights: list[float], count: int) -> list[int]:
    """The places of the `count` best sentences, best first, none much like one before it."""
    norms = [math.sqrt(sum(n * n for n in vector.values())) or 1.0 for vector in vectors]
    all_together: defaultdict[str, float] = defaultdict(float)
    for vector, norm in zip(vectors, norms, strict=True):
        for term, n in vector.items():
            all_together[term] += n / norm
    # The sum of a sentence's similarities to all others, in one step: its product with the sum of all.
    central = [
        sum(n * all_together[term] for term, n in vector.items()) / norm * weight
        for vector, norm, weight in zip(vectors, norms, weights, strict=True)
    ]
    chosen: list[int] = []
    for index in sorted(range(len(vectors)), key=central.__getitem__, reverse=True):
        if len(chosen) == count:
            break
        if all(_similarity(vectors[index], vectors[i]) / (norms[index] * norms[i]) < _SAME for i in chosen):
            chosen.append(index)
    return chosen


def _similarity(one: Counter[str], other: Counter[str]) -> float:
    return sum(n * other[term] for term, n in one.items() if term in other)


def _flowing(chosen: list[str]) -> str:
    """Sentences as running text; those that had no full stop get one."""
    stopped = [s if len(chosen) == 1 or not (s[-1].isalnum() or s[-1] in ")%") else f"{s}." for s in chosen]
    space = "" if _NO_SPACES.search(stopped[0]) else " "
    return space.join(stopped)
