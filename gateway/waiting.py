"""`Prefer: wait=N`: the answer to a request that made a job and wants to see its end, if that comes in time."""

import asyncio
import contextlib

import msgspec

from gateway.desk import Desk, Followed
from jobs import errors
from jobs.job import TERMINAL, Status

APPLIED = ("preference-applied", "wait")
"""The header of an answer with the job at its end (RFC 7240, 3)."""


class _Standing(msgspec.Struct, frozen=True):
    status: Status


_standing = msgspec.json.Decoder(_Standing)


async def waited(desk: Desk, followed: Followed, wait_s: float) -> tuple[bytes, bool]:
    """The job, and whether it has ended; or the time is up, the client has left or the process drains.

    The job is accepted: if the store fails now, the answer is the Job as it was then, and no error.
    """
    job, subscription = followed.job, followed.subscription
    with contextlib.suppress(TimeoutError, errors.EventsGone, errors.StoreUnavailable):
        async with asyncio.timeout(0 if followed.ended else wait_s):
            while not subscription.ended and not subscription.cut:
                await subscription.wait()
                subscription.take()
                if not subscription.live:
                    await desk.hub.catch_up(subscription)
    with contextlib.suppress(errors.StoreUnavailable):
        job = await desk.store.get(subscription.job_id)
    return job, _standing.decode(job).status in TERMINAL
