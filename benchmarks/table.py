"""The report as plain text."""

import math
from collections.abc import Iterable, Sequence

from benchmarks.figures import Row, Target

_HEAD = ("", "Ringback", "direct", "overhead", "ratio", "target", "", "")
_LEFT = (True, False, False, False, False, False, True, True)
_NOTHING = "-"


def section(title: str, how: Sequence[str], rows: Sequence[Row]) -> str:
    """One section: its title, how it was measured, its rows."""
    cells = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    lines = ["  ".join(_aligned(line, widths)).rstrip() for line in cells]
    return "\n".join([title, *(f"    {line}" for line in how), *(f"  {line}" for line in lines), ""])


def _aligned(line: Sequence[str], widths: Iterable[int]) -> Iterable[str]:
    for cell, width, left in zip(line, widths, _LEFT, strict=True):
        yield cell.ljust(width) if left else cell.rjust(width)


def _cells(row: Row) -> tuple[str, ...]:
    verdict = {True: "met", False: "NOT MET", None: ""}[row.met]
    return (
        row.name,
        _number(row.value, row.unit),
        _NOTHING if row.direct is None else _number(row.direct, row.unit),
        _NOTHING if row.overhead is None else _number(row.overhead, row.unit, signed=True),
        _NOTHING if row.ratio is None else f"x{row.ratio:.2f}",
        _NOTHING if row.target is None else _limit(row.target, row.unit),
        verdict,
        row.note,
    )


def _limit(target: Target, unit: str) -> str:
    sign, limit = ("<=", target.at_most) if target.at_most is not None else (">=", target.at_least)
    return f"{sign} {limit:g} {unit}".rstrip()


def _number(value: float, unit: str, *, signed: bool = False) -> str:
    if math.isnan(value):
        return "n/a"
    digits = 0 if unit == "" else 2 if unit in ("s", "cores") or abs(value) < 10 else 1
    return f"{value:{'+' if signed else ''}.{digits}f} {unit}".rstrip()
