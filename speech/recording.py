"""What recordings have in common for those who listen: decoding off the loop, checks of live audio, confidence."""

import asyncio
from collections.abc import Sequence

from speech import errors
from speech.audio import decoding
from speech.audio.pcm import Pcm
from speech.service import Recording


async def pcm_of(recording: Recording, *, provider: str, limits: decoding.Limits, rate: int = 0) -> Pcm:
    """The samples of a recorded file, at `rate` if it is given. Raises what `decoding.decoded` raises."""
    data = recording.audio
    if not isinstance(data, bytes):
        raise TypeError("live audio is pcm already")
    return await asyncio.to_thread(_pcm, data, provider, limits, rate)


def _pcm(data: bytes, provider: str, limits: decoding.Limits, rate: int) -> Pcm:
    pcm = decoding.decoded(data, provider=provider, limits=limits)
    return pcm.at(rate) if rate else pcm


def live_rate(recording: Recording, *, provider: str) -> int:
    """The rate of live audio. Raises `errors.Unsupported`."""
    least, most = decoding.RATES
    if not least <= recording.sample_rate <= most:
        raise errors.Unsupported(
            f"sample_rate: {least} to {most} Hz must be given for audio as it comes", provider=provider
        )
    return recording.sample_rate


def confidence(words: Sequence[float]) -> float | None:
    """The mean; `None` of nothing."""
    return sum(words) / len(words) if words else None
