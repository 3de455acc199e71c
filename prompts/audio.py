"""Audio that callers send or name: what an input may hold, how large it may be, and how to tell it from anything else.

Only its first bytes are looked at here; whether the rest is sound shows when it is decoded, in a worker.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

FIELD = "audio"
"""The input field with audio."""
STORED = "stored"
"""Under this name Ringback says that it keeps the audio beside the job; callers cannot."""
_WAYS = ("base64", "url", STORED)
_HEAD = 32
"""Characters of base64 that hold enough bytes to tell a recording by."""


def media_type_of(head: bytes) -> str | None:
    """What a recording with these first 12 bytes is; `None` if it is no kind that is known."""
    match head[:4], head[4:8], head[8:12]:
        case (b"RIFF" | b"RF64", _, b"WAVE"):
            return "audio/wav"
        case (b"OggS", _, _):
            return "audio/ogg"
        case (b"fLaC", _, _):
            return "audio/flac"
        case (_, b"ftyp", _):
            return "audio/mp4"
        case (b"\x1aE\xdf\xa3", _, _):
            return "audio/webm"
    if head.startswith(b"#!AMR"):
        return "audio/amr"
    mpeg = len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 and head[2] >> 4 != 0x0F
    return "audio/mpeg" if head.startswith(b"ID3") or mpeg else None


def objection(head: bytes) -> str | None:
    """Why a recording with these first bytes cannot be taken; `None` if nothing speaks against it."""
    if not head:
        return "is empty; send a recording"
    if media_type_of(head) is None:
        return "is in no format that is known; send wav, mp3, ogg, flac, webm, m4a or amr"
    return None


def problem(given: Mapping[str, Any]) -> tuple[str, str] | None:
    """What is wrong with `{base64}` or `{url}`: the field (empty: all of it) and why; `None` if nothing is."""
    ways = [way for way in _WAYS if given.get(way)]
    if len(ways) != 1:
        return "", "give either base64 or url"
    if ways != ["base64"]:
        return None
    encoded: str = given["base64"]
    try:
        head = base64.b64decode(encoded[:_HEAD], validate=True)
    except (binascii.Error, ValueError):
        return "base64", "must be base64 (RFC 4648, with its padding, without line breaks)"
    why = objection(head)
    return ("base64", why) if why else None


def decoded(encoded: str) -> bytes:
    """The recording. Raises `ValueError` for what is not base64."""
    return base64.b64decode(encoded, validate=True)
