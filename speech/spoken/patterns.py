"""What numbers, addresses, dates and the like look like in writing, whatever the language."""

import re

NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?)"
_TLD = r"(?:com|net|org|io|ai|dev|app|kr|jp|cn|se|uk|de|fr|eu|us|edu|gov|info|me|tv|cloud|xyz|test|example)"
_HOST = rf"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{{0,62}})\.)+{_TLD}(?![A-Za-z0-9])"
EMAIL = (
    r"(?<![A-Za-z0-9._%+-])(?P<mailbox>[A-Za-z0-9][A-Za-z0-9._%+-]{0,63})"
    r"@(?P<mailhost>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)"
)
URL = r"(?:https?://|www\.)(?P<host>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)(?P<path>(?::\d+)?(?:[/?#][!-~]*)?)"
DOMAIN = rf"(?P<domain>(?<![A-Za-z0-9.@/-]){_HOST})(?P<domainpath>(?:/[!-~]*)?)"
PHONE = (
    r"(?P<phone>(?<![A-Za-z0-9-])(?:(?![12]\d{3}-\d{1,2}-\d{1,2}(?!\d))(?=[\d-]{10})\d{1,10}(?:-\d{1,10}){2,6}"
    r"|\+\d{1,3}[ -]\(?\d{1,4}\)?[ -]\d{3,4}[ -]\d{4}|0\d{1,2}[ -]\d{3,4}[ -]\d{4}"
    r"|\(\d{3}\) ?\d{3}-\d{4}|(?:1-)?\d{3}-\d{3,4}-\d{4}|1[5-9]\d\d-\d{4}|\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{4})"
    r"(?![A-Za-z0-9-]))"
)
DATE = (
    r"(?<![\d.])(?P<year>[12]\d{3})(?:-(?P<m1>\d{1,2})-(?P<d1>\d{1,2})|/(?P<m2>\d{1,2})/(?P<d2>\d{1,2})"
    r"|\. ?(?P<m3>\d{1,2})\. ?(?P<d3>\d{1,2})(?P<dot>\.?))(?!\d)"
)
CLOCK = r"(?<![\d:])(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?(?!\d|:\d)"
HALF_DAY = r"(?:\s?(?P<half>[AaPp]\.[Mm]\.|[AaPp][Mm])(?![A-Za-z]))"
VERSION = r"(?<![A-Za-z0-9.])(?:[vV]?(?P<version>\d+(?:\.\d+){2,})|[vV](?P<shortversion>\d+(?:\.\d+)?))(?![A-Za-z0-9])"
FRACTION = r"(?<![A-Za-z0-9/.,])(?P<over>\d{1,3})/(?P<under>\d{1,3}(?:,\d{3})+|\d{1,4}(?!,\d))(?![A-Za-z0-9/])"

_WIDE = str.maketrans("０１２３４５６７８９％＋－＠＆＃＄￦", "0123456789%+-@&#$₩")


CURRENCY = r"(?P<owing>(?<![\w.)\]%-])[-−–])?(?P<currency>US\$|[₩$€£¥])\s?"
CODE_DIGITS = 4
"""So many digits at least, and nothing else, are a code behind a word such as "number"."""


def narrow(text: str) -> str:
    """Full-width digits and symbols as ordinary ones."""
    return text.translate(_WIDE)


def date(match: re.Match[str]) -> tuple[int, int, int] | None:
    """Year, month and day of `DATE`, if there is such a day."""
    month = int(match["m1"] or match["m2"] or match["m3"])
    day = int(match["d1"] or match["d2"] or match["d3"])
    return (int(match["year"]), month, day) if is_day(month, day) else None


def is_day(month: int, day: int) -> bool:
    """Whether a year may have this day."""
    return 1 <= month <= 12 and 1 <= day <= 31


def host(name: str) -> list[str]:
    """The parts of a host name without `www`."""
    parts = [part for part in name.lower().split(".") if part]
    return parts[1:] if len(parts) > 2 and parts[0] == "www" else parts


def coded(high: str | None) -> bool:
    """Whether what stands behind a hyphen is no end of a range: nobody counts from 5 to 07."""
    return high is not None and len(high) > 1 and high[0] == "0" and high.isdigit()


def sentence_end(path: str) -> str:
    """What at the end of an address belongs to the sentence around it."""
    return path[len(path.rstrip(".,!?;:)\"'")) :]
