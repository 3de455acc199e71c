"""The route of spoken audio that a job's output links to: whole, or the range that a player asks for."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from litestar import Response, Router, route
from litestar.params import FromPath
from litestar.types import Guard

from gateway.access import needs, sees
from gateway.requests import READ, AnyRequest
from jobs import errors
from jobs.store.jobs import JobStore

_NAME = re.compile(r"[a-z0-9]{1,32}\.(mp3|ogg|pcm|wav)")
_MEDIA_TYPES = {"mp3": "audio/mpeg", "ogg": "audio/ogg", "pcm": "audio/pcm", "wav": "audio/wav"}
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


class AudioNotFound(errors.NotFound):
    """There is no such audio, or it has expired with the job's events, or this gateway does not share the worker's
    data directory: set RINGBACK_S3_BUCKET then."""

    code = "audio_not_found"


def router(store: JobStore, directory: Path, guards: Sequence[Guard]) -> Router:
    """The route below `/v1/jobs/{job_id}/audio`, open to whom `guards` let through; `directory` is the workers'."""

    @route("/{job_id:str}/audio/{name:str}", http_method=READ, operation_id="get_audio", opt=needs("jobs:read"))
    async def read(job_id: FromPath[str], name: FromPath[str], request: AnyRequest) -> Response[bytes]:
        """Read a job's audio."""
        await store.state(job_id, owner=sees(request))
        match = _NAME.fullmatch(name)
        try:
            content = await asyncio.to_thread((directory / job_id / name).read_bytes) if match else b""
        except OSError:
            content = b""
        if match is None or not content:
            raise AudioNotFound(" ".join((AudioNotFound.__doc__ or "").split()))
        return _ranged(content, _MEDIA_TYPES[match[1]], request.headers.get("range", ""))

    return Router("/v1/jobs", route_handlers=[read], guards=guards)


def _ranged(content: bytes, media_type: str, asked: str) -> Response[bytes]:
    """All of it, or the one range asked for (RFC 9110, 14): what is no such range counts as not asked."""
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, max-age=300"}
    match = _RANGE.fullmatch(asked.strip())
    if match is None or not (match[1] or match[2]):
        return Response(content, media_type=media_type, headers=headers)
    size = len(content)
    first = int(match[1]) if match[1] else max(0, size - int(match[2]))
    last = min(int(match[2]), size - 1) if match[1] and match[2] else size - 1
    if first > last:
        return Response(b"", status_code=416, media_type=media_type, headers={"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Response(content[first : last + 1], status_code=206, media_type=media_type, headers=headers)
