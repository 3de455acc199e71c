"""Which characters end sentences, open and close quotations, are drawn rather than spoken, or take two columns."""

import re

MARKS = ".!?。！？．｡…‥"
PERIODS = ".．"
FULL_STOPS = "。｡"
OPENERS = "(（[{「『《〈【“‘«"
CLOSERS = ")）]}」』》〉】”’»"
PAIRS = dict(zip(CLOSERS, OPENERS, strict=True))
EMPHASIS = "*_~`"

LEADING = MARKS + EMPHASIS + " \t\r\n\u3000"
"""What may stand before a segment, left from the one before it."""

EMOJI = "\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u231a-\u23fa\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f"
"""Ranges of a character class: pictographs and what joins or varies them."""

FACES = (
    "\U0001f600-\U0001f64f\U0001f910-\U0001f92f\U0001f970-\U0001f97a\U0001f389\U0001f38a\U0001f44d\U0001f44b\U0001f44f"
)
"""Ranges of a character class: pictographs that people put behind a sentence, hardly inside one."""

RUN = re.compile(f"[{re.escape(MARKS)}]+")
WORD = re.compile(r"[^\W_]")
WIDE = re.compile("[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff00-\uff60\U00020000-\U0003ffff]")
_BRACKETS = re.compile(rf"[{re.escape(OPENERS + CLOSERS)}\"'\n]")
_DEEPEST = 16


def hangul(char: str) -> bool:
    """Whether it is a Korean syllable or letter."""
    return "가" <= char <= "힣" or "ㄱ" <= char <= "ㆎ"


def kana(char: str) -> bool:
    """Whether it is Japanese hiragana or katakana."""
    return "\u3041" <= char <= "\u30ff"


def han(char: str) -> bool:
    """Whether it is a Chinese character."""
    return "\u3400" <= char <= "\u9fff" or "\U00020000" <= char <= "\U0003ffff"


def latin(char: str) -> bool:
    """Whether it is a letter of the Latin (or Greek or Cyrillic) alphabet."""
    return char.isalpha() and char < "\u1100"


def width(text: str) -> int:
    """Its length in columns: Korean, Japanese and Chinese characters count two, and take twice as long to say."""
    return len(text) + len(WIDE.findall(text))


def opened(text: str, before: str = "") -> str:
    """The brackets and quotation marks that are open after `text` if those of `before` were open, innermost last.

    None stays open over the end of a line.
    """
    stack = before
    for match in _BRACKETS.finditer(text):
        char, at = match[0], match.start()
        if char == "\n":
            stack = ""
        elif char in "\"'":
            stack = _straight(stack, char, text, at)
        elif char in OPENERS or (char in "”’»" and char not in stack and PAIRS[char] not in stack and _first(text, at)):
            stack += char
        elif char in stack:
            stack = stack[: stack.rindex(char)]
        elif PAIRS[char] in stack:
            stack = stack[: stack.rindex(PAIRS[char])]
    return stack[-_DEEPEST:]


def _first(text: str, at: int) -> bool:
    """Whether a mark stands before a word: Swedish opens with what English closes with."""
    return at == 0 or text[at - 1].isspace()


def _straight(stack: str, char: str, text: str, at: int) -> str:
    """Straight marks open and close alike; one inside a word is an apostrophe."""
    before = text[at - 1] if at else " "
    if char in stack:
        inside = char == "'" and latin(before) and at + 1 < len(text) and latin(text[at + 1])
        return stack if inside or before.isspace() else stack[: stack.rindex(char)]
    if char == '"':
        return stack if before.isdigit() else stack + char
    return stack + char if before.isspace() or before in OPENERS or before in ',:"' else stack
