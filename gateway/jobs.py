"""The routes of jobs: submit, read, list, cancel, events, deliveries."""

from collections.abc import Sequence

import msgspec
from litestar import HttpMethod, Response, Router, post, route
from litestar.params import FromPath
from litestar.types import ASGIApp, Guard

from gateway import requests
from gateway.access import check_job, idempotency_scope, needs, owner, sees
from gateway.desk import Desk
from gateway.requests import READ, AnyRequest
from gateway.streaming import EventStream, cut_when_gone
from gateway.waiting import APPLIED, waited

JSON = "application/json"


def router(desk: Desk, guards: Sequence[Guard]) -> Router:
    """The routes below `/v1/jobs`, open to whom `guards` let through."""

    @post("/", operation_id="submit_job", status_code=202, opt=needs("jobs:write", spends=True))
    async def submit(request: AnyRequest) -> Response[bytes]:
        """Submit a job."""
        desk.check_open()
        body = await requests.body(request, desk.max_body_bytes)
        asked, recording = desk.submission.detach(desk.submission.read(body))
        scope = idempotency_scope(request)
        wait_s = requests.wait_seconds(request.headers)
        job_id = desk.store.new_id(scope)
        spec = desk.submission.specify(asked, job_id, owner=owner(request), recording=recording is not None)
        check_job(request, spec)
        idempotency = (scope, body) if scope else None
        if wait_s is None:
            return _accepted(*await desk.accept(spec, idempotency, recording=recording))
        async with desk.follow(spec, idempotency, replay=False, recording=recording) as followed:
            with cut_when_gone(followed.subscription, request.receive):
                job, ended = await waited(desk, followed, wait_s)
        if not ended:
            return _accepted(followed.subscription.job_id, job)
        return Response(job, media_type=JSON, status_code=200, headers=dict([APPLIED]))

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
        await desk.cancel(job_id, owner=sees(request))
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


def _accepted(job_id: str, job: bytes) -> Response[bytes]:
    return Response(job, media_type=JSON, status_code=202, headers={"Location": f"/v1/jobs/{job_id}"})
