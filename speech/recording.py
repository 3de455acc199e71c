"""What recordings have in common for those who listen: who takes them, decoding, live audio, confidence."""

import asyncio
from collections.abc import Sequence

from jobs.audio import sniffed
from speech import errors, languages
from speech.audio import decoding
from speech.audio.pcm import Pcm
from speech.service import ListeningCapabilities, Recording


def lack(recording: Recording, able: ListeningCapabilities) -> str | None:
    """What a service that is so `able` cannot take of a recorded file; `None` if nothing is known to be in its way."""
    if isinstance(recording.audio, bytes):
        found = sniffed(recording.audio)
        if found is not None and found not in able.containers:
            return f"audio: {found}"
    named = (("language", recording.language), *(("languages", language) for language in recording.languages))
    for field, language in named:
        if language and languages.resolved(language, able.languages) is None:
            return f"{field}: {language[:40]!r}"
    return None


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
