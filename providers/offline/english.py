"""Softens one English sentence: insults, threats and shouting go; demands are put politely."""

import calendar
import functools
import re

from providers.offline import lexicon
from providers.offline.facts import MARK
from providers.offline.heat import Heat
from providers.offline.patterns import Rules

_START, _STOP = r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])"
_WORD = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)*")
_AMBIGUOUS = frozenset({"it", "us", "am", "or", "in", "me", "as", "an", "at", "he", "go", "be", "by", "if", "i", "a"})
"""Also an abbreviation or a place (IT, US, OR, ME, …): in lower case only where everything is shouted."""
_CAPITALIZED = frozenset(name.lower() for name in (*calendar.day_name, *calendar.month_name[1:]))
_EDGES = " \t,;:-–—"


class _Rules:
    """The lexicon, compiled."""

    def __init__(self) -> None:
        words = lexicon.load("en")
        insults, demands = words["insults"], words["demands"]
        strong, weak, charges = ("|".join(insults[kind]) for kind in ("strong", "weak", "charges"))
        anyone, described = f"(?:{strong}|{weak}|{charges})", rf"(?:{insults['adjectives']}\s+){{0,4}}"
        people = r"you(?:\s+(?:people|guys|lot|all))?"
        group = r"(?:bunch|pack|gang|load|group)\s+of\s+"

        self.phrases = Rules(lexicon.entries("en", "rules"), before=_START, after=_STOP, flags=re.IGNORECASE)
        self.insulting = Rules(
            [(find, "") for find in insults["strong"] + insults["weak"] + insults["charges"]],
            before=_START,
            after=_STOP,
            flags=re.IGNORECASE,
        )
        self.people: list[tuple[re.Pattern[str], str]] = [
            (re.compile(f"{_START}{find}{_STOP}", re.IGNORECASE), put)
            for find, put in (
                (rf"i(?:['’]m|\s+am)\s+not\s+(?:an?\s+)?{described}{anyone}(?:\s*,)?(?:\s+and)?", ""),
                # you (are) idiots: an attack, gone; you idiots sent: you sent
                (
                    rf"(?:,\s*)?{people}(?:\s+are|['’]re)\s+(?:all\s+|just\s+|nothing\s+but\s+|such\s+)?(?:a\s+)?(?:{group})?{described}{anyone}",
                    "",
                ),
                (rf",?\s*{people}\s+{described}(?:{group})?{anyone}(?=\s*(?:[,;:]|$))", ""),
                (rf"you\s+{described}{anyone}(?=\s)", "you"),
                # the agent was a complete moron: was unhelpful
                (
                    rf"(?P<be>am|is|are|was|were|be|been|being)\s+(?:all\s+|just\s+|such\s+)?(?:an?\s+)?(?:{group})?{described}(?:{strong}|{weak})",
                    r"\g<be> unhelpful",
                ),
                (
                    rf"(?P<be>am|is|are|was|were|be|been|being)\s+(?:\w+ly\s+)?(?:an?\s+)?{insults['adjectives']}\s+(?:{strong}|{weak})",
                    r"\g<be> unhelpful",
                ),
                (rf"(?:what\s+)?(?:an?\s+)?{group}{described}{anyone}", ""),
                (rf"what\s+(?:an?\s+)?{described}{anyone}", ""),
                # your dumbass driver: your driver
                (rf"{described}(?:{strong})(?=\s+{insults['roles']}{_STOP})", ""),
                (
                    rf"(?P<det>the|that|this|an?|some|one|every|each|your|our|their)\s+{described}(?:{strong})(?<!s)",
                    r"\g<det> person",
                ),
                (rf"(?P<det>these|those|your|our|their|the|of)\s+{described}(?:{strong})(?<=s)", r"\g<det> people"),
                (rf"^{described}{anyone}(?=\s*(?:,|$))|,\s*{described}{anyone}$|{described}(?:{strong})", ""),
            )
        ]
        self.demand = re.compile(
            rf"^(?P<lead>(?:(?:so|and|then|now|just|also|or|but|please)\b,?\s*){{0,4}})(?P<verb>(?:{demands['verbs']})\b(?!\s+{demands['not_before']}\b)"
            rf"|(?:{demands['ambiguous']})(?=\s+(?:{demands['objects']}\b|{MARK})))(?!['’\w])",
            re.IGNORECASE,
        )
        self.common = frozenset(words["shouting"]["common"].split())


