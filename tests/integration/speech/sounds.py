"""Recordings for tests, and what events say of audio."""

import base64
from collections.abc import Iterable

import numpy as np

from speech.audio.encoding import encoded
from speech.audio.pcm import Pcm
from speech.service import AudioFormat
from tests.integration.gateway.eventsource import Event

RATE = 16_000


def tone(seconds: float = 1.0) -> bytes:
    """A wav that is not silent."""
    wave = np.sin(np.arange(int(seconds * RATE)) * (440 * 2 * np.pi / RATE)) * 12_000
    return encoded(Pcm(wave.astype("<i2").tobytes(), RATE), "wav", RATE)


def silence(seconds: float = 1.0, audio_format: AudioFormat = "wav") -> bytes:
    """Nothing, for so long."""
    return encoded(Pcm(bytes(int(seconds * RATE) * 2), RATE), audio_format, RATE)


def text(recording: bytes) -> str:
    """As it goes into JSON."""
    return base64.b64encode(recording).decode()


def heard(events: Iterable[Event], index: int = 0) -> bytes:
    """The audio of one sentence as a player that knows the rules gets it: part 0 starts it anew, then in order."""
    parts: list[bytes] = []
    for event in events:
        if event.name == "audio" and event.data["index"] == index:
            if event.data["part"] == 0:
                parts = []
            if not event.data["last"]:
                assert event.data["part"] == len(parts)
                parts.append(base64.b64decode(event.data["base64"]))
    return b"".join(parts)
