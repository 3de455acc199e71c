"""Samples as speech is sent out: wav, mp3, ogg, or bare."""

import io
import struct
from typing import Any

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
}
_WAV = struct.Struct("<4sI4s4sIHHIIHH4sI")
_UNKNOWN = 0xFFFF_FFFF
_SAMPLE = 2
"""Bytes."""
_BITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
"""Thousands a second, as the head of a frame of MPEG 1 layer III numbers them;"""
_BITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""and of MPEG 2 and 2.5."""
_MP3_RATES = ((11_025, 12_000, 8_000), (), (22_050, 24_000, 16_000), (44_100, 48_000, 32_000))
"""By the version of MPEG: 2.5, none, 2, 1."""


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


class Encoder:
    """Samples as they come, in one of the formats; `encode` all of them in turn, then `end`. For threads."""

    def __init__(self, audio_format: AudioFormat, rate: int = 0) -> None:
        """`rate`: samples a second; 0: the format's default. Raises `errors.Unsupported` for one it cannot have."""
        self._format = audio_format
        self._rate = rate or RATES[audio_format][0]
        if self._rate not in RATES[audio_format]:
            known = ", ".join(map(str, sorted(RATES[audio_format])))
            raise errors.Unsupported(f"sample_rate: {audio_format} has {known} Hz", provider="audio")
        self._file = io.BytesIO()
        self._sent = 0
        self._sound: Any = None

    def encode(self, pcm: Pcm) -> bytes:
        """What can be sent on: not all of it, encoders look ahead."""
        pcm = pcm.at(self._rate)
        if self._format in ("pcm", "wav"):
            head = wav_head(self._rate) if self._format == "wav" and not self._sent else b""
            self._sent += len(pcm.data)
            return head + pcm.data
        import numpy as np

        sound = self._opened()
        samples = np.frombuffer(pcm.data, "<i2")
        # libvorbis overflows its stack on a long write.
        for start in range(0, len(samples), self._rate):
            sound.write(samples[start : start + self._rate])
        sound.flush()
        return self._news()

    def end(self) -> bytes:
        """The rest."""
        if self._sound is None:
            return b""
        self._sound.close()
        return self._news()

    @property
    def file(self) -> bytes:
        """After the end, all of it with what only the end shows at its head; empty for bare samples and wav."""
        return self._file.getvalue()

    def _opened(self) -> Any:
        import soundfile

        if self._sound is None:
            kind, subtype = _FILES[self._format]
            # Of a constant rate, so that its length can be told from its size.
            steady = {"bitrate_mode": "CONSTANT", "compression_level": 0.75} if self._format == "mp3" else {}
            self._sound = soundfile.SoundFile(self._file, "w", self._rate, 1, subtype=subtype, format=kind, **steady)
        return self._sound

    def _news(self) -> bytes:
        if not self._sent and self._format == "mp3":
            self._sent = _first_frame(self._file.getvalue())
        self._file.seek(self._sent)
        news = self._file.read()
        self._sent += len(news)
        return news


def _first_frame(mp3: bytes) -> int:
    """How long it is. It tells how many there are, which nobody knows yet: decoders believe it and stop early."""
    if len(mp3) < 4:
        return 0
    newest = mp3[1] & 0x08 > 0
    bits = (_BITS if newest else _BITS_2)[mp3[2] >> 4] * 1_000
    rate = _MP3_RATES[mp3[1] >> 3 & 3][mp3[2] >> 2 & 3]
    return (144 if newest else 72) * bits // rate + (mp3[2] >> 1 & 1)


def encoded(pcm: Pcm, audio_format: AudioFormat, rate: int = 0) -> bytes:
    """The whole file in that format; `rate` and errors as of `Encoder`."""
    encoder = Encoder(audio_format, rate)
    data = encoder.encode(pcm) + encoder.end()
    return encoder.file or sized(data)
