"""The report as plain text."""

import math
from collections.abc import Iterable, Sequence

from benchmarks.figures import Row, Target

_HEAD = ("", "Ringback", "direct", "overhead", "ratio", "target", "", "")
_LEFT = (True, False, False, False, False, False, True, True)
VERDICTS = {True: "met", False: "NOT MET", None: ""}
NOTHING = "-"


def section(title: str, how: Sequence[str], rows: Sequence[Row]) -> str:
    """One section: its title, how it was measured, its rows."""
    return laid_out(title, how, [_HEAD, *(_cells(row) for row in rows)], _LEFT)


def laid_out(title: str, how: Sequence[str], cells: Sequence[Sequence[str]], left: Sequence[bool]) -> str:
    """Title, explanation and lines of cells, the first of them the head; `left`: the columns that begin at the left."""
    widths = [max(len(line[column]) for line in cells) for column in range(len(left))]
    lines = ["  ".join(_aligned(line, widths, left)).rstrip() for line in cells]
    return "\n".join([title, *(f"    {line}" for line in how), *(f"  {line}" for line in lines), ""])


def _aligned(line: Sequence[str], widths: Iterable[int], left: Sequence[bool]) -> Iterable[str]:
    for cell, width, begins in zip(line, widths, left, strict=True):
        yield cell.ljust(width) if begins else cell.rjust(width)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        number(row.value, row.unit),
        NOTHING if row.direct is None else number(row.direct, row.unit),
        NOTHING if row.overhead is None else number(row.overhead, row.unit, signed=True),
        NOTHING if row.ratio is None else f"x{row.ratio:.2f}",
        NOTHING if row.target is None else _limit(row.target, row.unit),
        VERDICTS[row.met],
        row.note,
    )


def _limit(target: Target, unit: str) -> str:
    sign, limit = ("<=", target.at_most) if target.at_most is not None else (">=", target.at_least)
    return f"{sign} {limit:g} {unit}".rstrip()


def number(value: float, unit: str, *, signed: bool = False) -> str:
    """A number as it is told, in its unit."""
    if math.isnan(value):
        return "n/a"
    digits = 0 if unit == "" else 2 if unit in ("s", "cores") or abs(value) < 10 else 1
    return f"{value:{'+' if signed else ''}.{digits}f} {unit}".rstrip()
