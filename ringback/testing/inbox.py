"""An inbox for callbacks: records what is delivered to it, checks signatures, and fails as it is told to."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import time
from collections import deque
from typing import Any, Literal

import msgspec
from aiohttp import web

from ringback.testing.loopback import LoopbackServer, reset

Failure = Literal["reset", "hang", "redirect"]
TOLERANCE_S = 300
"""Seconds by which a callback's timestamp may differ from the clock (Standard Webhooks 1.0)."""


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery attempt, as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    json: Any
    """The parsed body; `None` if it is not JSON."""
    at: float
    """Unix time of its arrival, seconds."""
    answered: int | None
    """The HTTP status that the inbox answers with; `None` if it answers nothing."""

    @property
    def id(self) -> str:
        """Its `webhook-id`: the same for every attempt at one event. Empty if it has none."""
        return self.headers.get("webhook-id", "")

    @property
    def type(self) -> str:
        """Its event, such as `job.succeeded`. Empty if it has none."""
        return str(self.json.get("type", "")) if isinstance(self.json, dict) else ""

    def signature_problem(self, *secrets: str) -> str | None:
        """What is wrong with the signature; `None` if it holds for one of the `secrets` (`whsec_…`).

        Follows Standard Webhooks 1.0 and shares no code with the signing side.
        """
        timestamp, signature = self.headers.get("webhook-timestamp", ""), self.headers.get("webhook-signature", "")
        if not self.id or not signature:
            return "webhook-id or webhook-signature is missing"
        if not timestamp.isdigit() or abs(self.at - int(timestamp)) > TOLERANCE_S:
            return f"webhook-timestamp {timestamp!r} is not the time of its arrival"
        message = b"%b.%b.%b" % (self.id.encode(), timestamp.encode(), self.body)
        for secret in secrets:
            try:
                key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
            except binascii.Error:
                return "the secret is not `whsec_` and base64"
            expected = b"v1," + base64.b64encode(hmac.new(key, message, hashlib.sha256).digest())
            if any(hmac.compare_digest(expected, given.encode()) for given in signature.split()):
                return None
        return "no signature matches"


class _Answer(msgspec.Struct, frozen=True):
    how: int | Failure
    headers: dict[str, str]
    after_s: float


class CallbackInbox(LoopbackServer):
    """A loopback HTTP server to be named as `callback.url`; any path will do.

    ```python
    async def test_order_is_called_back(callback_inbox):
        callback_inbox.fail(503, times=2)
        ...  # submit a job with {"callback": {"url": callback_inbox.url}}
        first, second, third = await callback_inbox.wait_for(3)
        assert first.id == second.id == third.id
        assert third.signature_problem(secret) is None
    ```
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(host=host, port=port)
        self.received: list[Callback] = []
        """Every delivery attempt so far, in the order of arrival."""
        self._answers: deque[_Answer] = deque()

    def fail(
        self, how: int | Failure, *, times: int = 1, headers: dict[str, str] | None = None, after_s: float = 0.0
    ) -> None:
        """Answers the next `times` attempts so, then 204 again; several calls queue up.

        `how` is an HTTP status; or `reset`, a connection reset; or `hang`, no answer ever; or `redirect`, a 307 to
        this inbox. `headers` such as `retry-after` go with it, `after_s` is a delay in seconds. A status of 200 with
        a delay is a slow success.
        """
        self._answers.extend([_Answer(how, headers or {}, after_s)] * times)

    def by_id(self) -> dict[str, list[Callback]]:
        """The attempts grouped by `webhook-id`."""
        groups: dict[str, list[Callback]] = {}
        for callback in self.received:
            groups.setdefault(callback.id, []).append(callback)
        return groups

    async def wait_for(self, n: int = 1, *, timeout: float = 10.0) -> list[Callback]:
        """Waits until `n` attempts have arrived and returns them all. Raises `TimeoutError` after `timeout` seconds."""
        await self.wait_until(lambda: len(self.received) >= n, timeout=timeout, what=f"{n} callbacks")
        return list(self.received)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Records one attempt and answers it."""
        body = await request.read()
        answer = self._answers.popleft() if self._answers else _Answer(204, {}, 0.0)
        status = 307 if answer.how == "redirect" else answer.how
        try:
            document = msgspec.json.decode(body)
        except msgspec.DecodeError:
            document = None
        self.received.append(
            Callback(
                method=request.method,
                path=request.path_qs,
                headers={name.lower(): value for name, value in request.headers.items()},
                body=body,
                json=document,
                at=time.time(),
                answered=status if isinstance(status, int) else None,
            )
        )
        await asyncio.sleep(answer.after_s)
        if answer.how == "reset":
            reset(request)
        elif not isinstance(status, int):
            await asyncio.get_running_loop().create_future()
        location = {"location": f"{self.url}/redirected"} if status == 307 else {}
        return web.Response(status=status if isinstance(status, int) else 500, headers=location | answer.headers)
