"""Samples as speech is sent out: wav, mp3, ogg, or bare."""

import io

from speech import errors
from speech.audio.pcm import Pcm
from speech.service import AudioFormat

RATES: dict[AudioFormat, tuple[int, ...]] = {
    "mp3": (24_000, 8_000, 16_000, 22_050, 44_100, 48_000),
    "ogg_vorbis": (24_000, 8_000, 16_000, 22_050, 44_100, 48_000),
    "ogg_opus": (48_000, 8_000, 16_000, 24_000),
    "pcm": (16_000, 8_000, 22_050, 24_000, 44_100, 48_000),
    "wav": (24_000, 8_000, 16_000, 22_050, 44_100, 48_000),
}
"""Samples a second that each format can have, the default first."""
MEDIA_TYPES: dict[AudioFormat, str] = {
    "mp3": "audio/mpeg",
    "ogg_vorbis": "audio/ogg",
    "ogg_opus": "audio/ogg",
    "pcm": "audio/pcm",
    "wav": "audio/wav",
}
_FILES: dict[AudioFormat, tuple[str, str]] = {
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg_vorbis": ("OGG", "VORBIS"),
    "ogg_opus": ("OGG", "OPUS"),
    "wav": ("WAV", "PCM_16"),
}


def encoded(pcm: Pcm, audio_format: AudioFormat, rate: int = 0) -> bytes:
    """The whole file in that format with `rate` samples a second; 0: the format's default.

    Raises `errors.Unsupported` for a rate that the format cannot have.
    """
    rate = rate or RATES[audio_format][0]
    if rate not in RATES[audio_format]:
        raise errors.Unsupported(
            f"sample_rate: {audio_format} has {', '.join(map(str, sorted(RATES[audio_format])))} Hz", provider="audio"
        )
    pcm = pcm.at(rate)
    if audio_format == "pcm":
        return pcm.data
    import numpy as np
    import soundfile

    kind, subtype = _FILES[audio_format]
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, 1, subtype=subtype, format=kind) as out:
        samples = np.frombuffer(pcm.data, "<i2")
        # libvorbis overflows its stack on a long write.
        for start in range(0, len(samples), rate):
            out.write(samples[start : start + rate])
    return file.getvalue()
