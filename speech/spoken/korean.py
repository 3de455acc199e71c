"""Korean: how numbers, dates, money, addresses and initialisms are said."""

import re
from collections.abc import Callable, Iterable

from speech.spoken import korean_words, patterns
from speech.spoken.korean_numerals import by_digit, closed, native, read, sino
from speech.spoken.patterns import NUMBER


def _any(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_COUNTERS = _any(korean_words.NATIVE + korean_words.SINO)
_SUFFIX = (
    rf"(?:\s?(?P<unit>{_any(korean_words.UNITS)})(?![A-Za-z])"
    rf"|(?P<scale>[십백천]?[만억조]|천|백)?"
    rf"(?:\s(?=(?:{_COUNTERS})[은는이가을를의에로도만씩와과]?(?![가-힣])))?(?P<counter>{_COUNTERS})"
    rf"|(?P<bare>[십백천]?[만억조]|천|백))"
)
_SIGN = r"(?P<sign>(?<![\w.)\]~%-])[-−–](?=\d))"
_QUANTITY = (
    rf"(?P<label>제\s?(?=\d))?{_SIGN}?(?P<low>{NUMBER})(?:\s?[~∼〜–-]\s?(?P<high>{NUMBER})(?![\d:/-]))?{_SUFFIX}?"
)
_RULES = re.compile(
    rf"(?=[\dA-Za-z₩$€£¥@&#%+×÷=~∼〜→±제(\[*−–-])(?:"
    rf"(?P<email>{patterns.EMAIL})|(?P<url>{patterns.URL})|(?P<site>{patterns.DOMAIN})"
    rf"|(?P<known>(?<![A-Za-z0-9])(?:{_any(korean_words.WORDS)})(?![A-Za-z0-9]))"
    rf"|{patterns.PHONE}|(?P<emergency>(?<![\d,.])11[29](?=에|로|번에|번으로|\s?신고))"
    rf"|(?P<remembered>(?<![\d.])(?P<one>\d{{1,2}})(?:·(?P<two>\d{{1,2}})(?!\d|\s?(?:{_COUNTERS}))"
    rf"|\.(?P<three>\d{{1,2}})(?=\s?(?:{korean_words.REMEMBERED}))))"
    rf"|(?P<date>{patterns.DATE})|(?P<clock>{patterns.CLOCK}{patterns.HALF_DAY}?)"
    rf"|(?P<versions>{patterns.VERSION})|(?P<fraction>{patterns.FRACTION})"
    rf"|(?P<money>{patterns.CURRENCY}(?P<amount>{NUMBER})(?:\s?(?P<times>million|billion|trillion|[kKMB](?![A-Za-z])"
    rf"|[십백천]?[만억조]|천))?)"
    rf"|(?P<hash>\#(?P<hashed>\d+)(?![A-Za-z0-9]))|(?P<ratio>(?<![\d:])(?P<left>\d+)(?::|대(?=\d))(?P<right>\d+)(?![\d:대]))"
    rf"|(?P<ordinal>(?P<nth>\d+)(?:st|nd|rd|th)(?![A-Za-z]))"
    rf"|(?P<letters>(?<![A-Za-z])(?:[A-Z]{{2,6}}(?![A-Za-z])|[A-Z](?=[가-힣]|-?\d)"
    rf"|(?:(?<=\d)|(?<=[A-Z]-))[A-Z](?![A-Za-z]))-?(?=(?P<numbered>\d)?))"
    rf"|(?P<operator>(?:(?<=[\d)])|(?<=[\d)] ))(?P<operation>[+×÷=*xX])\s*(?=[\d(]))"
    rf"|(?P<to>(?<=[\d가-힣%) ])[~∼〜]\s?(?=[\d₩$€£¥]|오전|오후))"
    rf"|(?P<quantity>{_QUANTITY})"
    r"|(?P<symbol>&\s?|@\s?|\#(?=\w)|%|→\s?|±)"
    r")"
)
_WORTHWHILE = re.compile(r"[0-9A-Z０-９@&#%＠＆＃％→±]|www|\.[a-z]|://")
_DIGITS = re.compile(r"\d+")
_CODE_AFTER = re.compile(r"(?:번호|코드|[끝뒷앞]\s?자리)(?:는|은|가|이)?:?\s?$")
_AMOUNT = re.compile(r"\d(?:\s?[가-힣%]{1,4})?(?:\([가-힣]\))?(?:\s반)?\s?$")
_LAST_NUMBER = re.compile(rf"{NUMBER}$")
_OPERATIONS = {"+": " 더하기 ", "×": " 곱하기 ", "*": " 곱하기 ", "x": " 곱하기 ", "X": " 곱하기 ", "÷": " 나누기 "}
_SYMBOLS = {"&": " 앤 ", "@": "골뱅이 ", "#": "해시태그 ", "%": "퍼센트", "→": ", ", "±": "플러스마이너스 "}
_TOP_LEVEL = {"com": "닷컴", "net": "닷넷", "org": "닷오알지"}


def spoken(text: str) -> str:
    """`text` as it is said in Korean."""
    if not _WORTHWHILE.search(text):
        return text
    return _RULES.sub(_say, patterns.narrow(text))


def _say(match: re.Match[str]) -> str:
    """The group that closes last is the alternative that matched."""
    return _HANDLERS[match.lastgroup or "quantity"](match)


def _host(name: str) -> str:
    parts = patterns.host(name)
    last = _TOP_LEVEL.get(parts[-1], parts[-1]) if parts else ""
    said = " ".join(" 점 ".join(parts[:-1]).split()) + (f" {last}" if last.startswith("닷") else f" 점 {last}")
    return _spell(said.replace("-", " 대시 "))


def _spell(text: str) -> str:
    """Digits in a name, one by one, apart from its letters."""
    return _DIGITS.sub(lambda digits: f" {by_digit(digits[0])} ", text).replace("  ", " ").strip()


def _email(match: re.Match[str]) -> str:
    mailbox = match["mailbox"].lower()
    for mark, word in ((".", " 점 "), ("_", " 언더바 "), ("-", " 대시 "), ("+", " 플러스 "), ("%", " 퍼센트 ")):
        mailbox = mailbox.replace(mark, word)
    return f"{_spell(mailbox)} 골뱅이 {_host(match['mailhost'])}"


def _url(match: re.Match[str]) -> str:
    return _host(match["host"]) + patterns.sentence_end(match["path"])


def _site(match: re.Match[str]) -> str:
    return _host(match["domain"]) + patterns.sentence_end(match["domainpath"])


def _phone(match: re.Match[str]) -> str:
    groups = _DIGITS.findall(match["phone"])
    said = ", ".join(by_digit(group) for group in groups)
    return f"플러스 {said}" if match["phone"].startswith("+") else said


def _day(month: int, day: int) -> str:
    return f"{_month(month)} {sino(day)}일"


def _month(month: int) -> str:
    return {6: "유월", 10: "시월"}.get(month, f"{sino(month)}월")


def _date(match: re.Match[str]) -> str:
    found = patterns.date(match)
    if found is None:
        return " ".join(read(digits) for digits in _DIGITS.findall(match[0]))
    return f"{sino(found[0])}년 {_day(found[1], found[2])}"


def _clock(match: re.Match[str]) -> str:
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"] or 0)
    words = [f"{native(hour) if hour <= 12 else sino(hour)} 시"]
    if match["half"]:
        words.insert(0, "오전" if match["half"][0] in "aA" else "오후")
    if minute or second:
        words.append(f"{sino(minute)} 분")
    if second:
        words.append(f"{sino(second)} 초")
    return " ".join(words)


def _version(match: re.Match[str]) -> str:
    number = match["version"] or match["shortversion"]
    said = " 점 ".join(read(part) for part in number.split("."))
    return f"버전 {said}" if match[0][0] in "vV" else said


def _fraction(match: re.Match[str]) -> str:
    over, under = int(match["over"]), int(match["under"].replace(",", ""))
    if patterns.is_day(over, under) and (under > 10 or over >= under):
        return _day(over, under)
    return f"{sino(under)}분의 {sino(over)}"


def _emergency(match: re.Match[str]) -> str:
    return by_digit(match["emergency"])


def _remembered(match: re.Match[str]) -> str:
    """A day in history by its month and day: `6·25` is 육이오."""
    day = match["two"] or match["three"]
    return sino(int(match["one"])) + (sino(int(day)) if day in ("10", "11", "12", "20") else by_digit(day))


def _money(match: re.Match[str]) -> str:
    return ("마이너스 " if match["owing"] else "") + _amount(match)


def _amount(match: re.Match[str]) -> str:
    name, small = korean_words.CURRENCIES[match["currency"]]
    amount, times = match["amount"], match["times"] or ""
    whole, _, cents = amount.partition(".")
    if len(cents) == 2 and small and not times:
        parts = [f"{read(whole)} {name}"] if whole.strip("0,") or not int(cents) else []
        parts += [f"{sino(int(cents))} {small}"] if int(cents) else []
        return " ".join(parts)
    scale = korean_words.SCALES.get(times, times)
    exact = _scaled(amount, scale)
    return f"{exact} {name}"


def _scaled(amount: str, scale: str) -> str:
    """`1.2` and 백만 are 백이십만: a decimal number of a scale that Korean does not count in is written out."""
    power = {"천": 3, "백만": 6, "십억": 9}.get(scale, 0)
    whole, _, decimals = amount.replace(",", "").partition(".")
    if power and len(whole) + power <= 20 and len(decimals) <= power:
        return sino(int((whole + decimals).ljust(len(whole) + power, "0")))
    if amount == "1" and scale == "만":
        return scale
    return read(amount) + scale


def _hash(match: re.Match[str]) -> str:
    hashed = match["hashed"]
    return f"{by_digit(hashed) if len(hashed) >= patterns.CODE_DIGITS else read(hashed)}번"


def _ratio(match: re.Match[str]) -> str:
    return f"{read(match['left'])} 대 {read(match['right'])}"


def _ordinal(match: re.Match[str]) -> str:
    return _counted(match["nth"], "번째")


def _letters(match: re.Match[str]) -> str:
    word = match["letters"].rstrip("-")
    pronounced = len(word) > 3 and any(letter in "AEIOU" for letter in word)
    said = word if pronounced else "".join(korean_words.LETTERS[letter] for letter in word)
    hyphen = "" if match["numbered"] or not match["letters"].endswith("-") else "-"
    return f"{said} " if match["numbered"] else said + hyphen


def _operator(match: re.Match[str]) -> str:
    if match["operation"] != "=":
        return _apart(match, _OPERATIONS[match["operation"]])
    number = _LAST_NUMBER.search(match.string[max(0, match.start() - 24) : match.start()].rstrip())
    return "은 " if number and closed(read(number[0])) else "는 "


def _to(match: re.Match[str]) -> str:
    amount = _AMOUNT.search(match.string[max(0, match.start() - 16) : match.start()])
    return "에서 " if amount else match[0]


def _known(match: re.Match[str]) -> str:
    return korean_words.WORDS[match["known"]]


def _symbol(match: re.Match[str]) -> str:
    return _apart(match, _SYMBOLS[match["symbol"].strip()])


def _apart(match: re.Match[str], word: str) -> str:
    """Without a second space where there is one before."""
    return word.lstrip() if match.string[: match.start()].endswith((" ", "\n")) or not match.start() else word


def _quantity(match: re.Match[str]) -> str:
    unit, counter = match["unit"], match["counter"]
    scale = match["scale"] or match["bare"] or ""
    low, high = match["low"], match["high"]
    label = "제" if match["label"] else ""
    sign = ""
    if not (unit or counter or scale):
        before = match.string[max(0, match.start() - 12) : match.start()]
        if patterns.coded(high):
            return f"{by_digit(low)} 다시 {by_digit(high)}"
        if len(low) >= patterns.CODE_DIGITS and low.isdigit() and not high and _CODE_AFTER.search(before):
            return by_digit(low)
        if high and before[-1:].isascii() and before[-1:].isalpha():  # B2-15
            return f"{read(low)} 다시 {read(high)}"
    if match["sign"]:
        sign = "영하 " if unit in ("°", *korean_words.CELSIUS) or counter == "도" else "마이너스 "
    if unit:
        return sign + _measured(unit, low, high, bool(match["sign"]))
    if counter and not label and not scale and _with_native(counter, match):
        said = _counted(low, counter)
        return sign + (f"{said}에서 {_counted(high, counter)}" if high else said)
    said = label + sign + _range(low, high, counter, scale)
    if not counter:
        return said
    return said + (counter if counter in korean_words.ATTACHED and not scale else f" {counter}")


def _measured(unit: str, low: str, high: str | None, negative: bool) -> str:
    before = korean_words.BEFORE.get(unit, "섭씨" if unit in korean_words.CELSIUS and not negative else "")
    said = _range(low, high, "", "") + " " + korean_words.UNITS[unit]
    return f"{before} {said}" if before else said


def _range(low: str, high: str | None, counter: str | None, scale: str) -> str:
    if high is None:
        return _scaled(low, scale) if scale else read(low)
    upwards = float(low.replace(",", "")) < float(high.replace(",", ""))
    between = "에서" if upwards and counter not in ("호", "번지") else " 다시"
    return f"{read(low)}{between} {read(high)}{scale}"


def _with_native(counter: str, match: re.Match[str]) -> bool:
    """Whether this counter takes native numerals here (or a month its own name)."""
    low = match["low"]
    if counter in korean_words.ATTACHED:
        return counter == "월" or match["high"] is not None
    if counter not in korean_words.NATIVE or "." in low or "," in low or low.startswith("0"):
        return counter == "시"
    if counter == "대":
        return not (len(low) == 2 and low.endswith("0"))
    if counter == "번":
        if match.string[: match.start()].endswith("답은 "):
            return False
        following = match.string[match.end() : match.end() + 6].lstrip()
        return not following.startswith(tuple(korean_words.LABELLED.split("|")))
    return True


def _counted(number: str, counter: str) -> str:
    value = int(number.partition(".")[0].replace(",", "") or "0") if len(number) < 20 else 0
    if counter == "월":
        return _month(value)
    if counter in korean_words.ATTACHED:
        return read(number) + counter
    if counter == "번째" and value == 1:
        return "첫 번째"
    if not value or "." in number or (counter == "시" and value > 12):
        return f"{read(str(value) if counter == '시' else number)} {counter}"
    return f"{native(value)} {counter}"


_HANDLERS: dict[str, Callable[[re.Match[str]], str]] = {
    "quantity": _quantity,
    "letters": _letters,
    "known": _known,
    "email": _email,
    "url": _url,
    "site": _site,
    "phone": _phone,
    "emergency": _emergency,
    "remembered": _remembered,
    "date": _date,
    "clock": _clock,
    "versions": _version,
    "fraction": _fraction,
    "money": _money,
    "hash": _hash,
    "ratio": _ratio,
    "ordinal": _ordinal,
    "operator": _operator,
    "to": _to,
    "symbol": _symbol,
}
