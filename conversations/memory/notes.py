"""Asking a model for notes: the request is material in fences, no conversation to go on with; the answer has a form.

That is what keeps a model from replying to the last message instead of summarizing, and the session's instructions from
being summarized away: they are no part of what it sees.
"""

import functools
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from string import Template

import msgspec

from jobs.model import ModelSettings
from jobs.session import Message
from providers import service, tokens
from providers.service import Answer, Ask

TASK = "conversation_notes"
"""What providers without a real model are told that this is."""
Asking = Callable[[Ask], Awaitable[Answer]]
"""Asks a model; the `Ask` names none. Raises a class of `providers.errors`."""

_SUMMARY = re.compile(r"<summary>(.*?)</summary>", re.DOTALL | re.IGNORECASE)
_FACTS = re.compile(r"<facts>(.*?)</facts>", re.DOTALL | re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
_TOKENS_PER_WORD = 1.5
_END = re.compile(r"(?<=[.!?。！？])\s+|\n+")
TRIES = 2
LONGEST_TOKENS = 6_000
"""Tokens of one message that a model is shown: a longer one would be more than some models take, again and again."""


class Notes(msgspec.Struct, frozen=True, kw_only=True):
    """What a model wrote."""

    text: str
    facts: tuple[str, ...]


@functools.cache
def _prompt(name: str) -> tuple[Template, Template]:
    """System part and user part of a prompt file."""
    text = (files("conversations") / "prompts" / f"{name}.md").read_text(encoding="utf-8")
    system, _, user = text.removeprefix("# system\n").partition("\n# user\n")
    return Template(system), Template(user.strip())


async def fold(notes: str, messages: Sequence[Message], ask: Asking, *, token_limit: int) -> Notes | None:
    """Notes that cover those so far and `messages`; `None`: the model gave none in `TRIES` tries."""
    return await _written(ask, "fold", token_limit, notes=notes, conversation=transcript(messages))


async def combine(parts: Sequence[str], ask: Asking, *, token_limit: int) -> Notes | None:
    """One set of notes in place of many; `None` as for `fold`."""
    listed = "\n\n".join(f"Part {n}:\n{part}" for n, part in enumerate(parts, 1))
    return await _written(ask, "combine", token_limit, notes=listed)


def transcript(messages: Sequence[Message]) -> str:
    """What was said, each line of it behind who said it."""
    return "\n".join(f"[{message.role}] " + _shown(message.text.strip()).replace("\n", "\n  ") for message in messages)


def _shown(text: str) -> str:
    """The text, or as much of its beginning as a model is shown."""
    size = tokens.estimate(text)
    return text if size <= LONGEST_TOKENS else f"{text[: len(text) * LONGEST_TOKENS // size].rstrip()} […]"


async def _written(ask: Asking, prompt: str, token_limit: int, **material: str) -> Notes | None:
    system, user = _prompt(prompt)
    words = str(int(token_limit / _TOKENS_PER_WORD))
    fence = "m" + hashlib.sha256("".join(material.values()).encode("utf-8", "replace")).hexdigest()[:8]
    asked = Ask(
        model="",
        system=system.substitute(words=words),
        messages=(
            service.Message(role="user", parts=(service.Text(user.substitute(material, fence=fence, words=words)),)),
        ),
        # Room for the facts too, and for a model that counts badly.
        settings=ModelSettings(max_tokens=3 * token_limit + 500),
        task=TASK,
    )
    for _ in range(TRIES):
        answer = await ask(asked)
        if notes := _read(answer.text, token_limit):
            return notes
    return None


def _read(answer: str, token_limit: int) -> Notes | None:
    """The notes in an answer of the asked form; `None` for any other."""
    summary = _SUMMARY.search(answer)
    if summary is None or not (text := summary[1].strip()):
        return None
    facts = _FACTS.search(answer)
    lines = facts[1].splitlines() if facts else []
    return Notes(
        text=clipped(text, token_limit),
        facts=tuple(_BULLET.sub("", line).strip() for line in lines if line.strip()),
    )


def clipped(text: str, token_limit: int) -> str:
    """As much of the text's beginning as the limit allows, whole sentences if that is possible."""
    if tokens.estimate(text) <= token_limit:
        return text
    kept = 0
    for end in [match.end() for match in _END.finditer(text)]:
        if tokens.estimate(text[:end]) > token_limit:
            break
        kept = end
    if kept:
        return text[:kept].rstrip()
    return text[: int(len(text) * token_limit / tokens.estimate(text))].rstrip()
