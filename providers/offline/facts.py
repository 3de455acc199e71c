"""What no rule may touch: quoted strings, addresses, and numbers with all that is written together with them.

Rules are applied to a text in which each fact is one character of Unicode's private use, so that they cannot damage
it; afterwards the facts are put back.
"""

import re

import msgspec

from providers.offline import lexicon

MARK = "[\U000f0000-\U000ffffd]"
"""A fact in a masked text, as a regular expression."""
_FIRST = 0xF0000
LIMIT = 0xFFFE
"""How many facts one masked text can hold."""

Span = tuple[int, int]
"""Start and end, in characters."""

_QUOTED = re.compile(
    r'"[^"\n]{1,400}"|“[^“”\n]{1,400}”|「[^「」\n]{1,400}」|『[^『』\n]{1,400}』|«[^«»\n]{1,400}»'
    r"|(?<!\w)'[^'\n]{1,400}'(?![^\W가-힣])|‘[^‘’\n]{1,400}’(?![^\W가-힣])"
)
_TELLING = re.compile(rf"(?<!\S)\S*?(?:\d|[@#.]\w|://|{MARK})\S*")
"""A token that may be or hold a fact."""
_WHOLE = re.compile(
    rf"[\w.+-]@\w|^[@#]\w|://|\bwww\.|{MARK}"
    r"|\w\.(?:com|net|org|edu|gov|io|ai|co|me|us|uk|eu|de|fr|jp|cn|kr|app|dev|shop|store|info|biz|tv|js"
    r"|pdf|jpe?g|png|gif|webp|heic|mp[34]|mov|zip|docx?|xlsx?|pptx?|hwpx?|csv|txt)(?![A-Za-z])",
    re.IGNORECASE,
)
"""An address, a file name, a handle or tag; or a character that a mask could be mistaken for: the token as it is."""
_PIECE = re.compile(r"(?:[^\s.,!?;…]|[.,](?=[0-9A-Za-z]))+")
"""A word, or what sentence punctuation without a space leaves of it."""
_ASCII = "".join(chr(c) for c in range(0x21, 0x7F)) + "₩€£¥"
_EDGES = ".,!?;:~…'\"“”‘’()[]{}<>「」『』。、，！？_*"
_TAILS = _EDGES + "".join(chr(c) for c in range(0x3131, 0x318F))
_COPULA = re.compile(r"(?<=[가-힣%)\w])(?:이?야|이?냐|이?네|이?지|이?잖아|이다|임)$")
"""Not part of a fact, so that 3일째야 can become 3일째입니다."""


def spans(text: str) -> list[Span]:
    """Every fact in `text`, in order, without overlaps."""
    found: list[Span] = []
    position = 0
    for quote in _QUOTED.finditer(text):
        found += _between_quotes(text, position, quote.start())
        found.append(quote.span())
        position = quote.end()
    return found + _between_quotes(text, position, len(text))


def _between_quotes(text: str, start: int, end: int) -> list[Span]:
    found: list[Span] = []
    for token in _TELLING.finditer(text[start:end]):
        word, at = token.group(), start + token.start()
        if lexicon.is_disguised_swear(word.strip(_EDGES)):
            continue
        if _WHOLE.search(word):
            found += _trimmed(word, at)
        else:
            for piece in _PIECE.finditer(word):
                if digit := re.search(r"\d", piece.group()):
                    start_of_run = len(piece.group()[: digit.start()].rstrip(_ASCII))
                    found += _trimmed(piece.group()[start_of_run:], at + piece.start() + start_of_run)
    return found


def _trimmed(word: str, at: int) -> list[Span]:
    """The span of `word`, found at `at`, without its edges; none if nothing is left."""
    start = len(word) - len(word.lstrip(_EDGES))
    kept = word.rstrip(_TAILS)
    kept = _COPULA.sub("", kept).rstrip(_TAILS)
    return [(at + start, at + len(kept))] if start < len(kept) else []


class Masked(msgspec.Struct, frozen=True):
    """A text, and the facts that stand in it as one character each."""

    text: str
    facts: tuple[str, ...]

    def put_back(self, text: str) -> str | None:
        """`text`, made of this one, with its facts; `None` if any was lost, doubled or moved before another."""
        if [ord(c) - _FIRST for c in re.findall(MARK, text)] != list(range(len(self.facts))):
            return None
        return re.sub(MARK, lambda m: self.facts[ord(m.group()) - _FIRST], text)


def mask(text: str, where: list[Span]) -> Masked:
    """`text` with the facts at `where` (as `spans` finds them; at most `LIMIT`) hidden."""
    pieces: list[str] = []
    position = 0
    for index, (start, end) in enumerate(where):
        pieces += text[position:start], chr(_FIRST + index)
        position = end
    pieces.append(text[position:])
    return Masked("".join(pieces), tuple(text[start:end] for start, end in where))
