"""Delivers callbacks: at once when a job ends, later from the outbox's schedule. Every attempt is recorded."""

import asyncio
import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from socket import AF_UNSPEC, AddressFamily

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from jobs import errors, signing
from jobs.addresses import AddressPolicy
from jobs.store.deliveries import EXCERPT_BYTES, Attempt, DeliveryStatus, Due, Outbox
from workers.persistence import persist

SCHEDULE_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Pauses after the first attempt, the second, …: about three days in all (Standard Webhooks 1.0), plus jitter."""
ATTEMPT_S = 20.0
"""Seconds that one attempt may take, all in all."""
ATTEMPT_LEASE_S = 30.0
"""A delivery taken by a process is due again after so many seconds, in case that process dies."""
POLL_S = 0.5
AT_ONCE = 256
"""Deliveries that one process makes at the same time."""
_TAKE = 16

_log = structlog.get_logger(__name__)


class AddressRefused(OSError):
    """The callback's host is, or resolves to, an address that callbacks may not reach."""


class GuardedResolver(AbstractResolver):
    """Resolves a name once, for the connection that is then made to that address; all addresses must be allowed."""

    def __init__(self, policy: AddressPolicy) -> None:
        """`policy` decides over the addresses."""
        self._policy = policy
        self._resolver = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_UNSPEC) -> list[ResolveResult]:
        """The addresses of `host`. Raises `AddressRefused`, or `OSError` if there are none."""
        found = await self._resolver.resolve(host, port, family)
        if not self._policy.trusts(host) and not all(self._policy.allows(r["host"]) for r in found):
            raise AddressRefused(f"{host} resolves to a private address")
        return found

    async def close(self) -> None:
        """Closes the resolver."""
        await self._resolver.close()


class Deliverer:
    """Delivers from this process."""

    def __init__(self, outbox: Outbox, policy: AddressPolicy, secret: bytes) -> None:
        """Must be made within the event loop; `secret` is the signing key."""
        self._outbox = outbox
        self._policy = policy
        self._secret = secret
        self._tasks: set[asyncio.Task[None]] = set()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=GuardedResolver(policy), limit=0, ttl_dns_cache=10),
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_S, sock_connect=10),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    def start(self, due: Due) -> None:
        """Makes one attempt, in the background, at a delivery leased to this process."""
        if len(self._tasks) >= AT_ONCE:
            return  # Its lease runs out and someone with room takes it.
        task = asyncio.create_task(self.deliver(due))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def deliver(self, due: Due) -> None:
        """Makes one attempt and records it with what follows from it."""
        attempt, pause = await self._attempt(due)
        status, next_s = _verdict(attempt, due.tries, pause)
        await persist(lambda: self._outbox.settle(due, attempt, status=status, next_s=next_s))
        # What went well is told by the job's deliveries.
        tell = _log.debug if status == "delivered" else _log.info
        tell(
            "callback_attempt",
            delivery_id=due.id,
            job_id=due.job_id,
            number=attempt.number,
            status=status,
            status_code=attempt.status_code,
            error=attempt.error,
            duration_ms=attempt.duration_ms,
        )

    async def _attempt(self, due: Due) -> tuple[Attempt, float]:
        at, began = datetime.now(UTC), time.monotonic()
        status_code, excerpt, error, pause = None, b"", None, 0.0
        try:
            url = URL(due.url)
            # Also as the client reads it, which asks no resolver about an address: no two readers of URLs agree.
            if objection := self._policy.objection(due.url) or self._policy.objection(str(url)):
                raise AddressRefused(f"the URL {objection}")
            async with self._session.post(
                url, data=due.body, headers=self._headers(due, at), allow_redirects=False
            ) as response:
                status_code = response.status
                pause = _retry_after(response.headers.get("Retry-After"))
                excerpt = await _read_excerpt(response)
        except TimeoutError:
            error = f"no complete answer within {ATTEMPT_S:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            error = _reason(failure)
        return Attempt(
            number=due.tries + 1,
            at=at,
            status_code=status_code,
            duration_ms=int((time.monotonic() - began) * 1000),
            response_excerpt=excerpt.decode(errors="replace"),
            error=error,
        ), pause

    def _headers(self, due: Due, at: datetime) -> dict[str, str]:
        timestamp = int(at.timestamp())
        return {
            "content-type": "application/json",
            "user-agent": "Ringback",
            "webhook-id": due.webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signing.signature(self._secret, due.webhook_id, timestamp, due.body),
            "ringback-sequence": str(due.sequence),
        }

    async def keep_delivering(self) -> None:
        """Takes what is due, for ever."""
        while True:
            await asyncio.sleep(POLL_S * random.uniform(0.8, 1.2))  # noqa: S311 - spreads processes over time
            if len(self._tasks) + _TAKE > AT_ONCE:
                continue
            try:
                taken = await self._outbox.take(limit=_TAKE, lease_s=ATTEMPT_LEASE_S)
            except errors.StoreUnavailable:
                continue
            for due in taken:
                self.start(due)

    async def aclose(self, limit_s: float) -> None:
        """Finishes what is under way, at most `limit_s` seconds; the rest is due again when its lease runs out."""
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=limit_s)
            for task in unfinished:
                task.cancel()
        await self._session.close()


def _verdict(attempt: Attempt, tries: int, pause: float) -> tuple[DeliveryStatus, float]:
    """What follows from an attempt: the delivery's status, and the seconds until the next attempt if there is one."""
    code = attempt.status_code
    if attempt.error is None and code is not None and 200 <= code < 300:
        return "delivered", 0.0
    if code == 410 or tries >= len(SCHEDULE_S):
        return "failed", 0.0
    scheduled = SCHEDULE_S[tries] * random.uniform(1.0, 1.1)  # noqa: S311 - jitter
    return "pending", max(scheduled, min(pause, SCHEDULE_S[-1]))


def _retry_after(value: str | None) -> float:
    """The seconds that a `Retry-After` header asks for; 0 if there is none or it cannot be read."""
    if value is None:
        return 0.0
    if value.isascii() and value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0


async def _read_excerpt(response: aiohttp.ClientResponse) -> bytes:
    excerpt = b""
    while len(excerpt) < EXCERPT_BYTES and (chunk := await response.content.read(EXCERPT_BYTES - len(excerpt))):
        excerpt += chunk
    return excerpt


def _reason(failure: Exception) -> str:
    if isinstance(failure, aiohttp.ClientConnectorError) and isinstance(failure.os_error, AddressRefused):
        return f"refused: {failure.os_error}"
    if isinstance(failure, AddressRefused):
        return f"refused: {failure}"
    return f"{type(failure).__name__}: {failure}"[:500]
