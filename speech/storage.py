"""Where spoken audio waits for whoever was given a link to it: files of this deployment, or a bucket."""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Protocol

import structlog

from amazon.clients import Clients
from speech import errors
from speech.amazon.errors import translated

PROVIDER = "s3"
PREFIX = "ringback/audio/"
_LONGEST_LINK_S = 7 * 86_400
"""Of a presigned URL. Source: docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html"""
_TIDY_S = 300.0
_CALLS = 32
_log = structlog.get_logger(__name__)


class AudioStorage(Protocol):
    """Keeps spoken audio for a while."""

    async def put(self, job_id: str, name: str, audio: bytes, media_type: str) -> str:
        """Keeps it under that name of that job, in place of what was there; where callers get it.

        Raises a class of `speech.errors`.
        """
        ...

    async def keep_tidy(self) -> None:
        """Deletes what was kept long enough, for ever; returns at once if somebody else does that."""
        ...

    async def aclose(self) -> None:
        """Closes what the storage holds open."""
        ...


class LocalStorage:
    """Files in a directory that the gateways share, served by them below the job."""

    def __init__(self, directory: Path, *, kept_s: float) -> None:
        """`directory` has one directory for each job; it is made when it is needed."""
        self._directory = directory
        self._kept_s = kept_s

    async def put(self, job_id: str, name: str, audio: bytes, media_type: str) -> str:
        """See `AudioStorage`; the link is a path on the gateway."""
        try:
            await asyncio.to_thread(self._write, job_id, name, audio)
        except OSError as error:
            reason = f"the audio could not be kept in the data directory: {error.strerror}"
            raise errors.Unavailable(reason, provider="local") from error
        return f"/v1/jobs/{job_id}/audio/{name}"

    def _write(self, job_id: str, name: str, audio: bytes) -> None:
        directory = self._directory / job_id
        directory.mkdir(parents=True, exist_ok=True)
        unfinished = directory / f".{name}.{time.monotonic_ns()}"
        unfinished.write_bytes(audio)
        unfinished.replace(directory / name)

    async def keep_tidy(self) -> None:
        """See `AudioStorage`."""
        while True:
            await asyncio.to_thread(self._tidy)
            await asyncio.sleep(_TIDY_S)

    def _tidy(self) -> None:
        oldest = time.time() - self._kept_s
        try:
            for directory in self._directory.iterdir():
                if directory.stat().st_mtime < oldest:
                    shutil.rmtree(directory, ignore_errors=True)
        except FileNotFoundError:
            return  # nothing was spoken yet, or another worker was faster
        except OSError as error:
            _log.warning("audio_not_tidied", reason=error.strerror)

    async def aclose(self) -> None:
        """Holds nothing open."""


class BucketStorage:
    """Objects in S3, by links that expire. A lifecycle rule on `ringback/audio/` deletes them."""

    def __init__(self, bucket: str, *, kept_s: float) -> None:
        """Links are good for `kept_s` seconds, at the most a week."""
        self._bucket = bucket
        self._expires_s = int(min(kept_s, _LONGEST_LINK_S))
        self._amazon = Clients(calls=_CALLS)

    async def put(self, job_id: str, name: str, audio: bytes, media_type: str) -> str:
        """See `AudioStorage`."""
        place = {"Bucket": self._bucket, "Key": f"{PREFIX}{job_id}/{name}"}

        def work() -> str:
            with translated(PROVIDER):
                client = self._amazon.client("s3")
                client.put_object(**place, Body=audio, ContentType=media_type)
                return str(client.generate_presigned_url("get_object", Params=place, ExpiresIn=self._expires_s))

        return await self._amazon.run(work)

    async def keep_tidy(self) -> None:
        """See `AudioStorage`: the bucket's lifecycle does."""

    async def aclose(self) -> None:
        """See `AudioStorage`."""
        await self._amazon.aclose()
