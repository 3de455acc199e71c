"""Arithmetic on Korean syllables (Unicode 3.12, Conjoining Jamo Behavior): final consonants, and what hangs on them."""

_FIRST, _LAST, _FINALS = 0xAC00, 0xD7A3, 28
NONE, NIEUN, RIEUL, BIEUP, PAIR_SIOT = 0, 4, 8, 17, 20
"""Final consonants by their number in a syllable: none, ㄴ, ㄹ, ㅂ, ㅆ."""

_PAIRS = {
    pair: (with_final, without)
    for with_final, without in (
        ("이", "가"), ("은", "는"), ("을", "를"), ("과", "와"), ("이랑", "랑"), ("이나", "나"), ("이라는", "라는"),
        ("이라고", "라고"), ("이라도", "라도"), ("으로", "로"), ("이야", "야"),
    )
    for pair in (with_final, without)
}  # fmt: skip


def final(syllable: str) -> int | None:
    """The number of the final consonant of `syllable`; `None` if that is no Korean syllable."""
    code = ord(syllable)
    return (code - _FIRST) % _FINALS if _FIRST <= code <= _LAST else None


def with_final(syllable: str, number: int) -> str:
    """`syllable` with another final consonant: 하 with BIEUP is 합."""
    code = ord(syllable) - _FIRST
    return chr(_FIRST + code - code % _FINALS + number)


def ending_in(number: int) -> str:
    """All syllables with that final consonant, for a character class of a regular expression."""
    return "".join(chr(code) for code in range(_FIRST + number, _LAST + 1, _FINALS))


def particle(word: str, wanted: str) -> str:
    """`wanted` (a particle such as 이 or 가) in the form that follows `word`."""
    if wanted not in _PAIRS:
        return wanted
    after_final, after_vowel = _PAIRS[wanted]
    last = final(word[-1]) if word else None
    if not last or (last == RIEUL and after_final == "으로"):
        return after_vowel
    return after_final
