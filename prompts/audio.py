"""Audio that callers send or name: what an input may hold, how large it may be, and how to tell it from anything else.

Only its first bytes are looked at here; whether the rest is sound shows when it is decoded, in a worker.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from jobs.audio import Container, sniffed

FIELD = "audio"
"""The input field with audio."""
STORED = "stored"
"""Under this name Ringback says that it keeps the audio beside the job; callers cannot."""
_WAYS = ("base64", "url", STORED)
_HEAD = 32
"""Characters of base64 that hold enough bytes to tell a recording by."""
_MEDIA_TYPES: dict[Container, str] = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "webm": "audio/webm",
    "m4a": "audio/mp4",
    "amr": "audio/amr",
}


def media_type_of(head: bytes) -> str | None:
    """What a recording with these first 12 bytes is; `None` if it is no kind that is known."""
    container = sniffed(head)
    return _MEDIA_TYPES[container] if container else None


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
