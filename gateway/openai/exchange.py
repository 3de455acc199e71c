"""One chat completion from its acceptance as a job to its last byte, streamed or whole."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import structlog
from litestar.types import Receive, Scope, Send

from gateway.desk import Desk, Followed, Idempotency
from gateway.hub import HEARTBEAT, Subscription
from gateway.openai import chunks, completion, problems
from gateway.openai.chunks import Chunks, Differs
from gateway.openai.completion import Outcome
from gateway.openai.problems import Fault
from gateway.openai.request import Asked
from gateway.server import WRITE_NOW
from gateway.streaming import EVENT_STREAM, cut_when_gone
from jobs import errors
from jobs.event import TERMINAL_NAMES
from jobs.job import JobSpec

T = TypeVar("T")
_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0)
"""Between attempts to read what was missed while the store does not answer: as long as a restart of it takes."""
_CANCEL_PAUSES_S = (0.2, 1.0, 5.0, 10.0)
_log = structlog.get_logger(__name__)


class _Left(Exception):
    """The client has closed the connection."""


class _Reply:
    """The HTTP answer: its head goes out with its first bytes."""

    def __init__(self, send: Send) -> None:
        self.job_id = ""
        """Once it is accepted."""
        self.begun = False
        self._send = send

    async def whole(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """All of it."""
        told = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        length = (b"content-length", b"%d" % len(body))
        await self._start(status, [(b"content-type", b"application/json"), length, *told])
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def part(self, body: bytes, *, last: bool = False) -> None:
        """More of an event stream."""
        if not self.begun:
            await self._start(200, EVENT_STREAM)
        await self._send({"type": "http.response.body", "body": body, "more_body": not last})

    async def fail(self, fault: Fault) -> None:
        """The error, by its status or, if the stream has begun, as its last event."""
        if self.begun:
            await self.part(chunks.failure(fault, self.job_id), last=True)
        else:
            await self.whole(fault.status, fault.body, dict(fault.headers))

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.begun = True
        job_id = self.job_id.encode()
        job = [(b"ringback-job-id", job_id), (b"x-request-id", job_id)] if job_id else []
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *job]})


class Exchange:
    """The ASGI answer to one request, which was read and found valid."""

    def __init__(self, desk: Desk, asked: Asked, spec: JobSpec, idempotency: Idempotency | None) -> None:
        """`spec`: the job that `asked` is to become."""
        self._desk = desk
        self._asked = asked
        self._spec = spec
        self._idempotency = idempotency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, whatever happens."""
        reply = _Reply(send)
        try:
            async with self._desk.follow(self._spec, self._idempotency, replay=True, patient=True) as followed:
                reply.job_id = followed.subscription.job_id
                with cut_when_gone(followed.subscription, receive) as gone:
                    try:
                        await self._answer(followed, gone, reply, scope)
                    except _Left:
                        if followed.created and not self._asked.outlives_client:
                            await self._cancel(reply.job_id)
        except errors.RingbackError as error:
            await reply.fail(problems.of_error(error))
        except Differs:
            await reply.fail(chunks.differs())
        except Exception:  # noqa: BLE001  # a bug must not leave a stream that looks whole, or a caller without the job's id
            _log.exception("exchange_crashed", job_id=reply.job_id)
            await reply.fail(problems.of_error(errors.RingbackError()))

    async def _answer(self, followed: Followed, gone: asyncio.Task[None], reply: _Reply, scope: Scope) -> None:
        if self._asked.streamed:
            await self._stream(followed, gone, reply, scope)
            return
        job = followed.job
        if not followed.ended:
            async with aclosing(self._events(followed.subscription, gone)) as batches:
                async for frames in batches:
                    last = frames
            *_, (_, job) = chunks.events(last)
        await self._tell(completion.outcome(job), reply)

    async def _tell(self, ended: Outcome, reply: _Reply) -> None:
        """The whole answer."""
        finish = ended.finish
        if finish is None:
            await reply.fail(ended.fault)
            return
        body = completion.encode(completion.completion(ended, finish))
        await reply.whole(200, body, {})

    async def _stream(self, followed: Followed, gone: asyncio.Task[None], reply: _Reply, scope: Scope) -> None:
        asked, subscription = self._asked, followed.subscription
        job = completion.outcome(followed.job)
        made = Chunks(job, structured=asked.structured, include_usage=asked.include_usage)
        if followed.ended:
            await self._end(made, job, reply)
            return
        extension: dict[Any, Any] = (scope.get("extensions") or {}).get(WRITE_NOW, {})
        if write := extension.get(WRITE_NOW):
            subscription.write_now = functools.partial(_pass_on, made, write)
        async with aclosing(self._events(subscription, gone)) as batches:
            async for frames in batches:
                told = b""
                for name, data in _worth_telling(frames):
                    if name in TERMINAL_NAMES:
                        await self._end(made, completion.outcome(data), reply)
                        return
                    if made.needs_model(name):
                        made.model = await self._answering(followed)
                    told += _told(made, name, data)
                if told:
                    await reply.part(told)

    async def _end(self, made: Chunks, ended: Outcome, reply: _Reply) -> None:
        """The end of a stream."""
        tail = made.end(ended)
        if tail is None:
            await reply.fail(ended.fault)
        else:
            await reply.part(tail, last=True)

    async def _answering(self, followed: Followed) -> str:
        """Who answers. Only the store knows that at once if there are several who might."""
        if followed.created and len(self._spec.targets) == 1:
            return self._spec.targets[0]
        return completion.outcome(await self._desk.store.get(followed.subscription.job_id)).model

    async def _events(self, subscription: Subscription, gone: asyncio.Task[None]) -> AsyncGenerator[bytes, None]:
        """The job's events, as many as there are at once, until the last.

        Raises `_Left`, `errors.ShuttingDown`, `errors.EventsGone`, and `errors.StoreUnavailable` after some patience.
        """
        while True:
            frames = subscription.take()
            if gone.done():
                raise _Left
            if frames:
                yield frames
            if HEARTBEAT in frames:
                await self._look(subscription)
            if subscription.ended:
                return
            if subscription.cut:
                raise errors.ShuttingDown(retry_after=1)
            await subscription.wait()
            if not subscription.live and not subscription.cut:
                await self._catch_up(subscription)

    async def _look(self, subscription: Subscription) -> None:
        """Nothing has come for long: is the job, and the store, still there? Raises `errors.JobNotFound` too."""
        state = await _patiently(lambda: self._desk.store.state(subscription.job_id), subscription)
        if state is not None and state.last_event > subscription.last:
            subscription.fall_behind()

    async def _catch_up(self, subscription: Subscription) -> None:
        await _patiently(lambda: self._desk.hub.catch_up(subscription), subscription)

    async def _cancel(self, job_id: str) -> None:
        """Nobody waits for the job any more."""
        for pause in _CANCEL_PAUSES_S:
            try:
                await self._desk.cancel(job_id)
            except (errors.JobAlreadyEnded, errors.JobNotFound):
                return
            except errors.StoreUnavailable:
                await asyncio.sleep(pause)
            else:
                return
        _log.warning("abandoned_job_not_cancelled", job_id=job_id)


