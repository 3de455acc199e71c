"""Numbers: percentiles, medians over rounds, and the rows of the report with the target that each is held against."""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

_ENOUGH = 100
"""Samples without which there is no 99th percentile."""

Unit = Literal["ms", "s", "/s", "MiB", "cores", ""]


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` (0 to 1) of all samples do not exceed; nan if there are none."""
    if not samples:
        return math.nan
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """What repeated rounds of one measurement come to."""

    p50: float
    """The median of the rounds' medians: one disturbed round does not move it."""
    p99: float
    """Of all samples of all rounds together: nothing is left out."""

    @classmethod
    def of(cls, rounds: Iterable[Sequence[float]]) -> "Spread":
        """Of the samples of each round."""
        kept = [samples for samples in rounds if samples]
        return cls(
            p50=median(percentile(samples, 0.5) for samples in kept),
            p99=percentile([sample for samples in kept for sample in samples], 0.99),
        )


def median(values: Iterable[float]) -> float:
    """The median; nan if there are no values."""
    found = list(values)
    return statistics.median(found) if found else math.nan


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a number is to reach; exactly one of the two limits is given."""

    at_most: float | None = None
    at_least: float | None = None

    def met(self, number: float) -> bool:
        """Whether `number` reaches it."""
        if self.at_most is not None:
            return number <= self.at_most
        return self.at_least is not None and number >= self.at_least


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One number of the report."""

    name: str
    value: float
    unit: Unit
    direct: float | None = None
    """The same of calls made directly to the upstream."""
    target: Target | None = None
    """For the overhead where there is one, else for the value."""
    additive: bool = True
    """Whether the overhead is a difference that makes sense: times add up, rates do not."""
    note: str = ""

    @property
    def overhead(self) -> float | None:
        """What Ringback adds to a direct call."""
        return None if self.direct is None or not self.additive else self.value - self.direct

    @property
    def ratio(self) -> float | None:
        """Ringback's number by the direct one's."""
        return self.value / self.direct if self.direct else None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; `None` if there is none."""
        if self.target is None:
            return None
        return self.target.met(self.value if self.overhead is None else self.overhead)


def in_ms(
    name: str,
    samples: Sequence[Sequence[float]],
    direct: Sequence[Sequence[float]] | None = None,
    *,
    p50: float | None = None,
    p99: float | None = None,
    additive: bool = True,
) -> list[Row]:
    """The rows for the median and the 99th percentile (of fewer than a hundred samples: the maximum, without a target).

    `samples`: rounds of them, in seconds.

    `direct`: the rounds of direct calls; `p50`, `p99`: at most so many milliseconds are to be reached;
    `additive`: as in `Row`.
    """
    count = sum(len(round_) for round_ in samples)
    tail = "p99" if count >= _ENOUGH else "max"
    ours, theirs = Spread.of(samples), None if direct is None else Spread.of(direct)

    def row(label: str, value: float, direct: float | None, limit: float | None, note: str) -> Row:
        return Row(
            name=f"{name}, {label}",
            value=value * 1000,
            unit="ms",
            direct=None if direct is None else direct * 1000,
            target=None if limit is None else Target(at_most=limit),
            additive=additive,
            note=note,
        )

    return [
        row("p50", ours.p50, None if theirs is None else theirs.p50, p50, ""),
        row(tail, ours.p99, None if theirs is None else theirs.p99, p99 if count >= _ENOUGH else None, f"n={count}"),
    ]
