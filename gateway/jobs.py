"""The routes of jobs: submit, read, list, cancel, events, deliveries."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.types import ASGIApp, Guard

from gateway import requests
from gateway.hub import Hub
from gateway.streaming import EventStream, parse_event_id
from gateway.submission import Submission
from jobs import errors
from jobs.dispatch import Dispatch
from jobs.job import TERMINAL, Job, JobEvent, JobSpec, view
from jobs.store.deliveries import NewDelivery, Outbox
from jobs.store.jobs import JobStore
from jobs.store.listing import Listing

JSON = "application/json"
AnyRequest = Request[Any, Any, Any]


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """What the routes work with; one per process."""

    submission: Submission
    store: JobStore
    listing: Listing
    outbox: Outbox
    hub: Hub
    dispatch: Dispatch


def router(desk: Desk, guards: Sequence[Guard]) -> Router:
    """The routes below `/v1/jobs`, open to whom `guards` let through."""

    @post("/", operation_id="submit_job", status_code=202)
    async def submit(request: AnyRequest) -> Response[bytes]:
        """Submit a job."""
        if desk.hub.draining:
            raise errors.ShuttingDown(retry_after=1)
        body = await request.body()
        asked = desk.submission.read(body)
        key = requests.idempotency_key(request.headers.get("idempotency-key"))
        wait_s = requests.wait_seconds(request.headers.get("prefer"))
        scope = f"{owner(request)}:{key}" if key else None
        job_id = desk.store.new_id(scope)
        spec = desk.submission.specify(asked, job_id, owner=owner(request))
        idempotency = (scope, body) if scope else None
        if wait_s is None:
            accepted_id, job = await accept(spec, idempotency, watcher="")
            return _accepted(accepted_id, job)
        with desk.hub.subscribe(job_id, 0, live=True) as subscription:
            accepted_id, job = await accept(spec, idempotency, watcher=desk.hub.gateway_id)
            if accepted_id != job_id:
                return await _when_ended(accepted_id, wait_s)
            await _until_ended(subscription, wait_s)
            return await _waited(job_id, ended=subscription.ended)

    async def accept(spec: JobSpec, idempotency: tuple[str, bytes] | None, *, watcher: str) -> tuple[str, bytes]:
        accepted = await desk.store.accept(spec, idempotency=idempotency, watcher=watcher)
        if not accepted.created:
            return accepted.job_id, await desk.store.get(accepted.job_id)
        desk.dispatch.send(spec.id, spec.priority)
        return spec.id, msgspec.json.encode(view(spec, status="queued"))

    async def _when_ended(job_id: str, wait_s: float) -> Response[bytes]:
        with desk.hub.subscribe(job_id, 0) as subscription:
            await desk.hub.watch(subscription)
            await _until_ended(subscription, wait_s)
            return await _waited(job_id, ended=subscription.ended)

    async def _until_ended(subscription: Any, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                while not subscription.ended and not subscription.cut:
                    await subscription.wait()
                    subscription.take()
                    if not subscription.live and not subscription.cut:
                        await desk.hub.catch_up(subscription)
        except TimeoutError:
            return

    async def _waited(job_id: str, *, ended: bool) -> Response[bytes]:
        job = await desk.store.get(job_id)
        if not ended:
            return _accepted(job_id, job)
        return Response(job, media_type=JSON, status_code=200, headers={"Preference-Applied": "wait"})

    @get("/", operation_id="list_jobs")
    async def list_jobs(request: AnyRequest) -> Response[bytes]:
        """List jobs, newest first."""
        query = requests.list_query(request.query_params)
        page = await desk.listing.page(**msgspec.structs.asdict(query))
        return Response(msgspec.json.encode(page), media_type=JSON)

    @get("/{job_id:str}", operation_id="get_job")
    async def read(job_id: str) -> Response[bytes]:
        """Read a job."""
        return Response(await desk.store.get(job_id), media_type=JSON)

    @post("/{job_id:str}/cancel", operation_id="cancel_job", status_code=202)
    async def cancel(job_id: str) -> Response[bytes]:
        """Cancel a job."""
        if not await _cancel_queued(job_id) and not await desk.store.request_cancel(job_id):
            raise errors.JobAlreadyEnded
        return Response(await desk.store.get(job_id), media_type=JSON, status_code=202)

    async def _cancel_queued(job_id: str) -> bool:
        """Ends the job if it has not been started. False: it has."""
        state = await desk.store.state(job_id)
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

    @get("/{job_id:str}/events", operation_id="stream_events")
    async def events(job_id: str, request: AnyRequest) -> ASGIApp:
        """Stream a job's events."""
        header, query = request.headers.get("last-event-id"), request.query_params.get("last_event_id")
        last = parse_event_id(header, "header:Last-Event-ID") or parse_event_id(query, "query:last_event_id")
        state = await desk.store.state(job_id)
        if last > state.last_event:
            raise errors.InvalidRequest.at("header:Last-Event-ID", f"there is no event {last} yet")
        return EventStream(desk.hub, desk.store, job_id, last, state)

    @get("/{job_id:str}/deliveries", operation_id="list_deliveries")
    async def deliveries(job_id: str) -> Response[bytes]:
        """List a job's callbacks with every attempt."""
        await desk.store.state(job_id)
        return Response(msgspec.json.encode({"items": await desk.outbox.of_job(job_id)}), media_type=JSON)

    return Router("/v1/jobs", route_handlers=[submit, list_jobs, read, cancel, events, deliveries], guards=guards)


def owner(request: AnyRequest) -> str:
    """Id of the API key that makes the request; empty where keys are off."""
    return str(request.state.get("owner", ""))


def _accepted(job_id: str, job: bytes) -> Response[bytes]:
    return Response(job, media_type=JSON, status_code=202, headers={"Location": f"/v1/jobs/{job_id}"})
