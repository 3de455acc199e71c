"""The HTTP server below the app: its socket, and what a single connection may do."""

import asyncio
import contextlib
import functools
import socket
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Literal, cast

import httptools
import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway import problems
from jobs import errors
from jobs.settings import Settings

STUCK_S = 30.0
"""A client that has read nothing for so long while something waits for it is cut off."""
STUCK_WHILE_DRAINING_S = 2.0
"""The same once the server is to stop, which would have to wait for that client."""
WRITE_NOW = "ringback.write_now"
"""The ASGI extension that holds, under its own name, a function that sends part of a response's body without a task."""
HEAD_S = 10.0
"""So long may a client take to send the request line and the headers, from their first byte on."""
BODY_S = 30.0
"""A client that sends nothing more of a body for so long, although we read, is told so and cut off."""
HEAD_BYTES = 64 * 1024
"""So long may the request line and the headers be together, give or take what comes in one read."""
_log = structlog.get_logger(__name__)


class Connection(HttpToolsProtocol):
    """One client's connection.

    It is cut when the client stops reading, stops sending in the midst of a request, or sends headers without end.
    Offers to go on in another protocol than WebSocket are declined by answering the request as it is (RFC 9110, 7.8):
    uvicorn would drop the body of a request with `Upgrade: h2c`, which is how Java's HttpClient starts.
    """

    _head = 0
    _in_head = True
    _part: Literal["head", "body"] | None = None
    """What of a request has begun to come and has not come whole."""
    _since = 0.0
    """When the head began to come, or the last of the body came; by the loop's clock."""
    _rest: asyncio.TimerHandle | None = None
    _unread = 0
    _patience_s: float | None = None
    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """The beginning. A client that never asks for anything is let go like one that has nothing more to ask."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self._unset_keepalive_if_required()
        if self._in_head:
            if self._head > HEAD_BYTES:
                self._refuse(431, "headers_too_large", f"The headers are longer than {HEAD_BYTES} bytes.")
                return
            self._head += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._start_again(data[offer.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("This is not an HTTP request that can be understood.")
        self._await_rest()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no request, and hangs up."""
        self._refuse(400, "bad_request", msg)

    def _refuse(self, status: int, code: str, detail: str) -> None:
        body = problems.encode(status, code, detail)
        line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        head = f"content-type: {problems.MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(line.encode() + head.encode() + body)
        self.transport.close()

    def _await_rest(self) -> None:
        """Watches the clock while the rest of a request is to come."""
        if self._part is None:
            self._await_no_more()
            return
        if self._part == "body":
            self._since = self.loop.time()
        if self._rest is None:
            self._rest = self.loop.call_later(HEAD_S if self._part == "head" else BODY_S, self._check_rest)

    def _await_no_more(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _check_rest(self) -> None:
        """Cuts the client off if the rest has not come in time."""
        self._rest = None
        if self._part is None or self.transport.is_closing():
            return
        now, limit_s = self.loop.time(), HEAD_S if self._part == "head" else BODY_S
        if self._is_ours_to_go_on():
            self._since = now
        left = self._since + limit_s - now
        if left > 0:
            self._rest = self.loop.call_later(left, self._check_rest)
            return
        _log.info("slow_client_cut", part=self._part)
        if self._part == "body" and self.cycle.response_started:
            self.transport.close()
            return
        waited = "The rest of the headers" if self._part == "head" else "More of the body"
        self._refuse(408, "request_timeout", f"{waited} did not come within {limit_s:g} s.")

    def _is_ours_to_go_on(self) -> bool:
        """Whether the rest does not come because we do not read on, or not yet."""
        if self._part == "head":
            earlier = cast("RequestResponseCycle | None", self.cycle)  # None before the first, whatever its type says
            return earlier is not None and not earlier.response_complete
        return bool(self.pipeline) or self.flow.read_paused

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head, self._in_head = 0, True
        self._part, self._since = "head", self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its headers are there."""
        self._in_head = False
        self._part = "body"
        if not self._declines():
            super().on_headers_complete()
            self.scope["extensions"] = {WRITE_NOW: {WRITE_NOW: functools.partial(self._write_now, self.cycle)}}

    def on_message_complete(self) -> None:
        """Its body is there; without one if an upgrade was offered, since the parser takes what follows for that."""
        self._part = None
        if not self._declines():
            super().on_message_complete()

    def _write_now(self, cycle: Any, chunk: bytes) -> bool:
        """Writes part of that response's body at once, without a task of its own; False: not now, send it as usual."""
        if self.flow.write_paused or cycle.disconnected or cycle.response_complete or not cycle.chunked_encoding:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        return True

    def _declines(self) -> bool:
        offered = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        return offered and not self._should_upgrade()

    def _start_again(self, rest: bytes) -> None:
        """Has the request parsed anew as if no upgrade had been offered; `rest` is what came after its headers."""
        line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = b"".join(b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade")
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(line + kept + b"\r\n" + rest)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        super().pause_writing()
        self._look_later()

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        self._look_no_more()

    def shutdown(self) -> None:
        """The server is to stop: what is under way may end, but not wait long for the client."""
        super().shutdown()
        self._patience_s = STUCK_WHILE_DRAINING_S
        if self._look is not None:
            self._look_no_more()
            self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._look_no_more()
        self._await_no_more()
        super().connection_lost(exc)

    def _look_later(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        self._look = self.loop.call_later(self._patience_s or STUCK_S, self._check)

    def _look_no_more(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _check(self) -> None:
        """Cuts the client off if it has read nothing since the last look."""
        if self.transport.get_write_buffer_size() >= self._unread:
            _log.warning("stuck_client_cut", unread_bytes=self._unread)
            self.transport.abort()
        else:
            self._look_later()


class Server(uvicorn.Server):
    """A server that leaves signals to whoever runs it, who has streams to end first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


def server(app: Any, settings: Settings) -> Server:
    """A server for the ASGI `app`. Once its `should_exit` is set, requests have `drain_s` to finish."""
    return Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            http=Connection,
            ws="none",
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(settings.drain_s),
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises `errors.ConfigurationError` if it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise errors.ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    listener.listen(2048)
    listener.setblocking(False)
    return listener
