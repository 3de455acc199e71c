"""The routes of jobs: submit, read, list, cancel, events, deliveries."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

import msgspec
from litestar import HttpMethod, Response, Router, post, route
from litestar.params import FromPath
from litestar.types import ASGIApp, Guard

from gateway import requests
from gateway.access import check_job, needs, owner, sees
from gateway.hub import Hub, Subscription
from gateway.pressure import Pressure
from gateway.requests import READ, AnyRequest
from gateway.streaming import EventStream, cut_when_gone
from gateway.submission import Submission
from jobs import errors
from jobs.dispatch import Dispatch, Enclosures
from jobs.job import TERMINAL, Job, JobEvent, JobSpec, Status, view
from jobs.store.deliveries import NewDelivery, Outbox
from jobs.store.jobs import JobStore
from jobs.store.listing import Listing

JSON = "application/json"


class _Standing(msgspec.Struct, frozen=True):
    status: Status


_standing = msgspec.json.Decoder(_Standing)


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


def router(desk: Desk, guards: Sequence[Guard]) -> Router:
    """The routes below `/v1/jobs`, open to whom `guards` let through."""

    @post("/", operation_id="submit_job", status_code=202, opt=needs("jobs:write", spends=True))
    async def submit(request: AnyRequest) -> Response[bytes]:
        """Submit a job."""
        if desk.hub.draining:
            raise errors.ShuttingDown(retry_after=1)
        body = await requests.body(request, desk.max_body_bytes)
        asked = desk.submission.read(body)
        key = requests.idempotency_key(request.headers.get("idempotency-key"))
        wait_s = requests.wait_seconds(request.headers)
        scope = f"{owner(request)}:{key}" if key else None
        job_id = desk.store.new_id(scope)
        spec = desk.submission.specify(asked, job_id, owner=owner(request))
        check_job(request, spec)
        idempotency = (scope, body) if scope else None
        if wait_s is None:
            return _accepted(*await _accept(desk, spec, idempotency, watcher=""))
        with desk.hub.subscribe(job_id, 0, live=True) as subscription:
            accepted_id, job = await _accept(desk, spec, idempotency, watcher=desk.hub.gateway_id)
            if accepted_id == job_id:
                with cut_when_gone(subscription, request.receive):
                    return await _waited(desk, subscription, job, wait_s)
        state = await desk.store.state(accepted_id)
        with desk.hub.subscribe(accepted_id, state.last_event, newest=state.last_event) as subscription:
            if state.status not in TERMINAL:
                await desk.hub.watch(subscription)
            with cut_when_gone(subscription, request.receive):
                return await _waited(desk, subscription, job, 0 if state.status in TERMINAL else wait_s)

    @route("/", http_method=READ, operation_id="list_jobs", opt=needs("jobs:read"))
    async def list_jobs(request: AnyRequest) -> Response[bytes]:
        """List jobs, newest first."""
        query = requests.list_query(request.query_params)
        page = await desk.listing.page(owner=sees(request), **msgspec.structs.asdict(query))
        return Response(msgspec.json.encode(page), media_type=JSON)

    @route("/{job_id:str}", http_method=READ, operation_id="get_job", opt=needs("jobs:read"))
    async def read(job_id: FromPath[str], request: AnyRequest) -> Response[bytes]:
        """Read a job."""
        return Response(await desk.store.get(job_id, owner=sees(request)), media_type=JSON)

    @post("/{job_id:str}/cancel", operation_id="cancel_job", status_code=202, opt=needs("jobs:write"))
    async def cancel(job_id: FromPath[str], request: AnyRequest) -> Response[bytes]:
        """Cancel a job."""
        if not await _cancel_queued(desk, job_id, owner=sees(request)) and not await desk.store.request_cancel(job_id):
            raise errors.JobAlreadyEnded
        return Response(await desk.store.get(job_id), media_type=JSON, status_code=202)

    @route("/{job_id:str}/events", http_method=READ, operation_id="stream_events", opt=needs("jobs:read"))
    async def events(job_id: FromPath[str], request: AnyRequest) -> ASGIApp:
        """Stream a job's events."""
        state = await desk.store.state(job_id, owner=sees(request))
        last = requests.resume_point(request, state.last_event)
        return EventStream(desk.hub, desk.store, job_id, last, state)

    @route("/{job_id:str}/deliveries", http_method=READ, operation_id="list_deliveries", opt=needs("jobs:read"))
    async def deliveries(job_id: FromPath[str], request: AnyRequest) -> Response[bytes]:
        """List a job's callbacks with every attempt."""
        await desk.store.state(job_id, owner=sees(request))
        return Response(msgspec.json.encode({"items": await desk.outbox.of_job(job_id)}), media_type=JSON)

    @route("/", http_method=HttpMethod.OPTIONS, status_code=204)
    async def options() -> Response[None]:
        """What can be done here. Litestar answers by itself, but for a path with two handlers it names only one."""
        return Response(None, headers={"Allow": "GET, HEAD, OPTIONS, POST"})

    # `options` first, or Litestar has its own already.
    handlers = [options, submit, list_jobs, read, cancel, events, deliveries]
    return Router("/v1/jobs", route_handlers=handlers, guards=guards)


