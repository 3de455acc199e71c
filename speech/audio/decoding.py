"""Recordings of any format as samples, within limits of length and size."""

import io
from contextlib import suppress
from typing import Any

import msgspec

from jobs.audio import Container
from speech import errors
from speech.audio import container, webm
from speech.audio.pcm import Pcm

DECODABLE: tuple[Container, ...] = ("wav", "mp3", "ogg", "flac", "webm")
RATES = (8_000, 48_000)
_CHANNELS = 8
_BLOCK_S = 10


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much audio is accepted."""

    max_bytes: int = 32 * 1024 * 1024
    """Of the file."""
    max_s: float = 1800.0
    """Of what is decoded: a small file can be a day of silence."""


def decoded(data: bytes, *, provider: str, limits: Limits = Limits()) -> Pcm:  # noqa: B008 - frozen
    """The samples of a recording, its channels mixed.

    A recording that ends early is taken as far as it goes, if its format allows that (wav, mp3, webm).
    Raises `errors.BadAudio`, `errors.AudioTooLarge`, and `errors.Unsupported` if it is not one of `DECODABLE`.
    """
    found = container.checked(data, DECODABLE, provider=provider, max_bytes=limits.max_bytes)
    if found == "webm":
        data = webm.as_ogg(data, provider=provider)
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check(file, limits, provider)
            samples = _read(file, limits, provider)
            rate = int(file.samplerate)
    except soundfile.LibsndfileError as error:
        reason = error.error_string.rstrip(". ")
        detail = f"audio: this {found} cannot be decoded, it is damaged or cut off" + (f" ({reason})" if reason else "")
        raise errors.BadAudio(detail, provider=provider) from None
    return Pcm(samples, rate)


def _check(file: Any, limits: Limits, provider: str) -> None:
    least, most = RATES
    if not least <= file.samplerate <= most:
        raise errors.BadAudio(
            f"audio: {file.samplerate} samples a second; {least} to {most} are accepted", provider=provider
        )
    if file.channels > _CHANNELS:
        raise errors.BadAudio(f"audio: {file.channels} channels; at most {_CHANNELS} are accepted", provider=provider)
    with suppress(OverflowError):
        # Files of unknown length announce the greatest number there is, so this is only a short cut.
        if limits.max_s < file.frames / file.samplerate < limits.max_s * 1_000:
            raise _too_long(limits, provider)


def _read(file: Any, limits: Limits, provider: str) -> bytes:
    import numpy as np

    blocks: list[bytes] = []
    left = int(limits.max_s * file.samplerate)
    while True:
        block = file.read(_BLOCK_S * file.samplerate, dtype="float32", always_2d=True)
        if not len(block):
            return b"".join(blocks)
        left -= len(block)
        if left < 0:
            raise _too_long(limits, provider)
        mixed = np.nan_to_num(block.mean(axis=1)) * 32_767
        blocks.append(mixed.clip(-32_768, 32_767).astype("<i2").tobytes())


def _too_long(limits: Limits, provider: str) -> errors.AudioTooLarge:
    return errors.AudioTooLarge(f"audio: longer than the {limits.max_s:g} s that are accepted", provider=provider)
