"""Vendors' reasons for errors, without what the caller asked."""

from collections.abc import Iterable, Iterator

from jobs import disclosure
from providers.service import Ask, Text, ToolResult


def disclosable(reason: str, ask: Ask, secrets: Iterable[str | None] = ()) -> str | None:
    """See `jobs.disclosure.disclosable`."""
    return disclosure.disclosable(reason, texts(ask), secrets)


def texts(ask: Ask) -> Iterator[str]:
    """Its parts that a reason must not repeat."""
    if ask.system:
        yield ask.system
    for message in ask.messages:
        for part in message.parts:
            match part:
                case Text(text=text) | ToolResult(content=text):
                    yield text
                case _:
                    pass
