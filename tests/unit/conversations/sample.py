"""Things said, and models that take notes."""

import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from conversations.memory.summary import Summary
from jobs import ids
from jobs.model import Usage
from jobs.session import MemorySettings, Message
from jobs.store.sessions import Recalled
from providers.service import Answer, Ask, Text
from tests.integration.store.conversation import session_spec

_BEGAN = datetime(2026, 11, 22, tzinfo=UTC)
_numbers = itertools.count(1)


def said(text: str, role: Any = "user", **fields: Any) -> Message:
    """A message, later than all before."""
    at = _BEGAN + timedelta(seconds=next(_numbers))
    id_ = f"{ids.floor('msg', int(at.timestamp() * 1000))}{'0' * 16}"
    return Message(id=id_, session_id="ses_x", role=role, text=text, at=at, **fields)


def talk(*texts: str) -> list[Message]:
    """User and assistant in alternation."""
    return [said(text, "assistant" if nth % 2 else "user") for nth, text in enumerate(texts)]


def recalled(
    summary: Summary | None = None,
    *,
    recent: list[Message] | None = None,
    earlier: list[Message] | None = None,
    memory: MemorySettings | None = None,
    **fields: Any,
) -> Recalled:
    """What a session remembers."""
    return Recalled(
        spec=session_spec(memory=memory or MemorySettings(), **fields),
        version=1 if summary else 0,
        memory=msgspec.json.encode(summary) if summary else b"",
        earlier=tuple(earlier or ()),
        recent=tuple(recent or ()),
    )


def text_of(ask: Ask) -> str:
    """Everything in a request, as the model sees it."""
    parts = [part.text for message in ask.messages for part in message.parts if isinstance(part, Text)]
    return "\n".join([ask.system or "", *parts])


def notes(text: str, *facts: str) -> str:
    """An answer in the form that is asked for."""
    listed = "\n".join(f"- {fact}" for fact in facts)
    return f"<summary>\n{text}\n</summary>\n<facts>\n{listed}\n</facts>"


class Model:
    """Gives these answers, then the last one again; knows what it was asked."""

    def __init__(self, *answers: str | Exception | Callable[[str], Awaitable[str]]) -> None:
        self._answers = answers
        self.asks: list[Ask] = []

    async def __call__(self, ask: Ask) -> Answer:
        answer = self._answers[min(len(self.asks), len(self._answers) - 1)]
        self.asks.append(ask)
        if isinstance(answer, Exception):
            raise answer
        text = answer if isinstance(answer, str) else await answer(text_of(ask))
        return Answer(text=text, finish="stop", usage=Usage(), model="scripted")
