"""Korean numerals: Sino-Korean (일, 이), native before counters (한, 두), and digit by digit (공일공)."""

_DIGITS = "영일이삼사오육칠팔구"
_PLACES = ("", "십", "백", "천")
_MYRIADS = ("", "만", "억", "조", "경")
_NATIVE_ONES = ("", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉")
_NATIVE_TENS = ("", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")
_BY_ONE = str.maketrans("0123456789", "공일이삼사오육칠팔구")
_AFTER_POINT = str.maketrans("0123456789", _DIGITS)


def by_digit(text: str) -> str:
    """Each digit by itself: `010` is 공일공."""
    return text.translate(_BY_ONE)


def sino(number: int) -> str:
    """A whole number from 0 below 10^20, parted at 만: `12000` is 만 이천."""
    if number == 0:
        return "영"
    words: list[str] = []
    for myriad in _MYRIADS:
        number, group = divmod(number, 10_000)
        if group:
            lone = group == 1 and myriad == "만" and number == 0
            words.append(myriad if lone else _group(group) + myriad)
    return " ".join(reversed(words))


def _group(number: int) -> str:
    word = ""
    for place in (3, 2, 1, 0):
        digit = number // 10**place % 10
        if digit:
            word += ("" if digit == 1 and place else _DIGITS[digit]) + _PLACES[place]
    return word


def native(number: int) -> str:
    """A number before a native counter: `20` is 스무, `21` is 스물한; Sino-Korean from 100 on and for 0."""
    if not 0 < number < 100:
        return sino(number)
    if number == 20:
        return "스무"
    return _NATIVE_TENS[number // 10] + _NATIVE_ONES[number % 10]


def read(text: str) -> str:
    """A number as written, with commas and decimals: `1,234.5` is 천이백삼십사 점 오."""
    whole, _, decimals = text.replace(",", "").partition(".")
    single = len(whole) > 20 or (len(whole) > 1 and whole[0] == "0")
    word = by_digit(whole) if single else sino(int(whole))
    return f"{word} 점 {decimals.translate(_AFTER_POINT)}" if decimals else word


def closed(word: str) -> bool:
    """Whether its last syllable ends in a consonant, as particles want to know."""
    return bool(word) and "가" <= word[-1] <= "힣" and (ord(word[-1]) - 0xAC00) % 28 > 0
