"""English: how numbers, dates, money, addresses and abbreviations are said. Initialisms are left to the voice."""

import re
from collections.abc import Callable, Iterable

from speech.spoken import english_words, patterns
from speech.spoken.english_numerals import by_digit, cardinal, ordinal, plural, read, year
from speech.spoken.patterns import NUMBER


def _any(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_UNITS = _any((*english_words.UNITS, *english_words.SAME, *english_words.DEGREES))
_MONTH = _any(english_words.MONTH_STARTS)
_MONTH_NAMES = _any(name for name in english_words.MONTH_STARTS if not name.endswith("."))
_HALF = r"[AaPp][Mm]"
_FROM = "|".join(
    f"(?<={before}{space})"
    for before in (rf"\d{_HALF}", rf"\d {_HALF}", r"[AaPp]\.[Mm]\.", r":\d\d", r"\d%")
    for space in ("", " ")
)
"""What a dash after it makes a range. Variants of one width each, as `re` wants them."""
_OF_A_LIFE = "|".join(f"(?<={word} )" for word in ("the", "my", "his", "her", "your", "our", "their", "early", "late"))
"""30s are seconds, but after these they are years."""
_SIGN = r"(?P<sign>(?<![\w.)\]%-])[-−–](?=\d))"
_RULES = re.compile(
    rf"(?=[\dA-Za-z$€£¥₩@&#%+×÷=(*→±−–-])(?:"
    rf"(?P<email>{patterns.EMAIL})|(?P<url>{patterns.URL})|(?P<site>{patterns.DOMAIN})"
    rf"|(?P<known>(?<![A-Za-z0-9.])(?:{_any(english_words.WORDS)})(?![A-Za-z0-9]))"
    rf"|(?P<numbered>(?<![A-Za-z])(?:No|no|Nr)\.\s?(?=\d))"
    rf"|{patterns.PHONE}|(?P<date>{patterns.DATE})|(?P<clock>{patterns.CLOCK}(?P<half>\s?(?:[AaPp]\.[Mm]\.|[AaPp][Mm])(?!\w))?)"
    rf"|(?P<hour12>(?<![\w.:,])(?P<bare>1[0-2]|[1-9])\s?(?P<barehalf>{_HALF})(?!\w))"
    rf"|(?P<until>(?:{_FROM})[-–]\s?(?=\d)|(?:(?<=\d)|(?<=\d ))[-–]\s?(?=[₩$€£¥]\d))"
    rf"|(?P<ratio>(?<![\d:.,])(?P<left>\d{{1,3}}):(?P<right>\d{{1,3}})(?![\d:]))"
    rf"|(?P<height>(?<![\w.,'‘])(?P<feet>\d)\s?(?:['’′]|ft\.?)\s?(?P<inches>1[01]|\d)(?!\d)(?:\s?(?:[\"”″]|in\b))?)"
    rf"|(?P<daymonth>(?<![\w.,/:-])(?P<first>[12]?\d|3[01])(?:st|nd|rd|th)?\s(?P<inmonth>{_MONTH_NAMES})(?!\w)"
    rf"(?:,?\s(?P<monthyear>[12]\d{{3}})(?!\w))?)"
    rf"|(?P<usdate>(?<![\d/])(?P<usmonth>\d{{1,2}})/(?P<usday>\d{{1,2}})/(?P<usyear>\d{{4}})(?![\d/]))"
    rf"|(?P<monthday>(?<![A-Za-z])(?P<month>{_MONTH})\s(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?![\w:.%/]\d|\d|\w)"
    rf"(?:\s?[-–]\s?(?P<lastday>\d{{1,2}})(?![\w:.%/]\d|\d|\w))?(?:(?P<comma>,?)\s(?P<dayyear>[12]\d{{3}})(?!\w))?)"
    rf"|(?P<versions>{patterns.VERSION})|(?P<mixed>(?<![\w/.,])(?P<whole>\d{{1,3}})\s(?P<part>[1-9])/(?P<parts>[2-9])(?![\w/]))"
    rf"|(?P<fraction>{patterns.FRACTION})"
    rf"|(?P<money>{patterns.CURRENCY}(?P<amount>{NUMBER})"
    rf"(?:\s?(?P<times>thousand|million|billion|trillion|(?:bn|[kKMBT])(?!\w)))?)"
    rf"|(?P<hash>\#(?P<hashed>\d+)(?!\w))|(?P<decade>(?<!\w)(?P<tens>1[1-9]\d0|20\d0|[7-9]0|(?:{_OF_A_LIFE})[2-6]0)s(?!\w))"
    rf"|(?P<ordinal>(?<![\w.,])(?P<nth>\d{{1,3}}(?:,\d{{3}}){{1,4}}|\d{{1,9}})(?:st|nd|rd|th)(?!\w))"
    rf"|(?P<since>(?:(?<=Q[1-4] )|(?<!\w)(?<!ending )(?:[Ii]n|[Ss]ince|[Bb]y|[Uu]ntil|[Yy]ear|[Ee]arly|[Ll]ate"
    rf"|[Mm]id|{_MONTH})(?P<gap>[ -]))(?P<inyear>1[1-9]\d\d|20\d\d)(?![\w,.%:/-]\d|\w|%))"
    rf"|(?P<operator>(?:(?<=[\d)])|(?<=[\d)] ))(?P<operation>[+×÷=*xX])\s*(?=[\d(]))"
    rf"|(?P<times_more>(?<=\d)[xX](?!\w))|(?P<more>(?<=\d)\+(?![\w+]))"
    rf"|(?P<quantity>{_SIGN}?(?P<low>{NUMBER})(?:\s?[–-]\s?(?P<high>{NUMBER})(?![\d:/-]))?"
    rf"(?:[\s-]?(?P<unit>{_UNITS})(?![A-Za-z0-9]))?)"
    r"|(?P<symbol>&\s?|@\s?|\#(?=\w)|%|→\s?|±)"
    r")"
)
_WORTHWHILE = re.compile(r"[0-9０-９@&#%＠＆＃％→±]|www|\.[a-z]|://|vs|etc|w/o|approx")
_POINT = re.compile(r"(?<![\w.,])\.(?=\d)")
_CODE_AFTER = re.compile(r"\b(?:code|pin|zip|number|id|account|ending in)(?: is)?:? $", re.IGNORECASE)
_DIALED_AFTER = re.compile(r"\b(?:call|dial|extension|room) $", re.IGNORECASE)
_YEAR = re.compile(r"1[5-9]\d\d|20\d\d")
_ATTRIBUTE_AFTER = re.compile(r"\ban? $", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")
_OPERATIONS = {"+": " plus ", "×": " times ", "*": " times ", "÷": " divided by ", "=": " equals "}
_SYMBOLS = {"&": " and ", "@": "at ", "#": "hashtag ", "%": " percent", "→": ", ", "±": "plus or minus "}


def spoken(text: str) -> str:
    """`text` as it is said in (American) English."""
    if not _WORTHWHILE.search(text):
        return text
    return _RULES.sub(_say, _POINT.sub("0.", patterns.narrow(text)))


def _say(match: re.Match[str]) -> str:
    """The group that closes last is the alternative that matched."""
    return _HANDLERS[match.lastgroup or "quantity"](match)


def _spell(text: str) -> str:
    """Digits in a name, one by one, apart from its letters."""
    return " ".join(_DIGITS.sub(lambda digits: f" {by_digit(digits[0])} ", text).split())


def _host(name: str) -> str:
    return _spell(" dot ".join(patterns.host(name)).replace("-", " dash "))


def _email(match: re.Match[str]) -> str:
    mailbox = match["mailbox"].lower()
    for mark, word in ((".", " dot "), ("_", " underscore "), ("-", " dash "), ("+", " plus "), ("%", " percent ")):
        mailbox = mailbox.replace(mark, word)
    return f"{_spell(mailbox)} at {_host(match['mailhost'])}"


def _url(match: re.Match[str]) -> str:
    return _host(match["host"]) + patterns.sentence_end(match["path"])


def _site(match: re.Match[str]) -> str:
    return _host(match["domain"]) + patterns.sentence_end(match["domainpath"])


def _known(match: re.Match[str]) -> str:
    word = english_words.WORDS[match["known"]]
    ends = match["known"] in english_words.ENDING and not match.string[match.end() :].strip("\"')”’ ")
    return f"{word}." if ends else word


def _numbered(_: re.Match[str]) -> str:
    return "number "


def _phone(match: re.Match[str]) -> str:
    said = ", ".join(by_digit(group) for group in _DIGITS.findall(match["phone"]))
    return f"plus {said}" if match["phone"].startswith("+") else said


def _day(month: int, day: int) -> str:
    return f"{english_words.MONTHS[month - 1]} {ordinal(day)}"


def _date(match: re.Match[str]) -> str:
    found = patterns.date(match)
    if found is None:
        return " ".join(read(digits) for digits in _DIGITS.findall(match[0]))
    return f"{_day(found[1], found[2])}, {year(found[0])}{match['dot'] or ''}"


def _hour12(match: re.Match[str]) -> str:
    return f"{cardinal(int(match['bare']))} {match['barehalf'].upper()}"


def _until(match: re.Match[str]) -> str:
    return _apart(match, " to ")


def _ratio(match: re.Match[str]) -> str:
    return f"{cardinal(int(match['left']))} to {cardinal(int(match['right']))}"


def _height(match: re.Match[str]) -> str:
    return f"{cardinal(int(match['feet']))} foot {cardinal(int(match['inches']))}"


def _day_month(match: re.Match[str]) -> str:
    day, month, of = int(match["first"]), english_words.MONTH_STARTS[match["inmonth"]], match["monthyear"]
    if not day or (month == "May" and not of and re.match(r"\s[a-z]", match.string[match.end() :])):
        return f"{cardinal(day)} {month}"
    article = "" if match.string[: match.start()].lower().endswith("the ") else "the "
    return f"{article}{ordinal(day)} of {month}" + (f", {year(int(of))}" if of else "")


def _us_date(match: re.Match[str]) -> str:
    month, day = int(match["usmonth"]), int(match["usday"])
    if not patterns.is_day(month, day):
        month, day = day, month
    if not patterns.is_day(month, day):
        return " ".join(read(digits) for digits in _DIGITS.findall(match[0]))
    return f"{_day(month, day)}, {year(int(match['usyear']))}"


def _month_day(match: re.Match[str]) -> str:
    month, day = english_words.MONTH_STARTS[match["month"]], int(match["day"])
    said = f"{month} {ordinal(day) if 1 <= day <= 31 else cardinal(day)}"
    if match["lastday"]:
        said += f" to {ordinal(int(match['lastday']))}"
    return f"{said}, {year(int(match['dayyear']))}" if match["dayyear"] else said


def _clock(match: re.Match[str]) -> str:
    hour, minute = int(match["hour"]), int(match["minute"])
    half = (match["half"] or "").strip()
    said = cardinal(hour)
    if minute:
        said += f" {'oh ' if minute < 10 else ''}{cardinal(minute)}"
    elif not half:
        said += " o'clock" if 0 < hour <= 12 else " hundred hours" if hour else " hundred"
    if match["second"]:
        said += f" and {_many(match['second'], 'second')}"
    return f"{said} {half}" if half else said


def _version(match: re.Match[str]) -> str:
    number = match["version"] or match["shortversion"]
    said = " point ".join(read(part) for part in number.split("."))
    return f"version {said}" if match[0][0] in "vV" else said


def _mixed(match: re.Match[str]) -> str:
    return f"{read(match['whole'])} and {_parts(int(match['part']), int(match['parts']), article=True)}"


def _parts(over: int, under: int, *, article: bool = False) -> str:
    one, many = english_words.FRACTIONS.get(under, (ordinal(under), plural(ordinal(under))))
    return f"{'a' if article and over == 1 else cardinal(over)} {one if over == 1 else many}"


def _fraction(match: re.Match[str]) -> str:
    over, under = int(match["over"]), int(match["under"].replace(",", ""))
    if patterns.is_day(over, under) and (under > 10 or over >= under):
        return _day(over, under)
    if 0 < over < under <= 100:
        return _parts(over, under)
    return f"{cardinal(over)} over {cardinal(under)}"


def _money(match: re.Match[str]) -> str:
    return ("minus " if match["owing"] else "") + _amount(match)


def _amount(match: re.Match[str]) -> str:
    one, many, cent, cents = english_words.CURRENCIES[match["currency"]]
    amount, times = match["amount"], match["times"]
    whole, _, small = amount.partition(".")
    if times:
        return f"{read(amount)} {english_words.SCALES.get(times, times)} {many}"
    if len(small) != 2 or not cent:
        return f"{read(amount)} {one if amount == '1' else many}"
    parts = [f"{read(whole)} {one if whole == '1' else many}"] if whole.strip("0,") or not int(small) else []
    parts += [f"{cardinal(int(small))} {cent if int(small) == 1 else cents}"] if int(small) else []
    return " and ".join(parts)


def _hash(match: re.Match[str]) -> str:
    hashed = match["hashed"]
    return f"number {by_digit(hashed) if len(hashed) >= patterns.CODE_DIGITS else read(hashed)}"


def _decade(match: re.Match[str]) -> str:
    return plural(year(int(match["tens"])))


def _times_more(_: re.Match[str]) -> str:
    return "times"


def _more(_: re.Match[str]) -> str:
    return " plus"


def _ordinal(match: re.Match[str]) -> str:
    return ordinal(int(match["nth"].replace(",", "")))


def _since(match: re.Match[str]) -> str:
    return match[0][: -len(match["inyear"])] + year(int(match["inyear"]))


def _operator(match: re.Match[str]) -> str:
    if match["operation"] in "xX":  # a digit right beside a letter stays apart from it
        return "by " if match[0][-1].isspace() else "by"
    return _apart(match, _OPERATIONS[match["operation"]])


def _symbol(match: re.Match[str]) -> str:
    return _apart(match, _SYMBOLS[match["symbol"].strip()])


def _apart(match: re.Match[str], word: str) -> str:
    """Without a second space where there is one before."""
    return word.lstrip() if match.string[: match.start()].endswith((" ", "\n")) or not match.start() else word


def _many(number: str, word: str) -> str:
    return f"{read(number)} {_noun(word, number == '1')}"


def _noun(word: str, one: bool) -> str:
    if one:
        return word
    return "feet" if word == "foot" else f"{word}s"


def _is_code(digits: str, behind: str) -> bool:
    """Whether these digits are read one by one, by the words before them."""
    if len(digits) >= patterns.CODE_DIGITS:
        return bool(_CODE_AFTER.search(behind) or _DIALED_AFTER.search(behind))
    return len(digits) == 3 and bool(_DIALED_AFTER.search(behind)) and digits[1:] != "00"


def _quantity(match: re.Match[str]) -> str:
    low, high, unit = match["low"], match["high"], match["unit"]
    behind = match.string[max(0, match.start() - 16) : match.start()]
    said = "minus " if match["sign"] else ""
    if unit is None and low.isdigit() and (patterns.coded(high) or (high is None and _is_code(low, behind))):
        return by_digit(low) if high is None else f"{by_digit(low)}, {by_digit(high)}"
    if unit is None and high and _YEAR.fullmatch(low) and _YEAR.fullmatch(low[:2] * (len(high) == 2) + high):
        return f"{year(int(low))} to {year(int(high))}"
    said += read(low) if high is None else f"{read(low)} to {read(high)}"
    before = behind[-1:]
    if before.isascii() and before.isalpha():
        said = f" {said}"
    following = match.string[match.end() : match.end() + 1]
    if unit is None:
        return f"{said} " if following.isascii() and following.isalpha() else said
    one = (low == "1" and high is None) or bool(_ATTRIBUTE_AFTER.search(behind))
    if unit in english_words.SAME:
        return f"{said} {english_words.SAME[unit]}"
    if unit in english_words.DEGREES:
        return f"{said} {_noun('degree', one)} {english_words.DEGREES[unit]}"
    after = english_words.AFTER.get(unit)
    said = f"{said} {_noun(english_words.UNITS[unit], one)}"
    return f"{said} {after}" if after else said


_HANDLERS: dict[str, Callable[[re.Match[str]], str]] = {
    "quantity": _quantity,
    "known": _known,
    "email": _email,
    "url": _url,
    "site": _site,
    "numbered": _numbered,
    "phone": _phone,
    "date": _date,
    "clock": _clock,
    "hour12": _hour12,
    "until": _until,
    "ratio": _ratio,
    "height": _height,
    "daymonth": _day_month,
    "usdate": _us_date,
    "monthday": _month_day,
    "versions": _version,
    "mixed": _mixed,
    "fraction": _fraction,
    "money": _money,
    "hash": _hash,
    "decade": _decade,
    "times_more": _times_more,
    "more": _more,
    "ordinal": _ordinal,
    "since": _since,
    "operator": _operator,
    "symbol": _symbol,
}
