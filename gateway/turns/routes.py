"""The routes of turns: by text and by voice, answered with the job, at once or at its end, or with its events."""

from collections.abc import Awaitable, Callable, Sequence

from litestar import Router, post
from litestar.params import FromPath
from litestar.types import ASGIApp, Guard, Receive, Scope, Send

from gateway import requests
from gateway.access import check_job, idempotency_scope, needs, owner, sees
from gateway.desk import Desk, Idempotency
from gateway.requests import AnyRequest
from gateway.streaming import EVENT_STREAM, EventStream, cut_when_gone, pump, write_at_once
from gateway.turns import reading
from gateway.turns.reading import Asked
from gateway.waiting import APPLIED, waited
from jobs import errors
from jobs.job import JobSpec
from jobs.session import Session
from jobs.store.sessions import Sessions

_EVENTS = "text/event-stream"
_Reader = Callable[[AnyRequest, Desk, Session], Awaitable[Asked]]


def router(desk: Desk, sessions: Sessions, guards: Sequence[Guard]) -> Router:
    """The routes `/v1/sessions/{id}/text` and `/voice`, open to whom `guards` let through."""

    async def taken(session_id: str, request: AnyRequest, read: _Reader) -> ASGIApp:
        desk.check_open()
        session = await sessions.get(session_id, owner=sees(request))
        try:
            asked = await read(request, desk, session)
            scope = idempotency_scope(request)
            scope = f"{session_id}:{scope}" if scope else None
            spec = desk.submission.specify(
                asked.job,
                desk.store.new_id(scope, session_id=session_id),
                owner=owner(request),
                recording=asked.recording is not None,
                session_id=session_id,
            )
        except errors.InvalidRequest as error:
            raise reading.flattened(error) from None
        check_job(request, spec)
        streamed = _EVENTS in request.headers.get("accept", "").lower()
        wait_s = None if streamed else requests.wait_seconds(request.headers)
        return Turn(desk, spec, asked, (scope, asked.body) if scope else None, streamed=streamed, wait_s=wait_s)

    @post(
        "/{session_id:str}/text",
        operation_id="take_text_turn",
        status_code=202,
        opt=needs("jobs:write", spends=True),
    )
    async def by_text(session_id: FromPath[str], request: AnyRequest) -> ASGIApp:
        """Say something in a session."""
        return await taken(session_id, request, reading.text_turn)

    @post(
        "/{session_id:str}/voice",
        operation_id="take_voice_turn",
        status_code=202,
        opt=needs("jobs:write", spends=True),
    )
    async def by_voice(session_id: FromPath[str], request: AnyRequest) -> ASGIApp:
        """Say something aloud in a session."""
        return await taken(session_id, request, reading.voice_turn)

    return Router("/v1/sessions", route_handlers=[by_text, by_voice], guards=guards)


class Turn:
    """The ASGI answer to a turn that was read and found valid: its job or, if that is asked for, its events."""

    def __init__(
        self,
        desk: Desk,
        spec: JobSpec,
        asked: Asked,
        idempotency: Idempotency | None,
        *,
        streamed: bool,
        wait_s: float | None,
    ) -> None:
        """`spec`: the job that `asked` is to become; `wait_s`: the seconds that its end is waited for, if it is."""
        self._desk = desk
        self._spec = spec
        self._asked = asked
        self._idempotency = idempotency
        self._streamed = streamed
        self._wait_s = wait_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers. Raises what `Desk.accept` does, before anything is sent."""
        if self._streamed:
            await self._stream(scope, receive, send)
            return
        if self._wait_s is not None:
            await self._wait(self._wait_s, receive, send)
            return
        asked = self._asked
        job_id, job = await self._desk.accept(self._spec, self._idempotency, recording=asked.recording, busy=asked.busy)
        await _told(job_id, job, send)

    async def _wait(self, wait_s: float, receive: Receive, send: Send) -> None:
        """The job at its end if that comes in time."""
        asked, desk = self._asked, self._desk
        following = desk.follow(self._spec, self._idempotency, replay=False, recording=asked.recording, busy=asked.busy)
        async with following as followed:
            with cut_when_gone(followed.subscription, receive):
                job, ended = await waited(desk, followed, wait_s)
        await _told(followed.subscription.job_id, job, send, ended=ended)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The job's events from the first one on."""
        asked, desk = self._asked, self._desk
        following = desk.follow(self._spec, self._idempotency, replay=True, recording=asked.recording, busy=asked.busy)
        async with following as followed:
            job_id = followed.subscription.job_id
            if not followed.ended:
                headers = [*EVENT_STREAM, *_named(job_id)]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                # A client that waits for the body to begin sees that the turn is accepted.
                await send({"type": "http.response.body", "body": b": accepted\n\n", "more_body": True})
                write_at_once(followed.subscription, scope)
                with cut_when_gone(followed.subscription, receive) as gone:
                    await pump(desk.hub, followed.subscription, gone, send)
                return
        # It came before and has ended since: everything is in the log.
        state = await desk.store.state(job_id)
        await EventStream(desk.hub, desk.store, job_id, 0, state, headers=_named(job_id))(scope, receive, send)


async def _told(job_id: str, job: bytes, send: Send, *, ended: bool = False) -> None:
    """Sends the job as it stands, or at its end."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(job)), *_named(job_id)]
    if ended:
        headers.append((APPLIED[0].encode(), APPLIED[1].encode()))
    await send({"type": "http.response.start", "status": 200 if ended else 202, "headers": headers})
    await send({"type": "http.response.body", "body": job, "more_body": False})


def _named(job_id: str) -> list[tuple[bytes, bytes]]:
    return [(b"location", b"/v1/jobs/" + job_id.encode()), (b"ringback-job-id", job_id.encode())]
