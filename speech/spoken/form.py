"""`spoken`: the rules of a language, by its code."""

from collections.abc import Callable

from speech.spoken import english, korean

_RULES: dict[str, Callable[[str], str]] = {"ko": korean.spoken, "en": english.spoken}


def spoken(text: str, language: str | None) -> str:
    """`text` as it is said in `language` (`ko`, `en-GB` …); unchanged for other languages, which have no rules here.

    Plain words are unchanged, and so is what has been through this before. Never raises.
    """
    rules = _RULES.get((language or "").replace("_", "-").split("-")[0].lower())
    return text if rules is None else rules(text)
