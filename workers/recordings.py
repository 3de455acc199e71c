"""The audio of a job's input: kept beside the job, brought along, or fetched."""

from typing import Any

from jobs.addresses import AddressPolicy
from jobs.job import JobSpec
from jobs.store.recordings import Recordings
from prompts import audio
from speech import errors
from workers.fetching import Fetcher, Unavailable
from workers.persistence import persist

FETCH_S = 30.0
"""Seconds for one recording, redirects included."""
_ACCEPT = "audio/*, video/webm, video/mp4, application/ogg, application/octet-stream"


class AudioUnavailable(Unavailable):
    """The audio of the input could not be had."""

    code = "audio_unavailable"


class RecordingReader:
    """Reads the audio of jobs. One per process."""

    def __init__(self, kept: Recordings, policy: AddressPolicy, *, max_bytes: int, fetch_s: float = FETCH_S) -> None:
        """`policy` decides where audio may be fetched from."""
        self._kept = kept
        self._max_bytes = max_bytes
        self._fetcher = Fetcher(policy, fetch_s=fetch_s, failure=AudioUnavailable)

    async def read(self, spec: JobSpec, value: dict[str, Any]) -> bytes:
        """The recording of a job with that valid input. Raises `AudioUnavailable` and `errors.BadAudio`."""
        given: dict[str, Any] = value[audio.FIELD]
        if given.get(audio.STORED):
            found = await persist(lambda: self._kept.get(spec.id))
            if found is None:
                raise AudioUnavailable("#/input/audio: it is no longer kept; send it again as a new job")
            return found
        if url := given.get("url"):
            found = await self._fetcher.fetch(url, "#/input/audio/url", accept=_ACCEPT, limit=self._max_bytes)
        else:
            found = audio.decoded(given["base64"])
        if why := audio.objection(found[:16]):
            raise errors.BadAudio(f"audio: {why}", provider="ringback")
        return found

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._fetcher.aclose()
