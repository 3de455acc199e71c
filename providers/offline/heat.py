"""How heated a text is."""

import enum


class Heat(enum.IntEnum):
    """From calm to hostile."""

    CALM = 0
    CURT = 1
    """Impolite or loud: bare demands, plain speech, capitals, rows of exclamation marks."""
    HOT = 2
    """With insults, oaths, mockery or threats."""
