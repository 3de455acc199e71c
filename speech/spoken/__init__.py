"""How what is written is said: numbers, units, dates, money, addresses and the like as words, in Korean and English."""

from speech.spoken.form import spoken

__all__ = ["spoken"]
