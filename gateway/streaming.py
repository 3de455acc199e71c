"""A job's events as server-sent events: resumable on any gateway, kept alive, bounded for slow consumers."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from gateway.hub import RECONNECT, Hub, Subscription
from gateway.server import WRITE_NOW
from jobs import errors
from jobs.event import LoggedEvent
from jobs.job import TERMINAL, terminal_event
from jobs.store.jobs import JobStore, State

EVENT_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
"""The headers of an event stream."""


class EventStream:
    """The ASGI answer that streams one job's events after an id."""

    def __init__(
        self,
        hub: Hub,
        store: JobStore,
        job_id: str,
        last: int,
        state: State,
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """`state` is how the job stood when the request came; `headers` go along with those of every stream."""
        self._headers = [*EVENT_STREAM, *headers]
        self._hub = hub
        self._store = store
        self._job_id = job_id
        self._last = last
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers. Raises, before anything is sent, `errors.EventsGone` and `errors.StoreUnavailable`."""
        if self._state.status in TERMINAL and self._last >= self._state.last_event:
            # 204 tells an EventSource that it has everything and must not come back.
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        with self._hub.subscribe(self._job_id, self._last, newest=self._state.last_event) as subscription:
            only = await self._start(subscription)
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            if scope["type"] == ScopeType.HTTP and scope["method"] == "HEAD":
                only = b""
            if only is not None:
                await send({"type": "http.response.body", "body": only, "more_body": False})
                return
            write_at_once(subscription, scope)
            with cut_when_gone(subscription, receive) as gone:
                await pump(self._hub, subscription, gone, send)

    async def _start(self, subscription: Subscription) -> bytes | None:
        """Starts to catch up before the answer does; a whole body if the events are gone but the job's end is known."""
        ended = self._state.status in TERMINAL
        try:
            if ended:
                await self._hub.catch_up(subscription)
            else:
                await self._hub.watch(subscription)
        except errors.EventsGone:
            if self._last > 0 or not ended:
                raise
            event = terminal_event(self._state.status)  # type: ignore[arg-type]  # checked above
            return LoggedEvent(self._state.last_event, event, await self._store.get(self._job_id)).frame()
        return None


def write_at_once(subscription: Subscription, scope: Scope) -> None:
    """Has events written past the task that waits for them, where the server can do that."""
    extension: Mapping[Any, Any] = (scope.get("extensions") or {}).get(WRITE_NOW, {})
    subscription.write_now = extension.get(WRITE_NOW)


async def pump(hub: Hub, subscription: Subscription, gone: asyncio.Task[None], send: Send) -> None:
    """Sends the body of an event stream, whose head was sent, to its end."""
    while not gone.done():
        chunk = subscription.take()
        over = subscription.cut or subscription.ended
        if subscription.cut and not subscription.ended:
            chunk += RECONNECT
        if chunk or over:
            await send({"type": "http.response.body", "body": chunk, "more_body": not over})
        if over:
            return
        await subscription.wait()
        if not subscription.live and not subscription.cut:
            try:
                await hub.catch_up(subscription)
            except (errors.EventsGone, errors.StoreUnavailable):
                subscription.finish()


@contextmanager
def cut_when_gone(subscription: Subscription, receive: Receive) -> Iterator[asyncio.Task[None]]:
    """Ends the subscription when the client leaves, which is when the task given is done. The request was read."""

    async def leave() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        subscription.finish()

    gone = asyncio.create_task(leave())
    try:
        yield gone
    finally:
        gone.cancel()
