"""Runs a conversation through a strategy and tells which facts are still known, by their age."""

from collections.abc import Sequence
from contextlib import aclosing

import msgspec

from benchmarks.recall.plot import conversation
from conversations.memory import folding
from conversations.memory.notes import Asking
from conversations.memory.summary import Summary
from jobs.session import STRATEGIES, MemorySettings, Strategy

QUARTERS = 4


class Share(msgspec.Struct, kw_only=True):
    """Of the facts of one age, how many are known."""

    facts: int = 0
    in_notes: int = 0
    """To the model's notes or the messages kept as they were said."""
    in_memory: int = 0
    """To the whole memory: to those, or the ledger of pinned facts."""


class Recall(msgspec.Struct, frozen=True, kw_only=True):
    """What one strategy has kept at the end of the conversation."""

    strategy: Strategy
    refinements: int
    shares: tuple[Share, ...]
    """By quarter of the conversation in which the fact was told, the oldest first."""
    lost: tuple[str, ...]
    """Facts that the memory does not know."""
    rough: int
    """Messages for which the model gave no usable notes."""


async def evaluate(strategy: Strategy, ask: Asking, *, turns: int, settings: MemorySettings) -> Recall:
    """The recall of that strategy after so many turns, with a refinement whenever one is due."""
    settings = msgspec.structs.replace(settings, strategy=strategy)
    messages, told = conversation(turns)
    summary, refinements = Summary(), 0
    for end in range(2, len(messages) + 1, 2):
        before, waiting = messages[: summary.covered], messages[summary.covered : end]
        if due := folding.due(summary, waiting, settings):
            refinements += 1
            async with aclosing(folding.fold(summary, due, before, settings, ask)) as steps:
                async for step in steps:
                    summary = step
    recent = "\n".join(message.text for message in messages[summary.covered :])
    shares = tuple(Share() for _ in range(QUARTERS))
    lost = []
    for probe, index in told.items():
        share = shares[index * QUARTERS // len(messages)]
        share.facts += 1
        share.in_notes += probe in summary.text or probe in recent
        share.in_memory += probe in summary.rendered or probe in recent
        if probe not in summary.rendered and probe not in recent:
            lost.append(probe)
    return Recall(strategy=strategy, refinements=refinements, shares=shares, lost=tuple(lost), rough=summary.rough)


def table(recalls: Sequence[Recall]) -> str:
    """As lines: recall of the notes alone and of the whole memory, by age, for each strategy."""
    ages = ("oldest", "older", "newer", "newest")
    lines = [
        f"{'strategy':<11} {'refined':>7}  " + "  ".join(f"{age:>15}" for age in ages),
        f"{'':<20}" + "  ".join(f"{'notes':>7} {'memory':>7}" for _ in ages),
    ]
    for recall in recalls:
        cells = "  ".join(f"{_percent(s.in_notes, s.facts)} {_percent(s.in_memory, s.facts)}" for s in recall.shares)
        lines.append(f"{recall.strategy:<11} {recall.refinements:>7}  {cells}")
        if recall.lost:
            lines.append(f"{'':<11} lost: {', '.join(recall.lost)}")
    return "\n".join(lines)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:>6.0f}%" if whole else f"{'–':>7}"


async def evaluate_all(asks: Sequence[Asking], *, turns: int, settings: MemorySettings) -> list[Recall]:
    """One after the other, each strategy with a model of its own out of `asks`."""
    pairs = zip(STRATEGIES, asks, strict=True)
    return [await evaluate(strategy, ask, turns=turns, settings=settings) for strategy, ask in pairs]
