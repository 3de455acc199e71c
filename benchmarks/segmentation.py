"""`python -m benchmarks.segmentation`: how much of the corpus comes out exactly, and what a delta costs."""

import random
import statistics
import sys
import time

from speech.segmentation import Segmenter
from speech.spoken import spoken
from tests.unit.speech import cases

DELTAS = (1, 5)
"""Characters of a delta, from and to."""
ROUNDS = 30
MOST_PER_DELTA_US = 50.0
MOST_PER_SENTENCE_US = 200.0
LEAST_EXACT = 0.95
HELD_OUT = ("heldout", "unseen")


def accuracy(*names: str) -> tuple[int, int]:
    """How many cases of these files of the corpus are exact, and how many there are."""
    found = cases.load(*names)
    return sum(cases.exact(case, cases.segments(case.text, case.language)) for case in found), len(found)


def delta_costs(*, clause_first: bool) -> list[float]:
    """What each delta of the corpus takes, in microseconds (median of all rounds).

    The median tells the work of a delta; what the machine does beside would hide it in a single measurement.
    """
    streams: dict[str | None, str] = {}
    for case in cases.load():
        streams[case.language] = streams.get(case.language, "") + case.text + "\n"
    rounds = [
        [cost for language, text in streams.items() for cost in _stream(Segmenter(language, clause_first), text)]
        for _ in range(ROUNDS)
    ]
    return [statistics.median(costs) for costs in zip(*rounds, strict=True)]


def _stream(segmenter: Segmenter, text: str) -> list[float]:
    chance = random.Random(5)
    costs: list[float] = []
    at = 0
    while at < len(text):
        size = chance.randint(*DELTAS)
        delta = text[at : at + size]
        began = time.perf_counter_ns()
        segmenter.feed(delta)
        costs.append((time.perf_counter_ns() - began) / 1000)
        at += size
    return costs


def sentence_costs() -> list[float]:
    """What the spoken form of each sentence of the corpus takes in Korean and in English, likewise."""
    sentences = [(segment, language) for case in cases.load() for segment in case.expected for language in ("ko", "en")]
    return [statistics.median(_said(sentence, language) for _ in range(ROUNDS)) for sentence, language in sentences]


def _said(sentence: str, language: str) -> float:
    began = time.perf_counter_ns()
    spoken(sentence, language)
    return (time.perf_counter_ns() - began) / 1000


def main() -> int:
    """Prints the numbers; 1 if one misses its target."""
    exact, total = accuracy()
    held, held_total = accuracy(*HELD_OUT)
    met = exact / total >= LEAST_EXACT
    print(f"exact: {exact} of {total} ({exact / total:.1%}); written without knowing the rules: {held} of {held_total}")
    for name, costs, most in (
        ("a delta", delta_costs(clause_first=False), MOST_PER_DELTA_US),
        ("a delta, clause first", delta_costs(clause_first=True), MOST_PER_DELTA_US),
        ("the spoken form of a sentence", sentence_costs(), MOST_PER_SENTENCE_US),
    ):
        p99 = statistics.quantiles(costs, n=100)[98]
        met = met and p99 <= most
        middle = statistics.median(costs)
        print(f"{name}: median {middle:.1f} us, p99 {p99:.1f} us (target {most:g}), {len(costs)} measured")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
