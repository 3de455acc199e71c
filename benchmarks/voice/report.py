"""The tables: both sides against the floor, and where Ringback's milliseconds over it go."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from benchmarks.figures import Target, percentile
from benchmarks.table import NOTHING, VERDICTS, laid_out, number
from benchmarks.voice.rounds import Comparison, Measured, Name, Of
from benchmarks.voice.script import RECOGNITION_S, SYNTHESIS_S, Floor, Script
from benchmarks.voice.sides import Heard
from speech.segmentation import Segmenter

FIRST_AUDIO = {1: Target(at_most=25.0), 25: Target(at_most=40.0)}
"""Milliseconds over the floor, at the median, by how many turns there are at once."""
AHEAD = Target(at_most=0.0)
LAST_AUDIO = Target(at_most=60.0)
_HEAD = ("at once", "", "floor", "Ringback p50", "over", "p90", "over", "pipecat p50", "over", "p90", "over")
_VERDICT = ("target", "", "turns")
_LEFT = (False, True, *(False,) * 9, False, True, False)
_STAGES = ("at once", "Ringback, p50", "floor", "at the caller", "over", "step", "its floor", "adds")
HOW = (
    "From the moment the whole recording is there to the first and the last sound. floor: what the vendors take, when",
    "the first sentence is spoken as soon as its last token is there. over: more than the floor. p50: median of the",
    "rounds' medians; p90: of all turns. Ringback over HTTP, pipecat inside its process.",
)
HOW_STAGES = (
    "floor: what the vendors take for what Ringback speaks first, which may be a clause. step: from the stage before,",
    "by the worker's own clock, the first one from the attempt's beginning. adds: what a step takes over its floor.",
    "delivery: from the worker to the caller, and what of the attempt comes before its clock.",
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One number of both sides; in milliseconds."""

    script: str
    at_once: int
    name: str
    floor: float
    p50: dict[Name, float]
    p90: dict[Name, float]
    turns: dict[Name, int]
    target: Target | None

    @property
    def met(self) -> bool | None:
        """Whether Ringback reaches the target, which is for its p50 over the floor; `None` if there is none."""
        return self.target.met(self.p50["ringback"] - self.floor) if self.target else None


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of Ringback's turns; in milliseconds."""

    script: str
    at_once: int
    name: str
    floor: float
    reached: float
    """At the caller, since the recording was there."""
    step: float | None = None
    """Since the stage before, by the worker's clock."""
    step_floor: float = 0.0


def rows(found: Comparison) -> list[Row]:
    """First and last sound."""
    script, floor = found.script, found.script.floor
    first = AHEAD if script.clause else FIRST_AUDIO.get(found.at_once) if script.certain else None
    told: tuple[tuple[str, float, Of, Target | None], ...] = (
        ("first audio", floor.first_audio_s, _first_audio, first),
        ("last audio", floor.last_audio_s, _last_audio, LAST_AUDIO),
    )
    return [
        Row(
            script=script.model,
            at_once=found.at_once,
            name=name,
            floor=least * 1000,
            p50={side: measured.p50(of) * 1000 for side, measured in found.sides.items()},
            p90={side: measured.p90(of) * 1000 for side, measured in found.sides.items()},
            turns={side: measured.count for side, measured in found.sides.items()},
            target=target,
        )
        for name, least, of, target in told
    ]


def stages(found: Comparison) -> list[Stage]:
    """Where Ringback's time goes."""
    script = found.script
    floor = script.own_floor(partial(Segmenter, script.language, clause_first=True))
    ours = found.sides["ringback"]

    def ms(of: Of) -> float:
        return ours.p50(of) * 1000

    return [
        Stage(
            script=script.model,
            at_once=found.at_once,
            name=name,
            floor=least * 1000,
            reached=ms(reached),
            step=None if step is None else ms(step),
            step_floor=step_least * 1000,
        )
        for name, least, reached, step, step_least in _stages(floor)
    ]


