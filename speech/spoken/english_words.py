"""English names of units, currencies, months and abbreviations."""

UNITS = {
    "kg": "kilogram",
    "g": "gram",
    "mg": "milligram",
    "km": "kilometer",
    "m": "meter",
    "cm": "centimeter",
    "mm": "millimeter",
    "L": "liter",
    "l": "liter",
    "mL": "milliliter",
    "ml": "milliliter",
    "mi": "mile",
    "ft": "foot",
    "yd": "yard",
    "lb": "pound",
    "lbs": "pound",
    "oz": "ounce",
    "m²": "square meter",
    "m2": "square meter",
    "km²": "square kilometer",
    "m³": "cubic meter",
    "KB": "kilobyte",
    "kB": "kilobyte",
    "MB": "megabyte",
    "GB": "gigabyte",
    "TB": "terabyte",
    "Mbps": "megabit",
    "Gbps": "gigabit",
    "W": "watt",
    "kW": "kilowatt",
    "MW": "megawatt",
    "kWh": "kilowatt-hour",
    "V": "volt",
    "mAh": "milliampere-hour",
    "dB": "decibel",
    "kcal": "kilocalorie",
    "px": "pixel",
    "ms": "millisecond",
    "°": "degree",
    "km/h": "kilometer",
    "kph": "kilometer",
    "mph": "mile",
    "m/s": "meter",
    "min": "minute",
    "hrs": "hour",
    "hr": "hour",
    "sec": "second",
}
"""In the singular."""

SAME = {
    "%": "percent",
    "Hz": "hertz",
    "kHz": "kilohertz",
    "MHz": "megahertz",
    "GHz": "gigahertz",
    "fps": "frames per second",
    "ppm": "parts per million",
}
"""Alike for one and many."""

AFTER = {
    "km/h": "per hour",
    "kph": "per hour",
    "mph": "per hour",
    "m/s": "per second",
    "Mbps": "per second",
    "Gbps": "per second",
}
DEGREES = {"°C": "Celsius", "℃": "Celsius", "°F": "Fahrenheit", "℉": "Fahrenheit"}

CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
    "₩": ("won", "won", "", ""),
    "US$": ("US dollar", "US dollars", "cent", "cents"),
}
SCALES = {"k": "thousand", "K": "thousand", "M": "million", "B": "billion", "bn": "billion", "T": "trillion"}

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
MONTH_STARTS = {
    **{name: name for name in MONTHS},
    **{f"{name[:3]}.": name for name in MONTHS},
    **{name[:3]: name for name in MONTHS if name != "May"},
    "Sept.": "September",
    "Sept": "September",
}

WORDS = {
    "e.g.": "for example",
    "i.e.": "that is",
    "vs.": "versus",
    "vs": "versus",
    "etc.": "et cetera",
    "approx.": "approximately",
    "w/o": "without",
    "24/7": "twenty-four seven",
    "50/50": "fifty-fifty",
    "401(k)": "four oh one k",
    "COVID-19": "COVID nineteen",
}
ENDING = ("etc.",)
"""Their period may also be the one of the sentence."""

FRACTIONS = {2: ("half", "halves"), 4: ("quarter", "quarters")}
