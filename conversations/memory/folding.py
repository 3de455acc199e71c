"""Folding old messages into a summary, by each of the strategies. Pure but for the model that is asked.

Looking for facts is left to threads: a long message takes a second, in which the process has others to serve.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import msgspec

from conversations.memory import facts, notes
from conversations.memory.notes import Asking, Notes
from conversations.memory.summary import Fact, Summary, facts_limit, size, text_limit
from jobs.session import MemorySettings, Message
from providers import tokens

CHUNK_TOKENS = 1_500
"""Tokens of conversation that a model is shown at once, unless a single message has more,"""
STUFF_TOKENS = 24_000
"""and with `stuff`; of a longer history the newest part."""
_EXCERPT = 120
"""Characters of each message that stand in for notes when the model gives none."""


def due(summary: Summary, waiting: Sequence[Message], settings: MemorySettings) -> list[Message]:
    """Of the messages not covered yet, those that are to be folded in now; mostly none."""
    sizes = [size(message) for message in waiting]
    said = tokens.estimate(summary.rendered)
    if len(waiting) <= settings.max_messages and sum(sizes) + said <= settings.token_limit:
        return []
    keep = min(settings.keep, len(waiting))
    # Few but long ones: the last always stays.
    while keep > 1 and sum(sizes[-keep:]) + said > settings.token_limit:
        keep -= 1
    return list(waiting[: len(waiting) - keep])


async def fold(
    summary: Summary, messages: Sequence[Message], before: Sequence[Message], settings: MemorySettings, ask: Asking
) -> AsyncGenerator[Summary, None]:
    """Summaries that cover ever more of `messages`, the last one all of them; each is good to be kept.

    `before`: what the summary covers already; only `stuff` reads it. Raises what `ask` raises.
    """
    match settings.strategy:
        case "refine":
            for chunk in chunks(messages, CHUNK_TOKENS):
                written = await notes.fold(summary.rendered, chunk, ask, token_limit=text_limit(settings))
                summary = await asyncio.to_thread(_with, summary, chunk, written, settings)
                yield summary
        case "map_reduce":
            yield await _map_reduced(summary, messages, settings, ask)
        case "stuff":
            whole = _newest([*before, *messages], STUFF_TOKENS)
            written = await notes.fold("", whole, ask, token_limit=text_limit(settings))
            yield await asyncio.to_thread(_with, summary, messages, written, settings)


async def _map_reduced(summary: Summary, messages: Sequence[Message], settings: MemorySettings, ask: Asking) -> Summary:
    limit = text_limit(settings)
    parts = chunks(messages, CHUNK_TOKENS)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(notes.fold("", chunk, ask, token_limit=limit)) for chunk in parts]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    mapped = [task.result() for task in tasks]
    pairs = zip(mapped, parts, strict=True)
    texts = [text for text in (summary.rendered, *(n.text if n else _excerpts(p, limit) for n, p in pairs)) if text]
    reduced = await notes.combine(texts, ask, token_limit=limit) if len(texts) > 1 else None
    lines = [line for one in (*mapped, reduced) if one for line in one.facts]
    rough = not all(mapped) or (len(texts) > 1 and reduced is None)
    text = reduced.text if reduced else "\n".join(notes.clipped(text, limit // len(texts)) for text in texts)
    kept = await asyncio.to_thread(_ledger, summary, messages, lines, settings)
    return msgspec.structs.replace(summary.covering(messages, rough=rough), text=text, facts=kept)


def _with(summary: Summary, messages: Sequence[Message], written: Notes | None, settings: MemorySettings) -> Summary:
    """The summary after a model has written about these messages, or has written nothing of use."""
    limit = text_limit(settings)
    text = written.text if written else f"{notes.clipped(summary.text, limit // 2)}\n{_excerpts(messages, limit // 2)}"
    kept = _ledger(summary, messages, written.facts if written else (), settings)
    return msgspec.structs.replace(summary.covering(messages, rough=written is None), text=text.strip(), facts=kept)


def _ledger(
    summary: Summary, messages: Sequence[Message], lines: Sequence[str], settings: MemorySettings
) -> tuple[Fact, ...]:
    new = [*facts.found(messages), *facts.noted(lines, messages)]
    return facts.merged(summary.facts, new, token_limit=facts_limit(settings))


def _excerpts(messages: Sequence[Message], token_limit: int) -> str:
    """The beginnings of the last messages, as many as the limit allows."""
    lines = [f"[{message.role}] {' '.join(message.text.split())[:_EXCERPT]}" for message in messages]
    start, total = len(lines), 0
    while start > 0 and (total := total + tokens.estimate(lines[start - 1])) <= token_limit:
        start -= 1
    return "\n".join(lines[start:])


def chunks(messages: Sequence[Message], token_limit: int) -> list[list[Message]]:
    """The messages in consecutive parts of at most so many tokens; a longer message is a part of its own."""
    parts: list[list[Message]] = []
    room = 0
    for message in messages:
        needed = size(message)
        if not parts or needed > room:
            parts.append([])
            room = token_limit
        parts[-1].append(message)
        room -= needed
    return parts


def _newest(messages: Sequence[Message], token_limit: int) -> list[Message]:
    """The last messages that come to so many tokens; at least one."""
    start, total = len(messages), 0
    while start > 0 and (start == len(messages) or total + size(messages[start - 1]) <= token_limit):
        start -= 1
        total += size(messages[start])
    return list(messages[start:])
