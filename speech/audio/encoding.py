"""Samples as speech is sent out: wav, mp3, ogg, or bare."""

import io
import struct

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
_WAV = struct.Struct("<4sI4s4sIHHIIHH4sI")
_UNKNOWN = 0xFFFF_FFFF
_SAMPLE = 2
"""Bytes."""


def wav_head(rate: int, size: int | None = None) -> bytes:
    """What stands before `size` bytes of samples in a wav.

    `None`: how many there will be is not known. Then the lengths are the greatest there are, which players of streams
    (ffmpeg, GStreamer, libsndfile, browsers) take for "to the end"; RIFF itself has no word for it.
    """
    behind = _UNKNOWN if size is None else size + _WAV.size - 8
    length = _UNKNOWN if size is None else size
    return _WAV.pack(
        b"RIFF", behind, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * _SAMPLE, _SAMPLE, 8 * _SAMPLE, b"data", length
    )


def sized(wav: bytes) -> bytes:
    """The same wav; if its head is one of ours that does not know the length, with one that does."""
    if len(wav) < _WAV.size or (head := _WAV.unpack_from(wav))[-2:] != (b"data", _UNKNOWN):
        return wav
    return wav_head(head[7], len(wav) - _WAV.size) + wav[_WAV.size :]


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
