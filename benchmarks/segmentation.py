"""`python -m benchmarks.segmentation`: how many texts of the corpus come out exactly, and what a delta and a sentence cost."""

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
HELD_OUT = "heldout"


def accuracy(*names: str) -> tuple[int, int]:
    """How many cases of these files of the corpus are exact, and how many there are."""
    found = cases.load(*names)
    return sum(cases.exact(case, cases.segments(case.text, case.language)) for case in found), len(found)


def delta_costs(*, clause_first: bool) -> list[float]:
    """What each delta of the corpus took, in microseconds; the texts of a language in one stream each round."""
    chance = random.Random(5)
    streams: dict[str | None, str] = {}
    for case in cases.load():
        streams[case.language] = streams.get(case.language, "") + case.text + "\n"
    costs: list[float] = []
    for _ in range(ROUNDS):
        for language, text in streams.items():
            segmenter = Segmenter(language, clause_first)
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
    """What the spoken form of each sentence of the corpus took in Korean and in English, in microseconds."""
    sentences = [segment for case in cases.load() for segment in case.expected]
    costs: list[float] = []
    for _ in range(ROUNDS):
        for sentence in sentences:
            for language in ("ko", "en"):
                began = time.perf_counter_ns()
                spoken(sentence, language)
                costs.append((time.perf_counter_ns() - began) / 1000)
    return costs


def main() -> int:
    """Prints the numbers; 1 if one misses its target."""
    exact, total = accuracy()
    held, held_total = accuracy(HELD_OUT)
    met = exact / total >= LEAST_EXACT
    print(f"exact: {exact} of {total} ({exact / total:.1%}); of these, held out: {held} of {held_total}")
    for name, costs, most in (
        ("a delta", delta_costs(clause_first=False), MOST_PER_DELTA_US),
        ("a delta, clause first", delta_costs(clause_first=True), MOST_PER_DELTA_US),
        ("the spoken form of a sentence", sentence_costs(), MOST_PER_SENTENCE_US),
    ):
        p99 = statistics.quantiles(costs, n=100)[98]
        met = met and p99 <= most
        print(f"{name}: median {statistics.median(costs):.1f} us, p99 {p99:.1f} us (target {most:g}), {len(costs)} taken")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
