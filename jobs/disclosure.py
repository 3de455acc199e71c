"""A vendor's own reason for an error, made fit for our errors: short, without request content and without secrets.

Vendors do repeat both: validation errors quote the prompt, `Incorrect API key provided: …` the key.
"""

from collections.abc import Iterable

LIMIT = 300
"""Characters of a reason that are passed on."""
_WINDOW = 12
"""So many characters in a row that also stand in the request make a reason a quotation of it."""


def disclosable(reason: str, texts: Iterable[str], secrets: Iterable[str | None] = ()) -> str | None:
    """The reason as it may be shown and logged; `None` if it repeats what is not ours to tell, or is no reason.

    `texts` are the parts of the request.
    """
    short = " ".join(reason.split())[:LIMIT]
    if any(secret and secret in reason for secret in secrets):
        return None
    if short.startswith("<"):  # a proxy's page
        return None
    if any(_quotes(short, " ".join(text.split())) for text in texts):
        return None
    return short or None


def _quotes(reason: str, text: str) -> bool:
    if len(text) < _WINDOW:
        return len(text) > 3 and text in reason
    return any(reason[start : start + _WINDOW] in text for start in range(len(reason) - _WINDOW + 1))