_rules = functools.cache(_Rules)
_POLITER = [
    (re.compile(pattern, re.IGNORECASE), put)
    for pattern, put in (
        (rf"{_START}(?:i|we)\s+(?:demand|insist)\s+that\s+(?:you\s+)?", "please "),
        (
            rf"{_START}(?P<who>i|we)\s+(?:demand|insist\s+on|expect)(?=\s+(?:an?|the|my|our|your|to|full|some|compensation|immediate|{MARK}))",
            r"\g<who> would like",
        ),
        (
            r"^you(?:['’]d\s+better|\s+(?:had\s+better|better|need\s+to|have\s+to|ought\s+to|must))\s+(?!be\b|not\b|have\b)",
            "please ",
        ),
    )
]
_WANT = re.compile(
    rf"{_START}(?P<who>i|we)\s+(?:just\s+)?want(?=\s+(?:an?|the|my|our|to|full|some|compensation|{MARK}))",
    re.IGNORECASE,
)
_NOW = re.compile(
    r"\s+(?:right\s+now|asap|this\s+(?:instant|second|minute))(?=$|,)|(?<=(?:.me|.it|ack|und|der|unt|ion|ney|his|xed))\s+now$",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"\b(an?)\s+([A-Za-z]+)", re.IGNORECASE)
_VOWEL = re.compile(r"(?!eu|one|once|uni[^n]|us[aeu]|ut[ei]|uk)[aeiou]|hour|honest", re.IGNORECASE)
_LAUGHTER = re.compile(r"(?<![A-Za-z0-9])(?:lo+l|lmf?ao+|rofl|(?:ha){2,6}h?|omg|smh)(?![A-Za-z0-9])", re.IGNORECASE)
_FILLERS = re.compile(
    r"(?:and|or|but|so|then|you|just|the|a|an|your|seriously|really|hey|well|like|again|is|this|i|for|with|of|to|me|,|\s|-)*",
    re.IGNORECASE,
)
"""What may be left over of an attack without saying anything."""


def is_shouted(text: str) -> bool:
    """Whether `text` is written in capitals for the most part."""
    words = [word for word in _WORD.findall(text[:4_000]) if len(word) > 1]
    return len(words) > 2 and sum(word.isupper() for word in words) > 0.7 * len(words)


def soften(core: str, *, alone: bool, shouted: bool) -> tuple[str, Heat]:
    """`core` without its heat, and how much there was.

    `core` is a sentence with its facts masked, without the punctuation at its end. `alone`: the sentence is in English,
    not only words in it; `shouted`: the whole text is in capitals. Empty if nothing but an attack was said.
    """
    rules = _rules()
    quiet = _quiet(core, all_of_it=shouted or is_shouted(core))
    text = quiet
    if rules.insulting.search(text):
        for pattern, put in rules.people:
            text = pattern.sub(put, text)
    text = rules.phrases.apply(text)
    hot = text != quiet
    if hot:
        text = _tidy(_LAUGHTER.sub("", text))
        if _FILLERS.fullmatch(text):
            return "", Heat.HOT
    asked = _ask(text) if alone else text
    if asked == core:
        return core, Heat.CALM
    curt = quiet != core or asked != _wish(text)
    asked = _tidy(_articles(asked, core))
    asked = asked[:1].upper() + asked[1:] if core[:1].isupper() else asked
    return asked, Heat.HOT if hot else Heat.CURT if curt else Heat.CALM


def _quiet(text: str, *, all_of_it: bool) -> str:
    """Common words in lower case where they are in capitals."""
    common = _rules().common

    def lower(match: re.Match[str]) -> str:
        word = match.group()
        plain = word.lower().replace("’", "'")
        known = plain in common or plain in _CAPITALIZED
        if not word.isupper() or not known or (not all_of_it and plain in _AMBIGUOUS):
            return word
        if plain in _CAPITALIZED:
            return word.capitalize()
        return "I" + word[1:].lower() if plain == "i" or plain.startswith("i'") else word.lower()

    return _WORD.sub(lower, text)


def _wish(text: str) -> str:
    """What someone wants, as what they would like; no more than a matter of tone."""
    return _WANT.sub(r"\g<who> would like", text)


def _ask(text: str) -> str:
    """Demands as requests."""
    for pattern, put in _POLITER:
        text = pattern.sub(put, text)
    text = _wish(text)
    text = _NOW.sub(" as soon as possible", text)
    match = _rules().demand.search(text)
    if not match or "please" in match["lead"].lower():
        return text
    verb = match["verb"]
    return f"{match['lead']}please {verb[:1].lower()}{verb[1:]}{text[match.end() :]}"


def _articles(text: str, before: str) -> str:
    """`a` and `an` fitted to words that did not follow them `before`."""
    was = before.lower()

    def fit(match: re.Match[str]) -> str:
        if match.group().lower() in was:
            return match.group()
        article = "an" if _VOWEL.match(match[2]) else "a"
        return (article.capitalize() if match[1][0].isupper() else article) + match.group()[len(match[1]) :]

    return _ARTICLE.sub(fit, text)


def _tidy(text: str) -> str:
    for pattern, put in _TIDY:
        text = pattern.sub(put, text)
    return text.strip(_EDGES)


_TIDY = [
    (re.compile(r"[ \t]{2,}"), " "),
    (re.compile(r"[ \t]+(?=[,.;)])"), ""),
    (re.compile(r",(?:\s*,)+"), ","),
    (re.compile(r"[\s,;:-]+(?:and|or|but|so)?[\s,;:-]*$"), ""),
]