async def _accept(
    desk: Desk, spec: JobSpec, idempotency: tuple[str, bytes] | None, *, watcher: str
) -> tuple[str, bytes]:
    """The id and the JSON of the job that the request makes, or made when it came the first time."""
    await desk.pressure.check()
    hint = desk.enclosures.of(spec.id, spec.priority) if desk.enclosures else ("", "")
    accepted = await desk.store.accept(spec, idempotency=idempotency, watcher=watcher, hint=hint)
    if not accepted.created:
        return accepted.job_id, await desk.store.get(accepted.job_id)
    if accepted.hint and not desk.enclosures:
        desk.dispatch.send(spec.id, spec.priority)
    return spec.id, msgspec.json.encode(view(spec, status="queued"))


async def _waited(desk: Desk, subscription: Subscription, job: bytes, wait_s: float) -> Response[bytes]:
    """The answer once the job has ended, the time is up, the client has left or the process drains.

    The job is accepted: if the store fails now, the answer is `job`, as it was then, and no error.
    """
    with contextlib.suppress(TimeoutError, errors.EventsGone, errors.StoreUnavailable):
        async with asyncio.timeout(wait_s):
            while not subscription.ended and not subscription.cut:
                await subscription.wait()
                subscription.take()
                if not subscription.live:
                    await desk.hub.catch_up(subscription)
    with contextlib.suppress(errors.StoreUnavailable):
        job = await desk.store.get(subscription.job_id)
    if _standing.decode(job).status not in TERMINAL:
        return _accepted(subscription.job_id, job)
    return Response(job, media_type=JSON, status_code=200, headers={"Preference-Applied": "wait"})


async def _cancel_queued(desk: Desk, job_id: str, *, owner: str | None) -> bool:
    """Ends the job, which must be that owner's, if it has not been started. False: it has."""
    state = await desk.store.state(job_id, owner=owner)
    if state.status in TERMINAL:
        raise errors.JobAlreadyEnded
    spec = await desk.store.spec(job_id)
    if state.status != "queued" or spec is None:
        return False
    job: Job = view(spec, status="cancelled", ended_ms=(now := int(time.time() * 1000)), attempt=state.attempt)
    delivery = NewDelivery.of(job, JobEvent.CANCELLED, at_ms=now)
    try:
        await desk.store.end(state.fence, job, delivery=delivery, required="queued")
    except errors.StaleFence:
        return False
    return True


def _accepted(job_id: str, job: bytes) -> Response[bytes]:
    return Response(job, media_type=JSON, status_code=202, headers={"Location": f"/v1/jobs/{job_id}"})