def _stages(floor: Floor) -> Iterator[tuple[str, float, Of, Of | None, float]]:
    """Name, floor, when the caller saw it, the worker's step that led to it, and what that takes at least."""
    yield "job accepted", 0.0, lambda turn: turn.accepted_s, None, 0.0
    yield "claimed by a worker", 0.0, lambda turn: turn.claimed_s, None, 0.0
    yield "job.started", 0.0, _seen("job.started"), None, 0.0
    yield "transcript", floor.transcript_s, _seen("transcript.final"), _step("transcript_s"), RECOGNITION_S
    token = floor.first_token_s - floor.transcript_s
    yield "first token", floor.first_token_s, _seen("text.delta"), _step("first_token_s", "transcript_s"), token
    sentence = floor.first_sentence_s - floor.first_token_s
    told = _step("first_sentence_s", "first_token_s")
    yield "first sentence or clause", floor.first_sentence_s, _seen("sentence"), told, sentence
    spoken = _step("first_audio_s", "first_sentence_s")
    yield "first audio", floor.first_audio_s, _first_audio, spoken, SYNTHESIS_S
    rest = floor.last_audio_s - floor.first_audio_s
    yield "last audio", floor.last_audio_s, _last_audio, _step("last_audio_s", "first_audio_s"), rest
    yield "job.succeeded", floor.last_audio_s, _seen("job.succeeded"), None, 0.0
    yield "delivery of the first audio", 0.0, _delivery, None, 0.0


def _first_audio(turn: Heard) -> float:
    return turn.first_audio_s


def _last_audio(turn: Heard) -> float:
    return turn.last_audio_s


def _delivery(turn: Heard) -> float:
    return turn.first_audio_s - turn.claimed_s - turn.timings["first_audio_s"]


def _seen(event: str) -> Of:
    return lambda turn: turn.arrived[event]


def _step(to: str, since: str = "") -> Of:
    return lambda turn: turn.timings[to] - (turn.timings[since] if since else 0.0)


def compared(script: Script, found: Sequence[Row]) -> str:
    """Both sides as text."""
    title = f"{script.title}: {script.text.split('.')[0]}."
    return laid_out(title, HOW, [_HEAD + _VERDICT, *(_cells(row) for row in found)], _LEFT)


def _cells(row: Row) -> tuple[str, ...]:
    cells = [str(row.at_once), row.name, _ms(row.floor)]
    sides: tuple[Name, ...] = ("ringback", "pipecat")
    for side in sides:
        for value in (row.p50.get(side), row.p90.get(side)):
            cells += [_ms(value), NOTHING if value is None else number(value - row.floor, "ms", signed=True)]
    target = NOTHING if row.target is None else f"<= {row.target.at_most:+g} ms"
    return (*cells, target, VERDICTS[row.met], "/".join(str(count) for count in row.turns.values()))


def accounted(script: Script, found: Sequence[Stage]) -> str:
    """Ringback's stages as text."""
    left = (False, True, *(False,) * (len(_STAGES) - 2))
    return laid_out(f"Where it goes: {script.title}", HOW_STAGES, [_STAGES, *(_line(stage) for stage in found)], left)


def _line(stage: Stage) -> tuple[str, ...]:
    seen = (str(stage.at_once), stage.name, _ms(stage.floor), _ms(stage.reached))
    over = number(stage.reached - stage.floor, "ms", signed=True)
    if stage.step is None:
        return (*seen, over, NOTHING, NOTHING, NOTHING)
    adds = number(stage.step - stage.step_floor, "ms", signed=True)
    return (*seen, over, _ms(stage.step), _ms(stage.step_floor), adds)


def _ms(value: float | None) -> str:
    return NOTHING if value is None else number(value, "ms")


def conditions(found: Sequence[Comparison]) -> str:
    """What the turns cost, and how late the vendors themselves were, as text."""
    return (
        "\n".join(
            line
            for comparison in found
            for name, measured in comparison.sides.items()
            for line in (
                f"  {comparison.at_once} at once, {name}: CPU of a turn {_spent(measured)};",
                f"    late of the vendors' own (p50, p99): {', '.join(_late(measured))}",
            )
        )
        + "\n"
    )


def _spent(measured: Measured) -> str:
    spent = ((process, used / measured.count * 1000) for process, used in measured.cpu_s.items())
    return ", ".join(f"{process} {number(used, 'ms')}" for process, used in spent)


def _late(measured: Measured) -> Iterator[str]:
    for what, samples in measured.late.items():
        middle, tail = (number(percentile(samples, share) * 1000, "ms") for share in (0.5, 0.99))
        yield f"{what} {middle}, {tail}"


def document(row: Row | Stage) -> dict[str, Any]:
    """All of it, with what follows from it."""
    told: dict[str, Any] = msgspec.to_builtins(row)
    return told | ({"met": row.met} if isinstance(row, Row) else {})
