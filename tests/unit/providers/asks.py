"""Asks, and what comes of them."""

from typing import Any

from providers.service import AIService, Answer, Ask, Delta, Message, Text


def ask(model: str, text: str = "", **fields: Any) -> Ask:
    """A single user message."""
    return Ask(model=model, messages=(Message(role="user", parts=(Text(text),)),), **fields)


async def collect(service: AIService, asked: Ask) -> tuple[list[str], Answer]:
    """The stream's deltas and its answer, the order checked: one answer, last, with the deltas' text."""
    items = [item async for item in service.stream(asked)]
    answer = items.pop()
    assert isinstance(answer, Answer)
    deltas = [item.text for item in items if isinstance(item, Delta)]
    assert not any(isinstance(item, Answer) for item in items)
    assert all(deltas)
    assert "".join(deltas) == answer.text
    return deltas, answer
