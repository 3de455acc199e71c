"""A vendor's own reason for an error, made fit for our errors: short, without request content and without secrets.

Vendors do repeat both: validation errors quote the prompt, `Incorrect API key provided: …` the key.
"""

from collections.abc import Iterable, Iterator

from providers.service import Ask, Text, ToolResult

LIMIT = 300
"""Characters of a reason that are passed on."""
_WINDOW = 12
"""So many characters in a row that also stand in the request make a reason a quotation of it."""


def disclosable(reason: str, ask: Ask, secrets: Iterable[str | None] = ()) -> str | None:
    """The reason as it may be shown and logged; `None` if it repeats what is not ours to tell, or is no reason."""
    short = " ".join(reason.split())[:LIMIT]
    if any(secret and secret in reason for secret in secrets):
        return None
    if short.startswith("<"):  # a proxy's page
        return None
    if any(_quotes(short, " ".join(text.split())) for text in _texts(ask)):
        return None
    return short or None


def _texts(ask: Ask) -> Iterator[str]:
    if ask.system:
        yield ask.system
    for message in ask.messages:
        for part in message.parts:
            match part:
                case Text(text=text) | ToolResult(content=text):
                    yield text
                case _:
                    pass


def _quotes(reason: str, text: str) -> bool:
    if len(text) < _WINDOW:
        return len(text) > 3 and text in reason
    return any(reason[start : start + _WINDOW] in text for start in range(len(reason) - _WINDOW + 1))
