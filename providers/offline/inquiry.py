"""What a customer's inquiry is about and in what mood, by the words in it."""

import functools
import re
import tomllib
from pathlib import Path

from providers.offline.heat import Heat

_WEIGHTS = {"decisive": 9, "strong": 3, "weak": 1}
_LONGEST = 5_000
"""Characters of a long inquiry that are looked at."""


_AMOUNT = re.compile(r"[$€£₩]?\d[\d.,]*")


class _Words:
    """The words that speak for one label."""

    def __init__(self, listed: dict[str, list[str]]) -> None:
        self._patterns = [(_united(words), _WEIGHTS[strength]) for strength, words in listed.items()]

    def score(self, text: str) -> int:
        """How much `text` (in lower case) speaks for it; a word that comes twice counts once."""
        return sum(weight * len(set(pattern.findall(text))) for pattern, weight in self._patterns)


def _united(words: list[str]) -> re.Pattern[str]:
    # The longer first, so that "charged twice" is not taken for "charged".
    return re.compile("|".join(_pattern(word) for word in sorted(words, key=len, reverse=True)))


def _pattern(word: str) -> str:
    if not word.isascii():
        return re.escape(word)
    return rf"(?<!\w){re.escape(word[:-1])}\w*" if word.endswith("*") else rf"(?<!\w){re.escape(word)}(?!\w)"


@functools.cache
def _labels(kind: str) -> dict[str, _Words]:
    listed = tomllib.loads((Path(__file__).parent / "topics.toml").read_text(encoding="utf-8"))
    return {label: _Words(words) for label, words in listed[kind].items()}


def category(text: str) -> str:
    """What `text` is about: delivery, refund, payment, product, account, service or other."""
    told = _AMOUNT.sub("#", text[:_LONGEST].lower())
    scores = {label: words.score(told) for label, words in _labels("categories").items()}
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] else "other"


def sentiment(text: str, *, heat: Heat) -> str:
    """The mood of `text`, in which there was so much heat: positive, neutral or negative."""
    scores = {label: words.score(text[:_LONGEST].lower()) for label, words in _labels("moods").items()}
    if heat is Heat.HOT or scores["negative"] > max(scores["positive"], _WEIGHTS["strong"] - 1):
        return "negative"
    return "positive" if scores["positive"] > scores["negative"] + 1 else "neutral"
