"""Where jobs are accepted, followed and cancelled, whichever surface they come over."""

import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import msgspec

from gateway.hub import Hub, Subscription
from gateway.pressure import Pressure
from gateway.submission import Submission
from jobs import errors
from jobs.dispatch import Dispatch, Enclosures
from jobs.job import TERMINAL, Job, JobEvent, JobSpec, view
from jobs.model import Cost, usage_of
from jobs.store.deliveries import NewDelivery, Outbox
from jobs.store.jobs import JobStore
from jobs.store.listing import Listing
from jobs.store.recordings import Recordings

Idempotency = tuple[str, bytes]
"""The caller's idempotency key with its scope, and the body of the request."""

Busy = Literal["wait", "refuse"]
"""What a turn does in a session where another one is under way."""


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was accepted, now or before, and the subscription to its events."""

    job: bytes
    """The Job as JSON, as it stood when it was accepted or, if that was before, just now."""
    created: bool
    """False: the job was accepted before, under the same idempotency key."""
    ended: bool
    """The job had ended before; the subscription is of no use."""
    subscription: Subscription


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """What the routes work with; one per process."""

    submission: Submission
    store: JobStore
    pressure: Pressure
    listing: Listing
    outbox: Outbox
    hub: Hub
    dispatch: Dispatch
    enclosures: Enclosures | None
    """How hints travel if the store is the broker too; `dispatch` has nothing to send then."""
    max_body_bytes: int
    recordings: Recordings
    """Where the audio that callers send waits for the workers."""
    max_audio_bytes: int

    def check_open(self) -> None:
        """Raises `errors.ShuttingDown` while the process drains."""
        if self.hub.draining:
            raise errors.ShuttingDown(retry_after=1)

    async def accept(
        self,
        spec: JobSpec,
        idempotency: Idempotency | None,
        *,
        watcher: str = "",
        recording: bytes | None = None,
        busy: Busy | None = None,
    ) -> tuple[str, bytes]:
        """The id and the JSON of the job that the request makes, or made when it came the first time.

        `recording`: the audio of its input, if that came along; `busy` as in `JobStore.accept`, which says what is
        raised, as does `Pressure.check`.
        """
        await self.pressure.check()
        if recording is not None:
            await self.recordings.put(spec.id, recording)
        hint = self.enclosures.of(spec.id, spec.priority) if self.enclosures else ("", "")
        try:
            accepted = await self.store.accept(spec, idempotency=idempotency, watcher=watcher, hint=hint, busy=busy)
        except errors.StoreUnavailable:
            raise  # it may have been accepted nevertheless, and need its recording
        except errors.RingbackError:
            await self._drop(spec)
            raise
        if not accepted.created:
            await self._drop(spec)
            return accepted.job_id, await self.store.get(accepted.job_id)
        if accepted.hint and not self.enclosures:
            self.dispatch.send(spec.id, spec.priority)
        return spec.id, msgspec.json.encode(view(spec, status="queued"))

    @asynccontextmanager
    async def follow(
        self,
        spec: JobSpec,
        idempotency: Idempotency | None,
        *,
        replay: bool,
        patient: bool = False,
        recording: bytes | None = None,
        busy: Busy | None = None,
    ) -> AsyncIterator[Followed]:
        """Accepts the job and follows its events from the first one on.

        `replay`: so too if the job was accepted before; otherwise only what is new is followed then. `patient` as in
        `Hub.subscribe`, `recording` and `busy` as in `accept`. Raises as `accept` does, and `errors.EventsGone`.
        """
        with self.hub.subscribe(spec.id, 0, live=True, patient=patient) as subscription:
            watcher = self.hub.gateway_id
            job_id, job = await self.accept(spec, idempotency, watcher=watcher, recording=recording, busy=busy)
            if job_id == spec.id:
                yield Followed(job=job, created=True, ended=False, subscription=subscription)
                return
        state = await self.store.state(job_id)
        last = 0 if replay else state.last_event
        ended = state.status in TERMINAL
        with self.hub.subscribe(job_id, last, newest=state.last_event, patient=patient) as subscription:
            if not ended:
                await self.hub.watch(subscription)
            yield Followed(job=job, created=False, ended=ended, subscription=subscription)

    async def cancel(self, job_id: str, *, owner: str | None = None) -> None:
        """Ends the job, or has the worker end it that runs it.

        With `owner` (an API key's id) only a job of that owner is there. Raises `errors.JobNotFound`,
        `errors.JobAlreadyEnded` and `errors.StoreUnavailable`.
        """
        if not await self._cancel_queued(job_id, owner=owner) and not await self.store.request_cancel(job_id):
            raise errors.JobAlreadyEnded

    async def _cancel_queued(self, job_id: str, *, owner: str | None) -> bool:
        """Ends the job, which must be that owner's, if it has not been started. False: it has."""
        state = await self.store.state(job_id, owner=owner)
        if state.status in TERMINAL:
            raise errors.JobAlreadyEnded
        spec = await self.store.spec(job_id)
        if state.status != "queued" or spec is None:
            return False
        job: Job = view(
            spec,
            status="cancelled",
            ended_ms=(now := int(time.time() * 1000)),
            attempt=state.attempt,
            calls=state.calls,
            usage=usage_of(state.calls),
            cost=Cost.of(state.calls),
        )
        delivery = NewDelivery.of(job, JobEvent.CANCELLED, at_ms=now)
        try:
            await self.store.end(state.fence, job, delivery=delivery, required="queued", ready=self.dispatch.send)
        except errors.StaleFence:
            return False
        await self._drop(spec)
        return True

    async def _drop(self, spec: JobSpec) -> None:
        """Deletes the recording of a job that does not run."""
        with contextlib.suppress(errors.StoreUnavailable):  # it expires
            await self.recordings.drop(spec)
