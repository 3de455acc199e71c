"""Which language a text is in, told by its script."""

import re
from typing import Literal

Language = Literal["ko", "ja", "zh", "en"]

BY_SCRIPT: tuple[Language, ...] = ("ko", "ja", "zh")
"""Those that are told by their script; `en` stands for all others."""
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
_KANA = re.compile("[\u3040-\u30ff]")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_LATIN = re.compile(r"[A-Za-z]+")
_SAMPLE = 4_000
"""Characters of a long text that are looked at."""


def detect(text: str) -> Language:
    """The language that most of `text` seems to be in. What is neither Korean, Japanese nor Chinese is `en`.

    A Hangul syllable or a Han character weighs as much as half a Latin word: product names and addresses in Latin
    letters do not make a Korean question English.
    """
    sample = text[:_SAMPLE]
    hangul = len(_HANGUL.findall(sample))
    kana = len(_KANA.findall(sample))
    han = len(_HAN.findall(sample))
    words = len(_LATIN.findall(sample))
    if hangul >= max(kana + han, words * 2, 1):
        return "ko"
    if kana + han > words * 2:
        return "ja" if kana * 10 >= han else "zh"
    return "ko" if hangul > words else "en"
