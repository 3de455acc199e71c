"""The audio of a job's input, kept beside the job: not in its record, which is shown and sent around all the time."""

from jobs import ids
from jobs.job import JobSpec
from jobs.store import keys
from jobs.store.connection import Connection

KEPT_S = 24 * 3600
"""Longer than any job should wait; it is deleted sooner, at the job's end."""


class Recordings:
    """The recordings of all jobs."""

    def __init__(self, connection: Connection) -> None:
        """Uses the shared connection."""
        self._connection = connection

    async def put(self, job_id: str, recording: bytes) -> None:
        """Keeps a recording for a job that will be accepted next. Raises `errors.StoreUnavailable`."""
        await self._connection.call("SET", _key(job_id), recording, "EX", KEPT_S)

    async def get(self, job_id: str) -> bytes | None:
        """The recording; `None` if it is no longer kept. Raises `errors.StoreUnavailable`."""
        found: bytes | None = await self._connection.call("GET", _key(job_id))
        return found

    async def drop(self, spec: JobSpec) -> None:
        """Deletes the recording of a job that has ended, if it has one. Raises `errors.StoreUnavailable`."""
        if spec.recording:
            await self._connection.call("UNLINK", _key(spec.id))


def _key(job_id: str) -> str:
    return f"{keys.tag(ids.shard_of(job_id, keys.JOB_PREFIX))}:recording:{job_id}"
