"""Spoken audio on its way to the caller: events part by part, or a link; and what the job's output says of it."""

import base64
import io
from typing import Any, Literal

import msgspec

from jobs import errors, event
from jobs.event import Event
from speech.audio.encoding import MEDIA_TYPES, sized
from speech.service import AudioFormat, Spoken
from speech.storage import AudioStorage

Delivery = Literal["inline", "url"]
INLINE_LIMIT = 12 * 1024 * 1024
"""Bytes of audio that one job's events and output carry."""
_EXTENSIONS: dict[AudioFormat, str] = {
    "mp3": "mp3",
    "ogg_vorbis": "ogg",
    "ogg_opus": "ogg",
    "pcm": "pcm",
    "wav": "wav",
}


class AudioTooLong(errors.JobFailure):
    """The audio is too long to be delivered inline; ask for the delivery url."""

    code = "audio_too_long"


class Sound(msgspec.Struct, kw_only=True):
    """The audio of one utterance, as it comes."""

    index: int
    format: AudioFormat
    sample_rate: int
    """In Hz."""
    data: bytearray = msgspec.field(default_factory=bytearray)
    parts: int = 0

    def part(self, data: bytes) -> Event:
        """The event for some more of it."""
        self.data += data
        if len(self.data) > INLINE_LIMIT:
            raise AudioTooLong
        told = self._event(base64=base64.b64encode(data).decode(), last=False)
        self.parts += 1
        return told

    def gather(self, data: bytes) -> None:
        """Some more of it, of which nobody is told before the end."""
        self.data += data

    def restart(self) -> None:
        """What came is void: the next part is the first again."""
        self.data.clear()
        self.parts = 0

    def end(self, **more: Any) -> Event:
        """The event after the last part."""
        return self._event(base64="", last=True, **more)

    def link(self, url: str) -> Event:
        """The only event where the audio is not in the events."""
        return self._event(url=url, last=True)

    def _event(self, **more: Any) -> Event:
        return event.make(
            "audio", index=self.index, part=self.parts, format=self.format, sample_rate=self.sample_rate, **more
        )

    @property
    def whole(self) -> bytes:
        """All of it. A wav tells now how long it is, which its first part may not have known."""
        return sized(bytes(self.data)) if self.format == "wav" else bytes(self.data)

    @property
    def inline(self) -> dict[str, Any]:
        """Itself, for the job's output."""
        return {"base64": base64.b64encode(self.whole).decode()}

    async def kept(self, storage: AudioStorage, job_id: str, name: str) -> str:
        """Puts it into the storage; the link to it. Raises a class of `speech.errors`."""
        file = f"{name}.{_EXTENSIONS[self.format]}"
        return await storage.put(job_id, file, self.whole, MEDIA_TYPES[self.format])


def told(sound: Sound, spoken: Spoken, duration_s: float | None) -> dict[str, Any]:
    """What an output says of audio, besides the audio."""
    return {
        "format": sound.format,
        "sample_rate": sound.sample_rate,
        "media_type": MEDIA_TYPES[sound.format],
        "voice": spoken.voice,
        "language": spoken.language,
        "duration_s": None if duration_s is None else round(duration_s, 3),
    }


def duration_s(sound: Sound, spoken: Spoken) -> float | None:
    """How long the audio is; `None` where that cannot be told. Decodes it if need be: for a thread."""
    if spoken.duration_s is not None:
        return spoken.duration_s
    if spoken.requests > 1:
        return None  # several files, one behind the other: their decoders stop at the end of the first
    import soundfile

    try:
        information = soundfile.info(io.BytesIO(sound.whole))
    except soundfile.LibsndfileError:
        return None
    return float(information.frames / information.samplerate)
