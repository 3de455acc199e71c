"""`TranscribeBatch`: recordings through S3 and a transcription job, for formats and languages that streams do not take.

What is uploaded is deleted at the end, whatever that is; a lifecycle rule on `ringback/transcribe/` catches what a
killed worker leaves behind.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import structlog

from amazon.clients import Clients
from jobs.audio import Container
from speech import errors
from speech.amazon.errors import translated
from speech.audio import container, decoding
from speech.service import ListeningCapabilities, Partial, Recording, Segment, Transcript
from speech.transcribe import document, languages

PROVIDER = "transcribe-batch"
PREFIX = "ringback/transcribe/"
CALLS = 64
_FIRST_S, _GROWTH, _LONGEST_S = 0.5, 1.5, 5.0
"""Seconds until the first look at a job, and how they grow."""
_LIMITS = decoding.Limits()
_CAPABILITIES = ListeningCapabilities(
    languages=languages.BATCH, identifies=True, containers=container.CONTAINERS, live=False, max_s=4 * 3600.0
)
_ABOUT_US = ("internal", "try your request again", "service")
"""Words of a FailureReason that blames the service; all others blame the audio."""
_log = structlog.get_logger()


class TranscribeBatch:
    """Transcription jobs, with the credentials, profile, region and endpoints that boto3 finds; `AWS_REGION` too."""

    name = PROVIDER
    target = "transcribe/batch"

    def __init__(self, bucket: str, *, first_s: float = _FIRST_S) -> None:
        """`bucket` takes the recordings; `first_s` is how long until the first look at a job."""
        self._bucket, self._first_s = bucket, first_s
        self._amazon = Clients(calls=CALLS)
        self._tidying: set[asyncio.Task[None]] = set()

    def capabilities(self) -> ListeningCapabilities:
        """See `SpeechToText`."""
        return _CAPABILITIES

    async def transcribe(self, recording: Recording) -> AsyncGenerator[Partial | Segment | Transcript, None]:
        """See `SpeechToText`. Nothing is told before the end."""
        data = recording.audio
        if not isinstance(data, bytes):
            raise errors.Unsupported(
                "audio as it comes cannot be transcribed in a batch: set RINGBACK_STT=transcribe", provider=PROVIDER
            )
        found = container.checked(data, container.CONTAINERS, provider=PROVIDER, max_bytes=_LIMITS.max_bytes)
        name = f"ringback-{uuid.uuid4().hex}"
        key = f"{PREFIX}{name}.{found}"
        started = _job(recording, name, f"s3://{self._bucket}/{key}", found)
        begun = False
        try:
            await self._call("s3", "put_object", Bucket=self._bucket, Key=key, Body=data)
            begun = True
            if "TranscriptionJob" not in await self._call("transcribe", "start_transcription_job", **started):
                raise errors.MalformedAnswer("the job was not confirmed", provider=PROVIDER)
            job = await self._ended(name)
            transcript = document.read(
                await document.fetched(job["Transcript"]["TranscriptFileUri"], provider=PROVIDER),
                language=job.get("LanguageCode", ""),
                provider=PROVIDER,
            )
        finally:
            tidying = asyncio.create_task(self._tidy(key, name if begun else None))
            self._tidying.add(tidying)
            tidying.add_done_callback(self._tidying.discard)
        for segment in transcript.segments:
            yield segment
        yield transcript

    async def warm_up(self) -> None:
        """See `SpeechToText`. A batch takes so long that nobody would notice."""

    async def aclose(self) -> None:
        """See `SpeechToText`. What is being deleted is deleted first."""
        if self._tidying:
            await asyncio.wait(tuple(self._tidying), timeout=10)
        await self._amazon.aclose()

    async def _call(self, service: str, operation: str, **arguments: Any) -> Any:
        def work() -> Any:
            with translated(PROVIDER):
                return getattr(self._amazon.client(service), operation)(**arguments)

        return await self._amazon.run(work)

    async def _ended(self, name: str) -> Any:
        """The job when it has succeeded and says where its document is.

        Raises `errors.BadAudio` or `errors.Unavailable` with why it failed, `errors.MalformedAnswer`.
        """
        wait = self._first_s
        while True:
            await asyncio.sleep(wait)
            wait = min(wait * _GROWTH, _LONGEST_S)
            answer = await self._call("transcribe", "get_transcription_job", TranscriptionJobName=name)
            job = answer.get("TranscriptionJob", {})
            match job.get("TranscriptionJobStatus"):
                case "COMPLETED" if "TranscriptFileUri" in job.get("Transcript", {}):
                    return job
                case "FAILED":
                    reason = str(job.get("FailureReason", "no reason was given"))[:300]
                    ours = any(word in reason.lower() for word in _ABOUT_US)
                    raise (errors.Unavailable if ours else errors.BadAudio)(f"audio: {reason}", provider=PROVIDER)
                case "QUEUED" | "IN_PROGRESS":
                    pass
                case _:
                    raise errors.MalformedAnswer("the state of the job cannot be read", provider=PROVIDER)

    async def _tidy(self, key: str, name: str | None) -> None:
        """Deletes what was made. A job that still runs cannot be deleted; Transcribe forgets it after 90 days."""
        calls: list[tuple[str, str, dict[str, str]]] = [("s3", "delete_object", {"Bucket": self._bucket, "Key": key})]
        if name is not None:
            calls.append(("transcribe", "delete_transcription_job", {"TranscriptionJobName": name}))
        for service, operation, arguments in calls:
            try:
                await self._call(service, operation, **arguments)
            except errors.SpeechError as error:
                _log.warning("transcribe.left_behind", operation=operation, code=error.code)


def _job(recording: Recording, name: str, uri: str, found: Container) -> dict[str, Any]:
    """The arguments that start a job. Raises `errors.Unsupported`."""
    job = {"TranscriptionJobName": name, "Media": {"MediaFileUri": uri}, "MediaFormat": found}
    if language := languages.fixed(recording, languages.BATCH, provider=PROVIDER):
        return job | {"LanguageCode": language}
    options = languages.candidates(recording, languages.BATCH, provider=PROVIDER)
    return job | {"IdentifyLanguage": True, "LanguageOptions": list(options)}
