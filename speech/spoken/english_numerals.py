"""English numerals: cardinals, ordinals, years, and digit by digit."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ONES = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_THOUSANDS = ("", " thousand", " million", " billion", " trillion", " quadrillion", " quintillion")
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def by_digit(text: str) -> str:
    """Each digit by itself: `010` is zero one zero."""
    return " ".join(_ONES[int(digit)] for digit in text)


def cardinal(number: int) -> str:
    """A whole number from 0 below 10^21: `1234` is one thousand two hundred thirty-four."""
    if number == 0:
        return _ONES[0]
    words: list[str] = []
    for thousands in _THOUSANDS:
        number, group = divmod(number, 1000)
        if group:
            words.append(_group(group) + thousands)
    return " ".join(reversed(words))


def _group(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    words = [f"{_ONES[hundreds]} hundred"] if hundreds else []
    if rest >= 20:
        tens, one = divmod(rest, 10)
        words.append(f"{_TENS[tens]}-{_ONES[one]}" if one else _TENS[tens])
    elif rest:
        words.append(_ONES[rest])
    return " ".join(words)


def ordinal(number: int) -> str:
    """`21` is twenty-first."""
    word = cardinal(number)
    cut = max(word.rfind(" "), word.rfind("-")) + 1
    last = word[cut:]
    ending = _ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return word[:cut] + ending


def year(number: int) -> str:
    """`1999` is nineteen ninety-nine, `2026` twenty twenty-six, `2005` two thousand five."""
    century, rest = divmod(number, 100)
    if not 1000 <= number < 10_000 or (century % 10 == 0 and rest < 10):
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def plural(word: str) -> str:
    """Of a numeral: nineties, sevens, sixes."""
    if word.endswith("y"):
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith("x") else f"{word}s"


def read(text: str) -> str:
    """A number as written, with commas and decimals: `1,234.5` is one thousand two hundred thirty-four point five."""
    whole, _, decimals = text.replace(",", "").partition(".")
    single = len(whole) > 18 or (len(whole) > 1 and whole[0] == "0")
    word = by_digit(whole) if single else cardinal(int(whole))
    return f"{word} point {by_digit(decimals)}" if decimals else word
