"""Softens one Korean sentence: insults, threats and shouting go; demands and plain speech become polite."""

import functools
import re
from collections.abc import Iterator

from providers.offline import hangul, lexicon, register
from providers.offline.heat import Heat
from providers.offline.patterns import Entry, Rules

_START, _STOP = r"(?<![가-힣])", r"(?![가-힣])"
_LEAD = (
    r"(?:야,?\s+)?(?:(?:이|저|그|이런|저런|그런|요런|완전|진짜|순|아주)\s+)?"
    r"(?:(?:뻔뻔한|더러운|무식한|멍청한|한심한|나쁜|미친|정신\s?나간|(?:양심|개념|싸가지)\s?없는)\s+){0,3}"
)
_PARTICLE = r"이|가|은|는|을|를|의|도|만|과|와|이랑|랑|한테서?|에게서?|에서|보고|때문에|이나|나|부터|까지|로|으로"
_COPULA = (
    r"이?(?:[다네야냐니지임죠]|네[요여]|잖아요?|군요?|구[나만]|냐[고구]|에요)|예요|입니[다까]|인가요?"
    r"|이?\s?아니(?:냐|야|니|지|에요|예요)|이?\s?아닌가요?"
)
_SIMILE = r"\s?같(?:은데|은|네요?|다|아요?|이|음|습니다|냐|지)"
_WHOLE_PERSON = {"택배": "택배기사", "배달": "배달기사"}
_AFTER_SUBJECT = re.compile(r"[이가은는도]$")
_EMPHASIS = re.compile(r"\s(?:진짜|정말|아주|증말)$")
_OPENING = re.compile(r"^(?:진짜|정말|그냥|아니)\s+")
_CLOSING = re.compile(r"(?:^|\s)(?:귀사|담당자님)[가이는은도]?$")
"""Who was attacked, when the attack at the sentence's end is gone."""
_FILLERS = re.compile(
    r"(?:야|아|아니|진짜|정말|그냥|이|너무|지금|뭐|왜|이게|귀사[는가도]?|제가|저는|매우|사람|고객|그래서|근데|그리고|거|안\s?그러면|아니면|안\s?하면|[\s,.~·-])*"
)
"""What may be left over of an attack without saying anything."""


def soften(core: str, *, question: bool) -> tuple[str, Heat]:
    """`core` without its heat, and how much there was.

    `core` is a sentence with its facts masked, without the punctuation at its end; `question`: that has a `?`. What is
    returned may end in `?` itself, and is empty if nothing but an attack was said.
    """
    rules = _rules()
    said = _tidy(_EMPHASIS.sub("", rules.anywhere.apply(core)))
    text = rules.intensifiers.apply(said)
    text = rules.insults.sub(_person, text)
    unsworn = rules.swears.apply(text)
    if unsworn != text:
        text = rules.insults.sub(_person, unsworn)
    text = _tidy(rules.phrases.apply(_tidy(text)))
    hot = text != said
    own = rules.self.apply(text)
    text = _tidy(rules.pronouns.sub(_addressee, own))
    if hot:
        text = _CLOSING.sub("", _OPENING.sub("", text))
        if _FILLERS.fullmatch(text):
            return "", Heat.HOT
        if text.endswith("면") and not core.endswith("면"):  # what was threatened is gone; under which condition is not
            text += " 곤란합니다"
    text = register.polite(text, question=question)
    return text, Heat.HOT if hot else Heat.CURT if text != own else Heat.CALM


class _Rules:
    """The lexicon, compiled."""

    def __init__(self) -> None:
        def rules(*sections: str, before: str = _START) -> Rules:
            return Rules([entry for s in sections for entry in lexicon.entries("ko", s)], before=before)

        insults = lexicon.load("ko")["insults"]
        nouns = "|".join(insults["nouns"])
        self.anywhere = rules("anywhere", before="")
        self.intensifiers = rules("intensifiers")
        self.swears = rules("swears")
        self.self = rules("self")
        self.phrases = Rules([*_predicates(), *lexicon.entries("ko", "rules")], before=_START)
        self.insults = re.compile(
            rf"{_START}{_LEAD}(?:(?P<role>{insults['roles']})(?:이?라는|이?란)?\s?(?:{nouns}|놈|년|넘)|(?:{nouns}))"
            rf"(?P<many>들)?(?:(?P<particle>{_PARTICLE})|(?P<simile>{_SIMILE})|(?P<copula>{_COPULA})|(?P<call>[아야])|){_STOP}"
        )
        named = [(f"(?P<r{i}>{find})", put) for i, (find, put) in enumerate(lexicon.entries("ko", "pronouns"))]
        self.names = [put for _, put in named]
        self.pronouns = re.compile(
            rf"{_START}(?:{'|'.join(find for find, _ in named)})(?P<particle>{_PARTICLE})?{_STOP}"
        )


_rules = functools.cache(_Rules)


def _predicates() -> Iterator[Entry]:
    """Every form of the predicates in the lexicon, with the same form of the adjective that stands in for it."""
    for entry in lexicon.load("ko")["predicates"]:
        stem, put = entry["put"][:-1], entry["put"]
        if put.endswith("하"):
            adnominal, infinitive, past, formal = (stem + end for end in ("한", "해", "했", "합니다"))
        else:
            adnominal, infinitive, past, formal = (stem + end for end in ("러운", "러워", "러웠", "럽습니다"))
        for find in entry["plain"]:
            yield rf"{find}$", formal
        for find in entry["stem"]:
            yield rf"{find}습니다", formal
            yield rf"{find}(?=[네고지면거잖더게며]|니까)", put
        for find in entry["past"]:
            yield rf"{find}(?=[가-힣])", past
        for find in entry["infinitive"]:
            yield rf"{find}(?=서|요)", infinitive
            yield rf"{find}$", formal
        for find in entry["adnominal"]:
            yield rf"{find}(?=\s|데|걸|지|$)", adnominal


def _person(match: re.Match[str]) -> str:
    """What becomes of an insulting noun."""
    before = match.string[: match.start()].rstrip()
    many = match["many"] or ""
    if match["simile"]:
        kind = match["simile"].strip()
        return " 매우 실망스러운" if kind.startswith("같은") else "" if kind == "같이" else " 매우 실망스럽습니다"
    if match["role"] and not (match["call"] or match["copula"]):
        person = _WHOLE_PERSON.get(match["role"], match["role"]) + many
        return person + hangul.particle(person, match["particle"] or "")
    if match["particle"] is None:
        accused = _AFTER_SUBJECT.search(before) and match.end() == len(match.string)
        return "매우 실망스럽습니다" if accused else ""
    person = ("분" if before and hangul.final(before[-1]) == hangul.NIEUN else "담당자") + many
    return person + hangul.particle(person, match["particle"])


def _addressee(match: re.Match[str]) -> str:
    name = _rules().names[next(i for i in range(len(_rules().names)) if match[f"r{i}"])]
    particle = match["particle"] or ""
    return name + ("에" if particle in ("한테", "에게") else hangul.particle(name, particle))


_SPACES = re.compile(r"[ \t]{2,}")
_BEFORE_COMMA = re.compile(r"\s+(?=[,.)])")
_TWICE = re.compile(r"(?:너무|완전|진짜|정말)\s+(?=매우)|너무\s+(?=너무|전혀|안\s)|매우\s+(?=매우)")


def _tidy(text: str) -> str:
    text = _TWICE.sub("", _SPACES.sub(" ", text))
    return _BEFORE_COMMA.sub("", text).strip(" \t,;~")
