"""Rounds of turns, the sides taking turns at them; and what they come to."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from benchmarks.children import Child
from benchmarks.figures import median, percentile
from benchmarks.voice.script import Script
from benchmarks.voice.sides import Heard, Side

Name = Literal["ringback", "pipecat"]
Of = Callable[[Heard], float]


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a run."""

    rounds: Mapping[int, int]
    """How many rounds there are, by how many turns a round has at once."""
    warm: int
    """Rounds of the most turns at once before anything counts."""
    spread_s: float = 0.5
    """Within so many seconds the turns of a round begin; less than a turn takes, so all of them overlap."""
    breath_s: float = 0.3
    """Seconds between two rounds, for the work that the first one left behind."""


FULL = Scale(rounds={1: 30, 10: 6, 25: 6}, warm=2)
QUICK = Scale(rounds={1: 4, 10: 1, 25: 1}, warm=1)


class Measured(msgspec.Struct, kw_only=True):
    """One side's turns, so many of them at once."""

    rounds: list[list[Heard]] = []
    cpu_s: dict[str, float] = {}
    """By process."""
    late: dict[str, list[float]] = {}
    """By how many seconds the vendors themselves were late, with each token and with each sentence's sound."""

    @property
    def count(self) -> int:
        """How many turns there were."""
        return sum(len(turns) for turns in self.rounds)

    def p50(self, of: Of) -> float:
        """The median of the rounds' medians, in seconds: one disturbed round does not move it."""
        return median(percentile([of(turn) for turn in turns], 0.5) for turns in self.rounds)

    def p90(self, of: Of) -> float:
        """Of all turns together, in seconds."""
        return percentile([of(turn) for turns in self.rounds for turn in turns], 0.9)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What one script came to, so many turns at once."""

    script: Script
    at_once: int
    sides: Mapping[Name, Measured]


class Contestant(msgspec.Struct, frozen=True, kw_only=True):
    """A side, and the CPU time that processes have used so far, in seconds: its own, the vendors, whoever calls it."""

    side: Side
    cpu_s: Callable[[], Mapping[str, float]]


async def warm(contestants: Mapping[Name, Contestant], script: Script, scale: Scale) -> None:
    """Has each side take turns that do not count."""
    for _ in range(scale.warm):
        for contestant in contestants.values():
            await contestant.side.turns(script, max(scale.rounds), scale.spread_s)


async def compare(
    contestants: Mapping[Name, Contestant], vendors: Child, script: Script, at_once: int, scale: Scale
) -> Comparison:
    """All rounds; who begins changes from round to round. Raises `Failed`."""
    found: dict[Name, Measured] = {name: Measured() for name in contestants}
    names: Sequence[Name] = tuple(contestants)
    for number in range(scale.rounds[at_once]):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            await asyncio.sleep(scale.breath_s)
            await vendors.ask("late")
            contestant, measured = contestants[name], found[name]
            before = contestant.cpu_s()
            measured.rounds.append(await contestant.side.turns(script, at_once, scale.spread_s))
            for process, used in contestant.cpu_s().items():
                measured.cpu_s[process] = measured.cpu_s.get(process, 0.0) + used - before[process]
            for what, late in (await vendors.ask("late")).items():
                measured.late.setdefault(what, []).extend(late)
    return Comparison(script=script, at_once=at_once, sides=found)