async def _patiently(read: Callable[[], Awaitable[T]], subscription: Subscription) -> T | None:
    """What `read` gives, which has some time to come by; `None` if the stream has to end before."""
    for pause in _PAUSES_S:
        try:
            return await read()
        except errors.StoreUnavailable:
            if subscription.cut:
                return None
            await asyncio.sleep(pause)
    return await read()


def _worth_telling(frames: bytes) -> list[tuple[str, bytes]]:
    """The events without text that need not be sent: it is void already, or the whole answer follows."""
    found = list(chunks.events(frames))
    names = [name for name, _ in found]
    settled = max((n for n, name in enumerate(names) if name == chunks.RESET or name in TERMINAL_NAMES), default=-1)
    return [event for n, event in enumerate(found) if n > settled or event[0] != chunks.TEXT]


def _pass_on(made: Chunks, write: Any, frame: bytes) -> bool:
    return made.pass_on(frame, write)


def _told(made: Chunks, name: str, data: bytes) -> bytes:
    """What of an event that is not the last is to be sent. Raises `Differs`."""
    match name:
        case chunks.COMMENT:
            return chunks.KEEP_ALIVE
        case chunks.TEXT:
            return made.text(data)
        case chunks.RESET:
            made.reset()
            return b""
        case _:
            return b""
