"""Numbers of both gateways beside each other: what each comes to, what each adds to a direct call, and the ratio."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from benchmarks.figures import Spread, Target, Unit
from benchmarks.litellm.sides import SIDES, Name
from benchmarks.table import NOTHING, VERDICTS, laid_out, number

_HEAD = ("", "direct", "LiteLLM", "adds", "Ringback", "adds", "ratio", "target", "", "")
_LEFT = (True, False, False, False, False, False, False, False, True, True)
_ENOUGH = 100


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """One number of the report, for both."""

    name: str
    unit: Unit
    ringback: float
    litellm: float | None = None
    """Of the parts of Ringback there is no such thing."""
    direct: float | None = None
    """The same of calls made directly to the upstream."""
    additive: bool = True
    """Whether the differences to direct calls make sense: times add up, rates do not."""
    target: Target | None = None
    """For the ratio."""
    note: str = ""

    def added(self, value: float | None) -> float | None:
        """What `value`, of one of the two, is more than the direct number."""
        return None if value is None or self.direct is None or not self.additive else value - self.direct

    @property
    def ratio(self) -> float | None:
        """Ringback's number by LiteLLM's; where both add to direct calls, what they add.

        nan if LiteLLM's is nothing.
        """
        ours, theirs = self.ringback, self.litellm
        if theirs is None:
            return None
        if self.direct is not None and self.additive:
            ours, theirs = ours - self.direct, theirs - self.direct
        return ours / theirs if theirs > 0 else math.nan

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; `None` if there is none."""
        return None if self.target is None or self.ratio is None else self.target.met(self.ratio)

    def document(self) -> dict[str, Any]:
        """All of it, with what follows from it."""
        told: dict[str, Any] = msgspec.to_builtins(self)
        added = {"litellm_adds": self.added(self.litellm), "ringback_adds": self.added(self.ringback)}
        return told | added | {"ratio": self.ratio, "met": self.met}


def in_ms(
    name: str, samples: Mapping[Name, Sequence[Sequence[float]]], *, p50: Target | None = None
) -> tuple[Contrast, Contrast]:
    """The median and the 99th percentile (of fewer than a hundred samples on any side: the maximum).

    `samples`: rounds of them for each side, in seconds; `p50`: what the ratio of the medians added is to reach.
    """
    spreads = {side: Spread.of(samples[side]) for side in SIDES}
    counts = {side: sum(len(round_) for round_ in samples[side]) for side in SIDES}
    tail = "p99" if min(counts.values()) >= _ENOUGH else "max"

    def row(label: str, of: Mapping[Name, float], target: Target | None, note: str) -> Contrast:
        return Contrast(
            name=f"{name}, {label}",
            unit="ms",
            direct=of["direct"] * 1000,
            litellm=of["litellm"] * 1000,
            ringback=of["ringback"] * 1000,
            target=target,
            note=note,
        )

    return (
        row("p50", {side: spread.p50 for side, spread in spreads.items()}, p50, ""),
        row(
            tail,
            {side: spread.p99 for side, spread in spreads.items()},
            None,
            f"n={'/'.join(str(counts[side]) for side in SIDES)}",
        ),
    )


def section(title: str, how: Sequence[str], rows: Sequence[Contrast]) -> str:
    """One section as plain text: its title, how it was measured, its rows."""
    return laid_out(title, how, [_HEAD, *(_cells(row) for row in rows)], _LEFT)


def _cells(row: Contrast) -> tuple[str, ...]:
    return (
        row.name,
        _told(row.direct, row),
        _told(row.litellm, row),
        _told(row.added(row.litellm), row, signed=True),
        _told(row.ringback, row),
        _told(row.added(row.ringback), row, signed=True),
        NOTHING if row.ratio is None else f"x{row.ratio:.2f}",
        NOTHING if row.target is None else _limit(row.target),
        VERDICTS[row.met],
        row.note,
    )


def _told(value: float | None, row: Contrast, *, signed: bool = False) -> str:
    return NOTHING if value is None else number(value, row.unit, signed=signed)


def _limit(target: Target) -> str:
    sign, limit = ("<=", target.at_most) if target.at_most is not None else (">=", target.at_least)
    return f"{sign} x{limit:.2f}"
