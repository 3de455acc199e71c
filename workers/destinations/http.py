"""Callbacks over HTTP: a signed POST to an address that may be called."""

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import aiohttp
from yarl import URL

from jobs.addresses import AddressPolicy
from jobs.destinations import Destinations
from jobs.store.deliveries import EXCERPT_BYTES, Due
from workers.destinations.guard import AddressRefused, guarded_session, refusal
from workers.destinations.service import Outcome


class HttpSender:
    """Posts callbacks."""

    def __init__(self, policy: AddressPolicy, destinations: Destinations, attempt_s: float) -> None:
        """Must be made within the event loop; `destinations` know who signs, `attempt_s` bounds one attempt."""
        self._policy = policy
        self._destinations = destinations
        self._attempt_s = attempt_s
        self._session = guarded_session(policy, total_s=attempt_s)

    async def send(self, due: Due) -> Outcome:
        """See `Sender`."""
        try:
            url = URL(due.destination)
            # Also as the client reads it, which asks no resolver about an address: no two readers of URLs agree.
            if objection := self._policy.objection(due.destination) or self._policy.objection(str(url)):
                raise AddressRefused(f"the URL {objection}")
            async with self._session.post(
                url, data=due.body, headers=self._headers(due), allow_redirects=False
            ) as response:
                excerpt = await _read_excerpt(response)
                return Outcome(
                    verdict=_verdict(response.status),
                    status_code=response.status,
                    excerpt=excerpt,
                    pause_s=_retry_after(response.headers.get("Retry-After")),
                )
        except TimeoutError:
            return Outcome(verdict="again", error=f"no complete answer within {self._attempt_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            if refused := refusal(failure):
                return Outcome(verdict="never", error=f"refused: {refused}")
            return Outcome(verdict="again", error=f"{type(failure).__name__}: {failure}"[:500])

    def _headers(self, due: Due) -> dict[str, str]:
        timestamp = int(time.time())
        signer = self._destinations.signer(due.destination)
        return {
            "content-type": "application/json",
            "user-agent": "Ringback",
            "webhook-id": due.webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signer.signature(due.webhook_id, timestamp, due.body),
            "ringback-sequence": str(due.sequence),
        }

    async def aclose(self) -> None:
        """See `Sender`."""
        await self._session.close()


def _verdict(status: int) -> Literal["delivered", "again", "never"]:
    if 200 <= status < 300:
        return "delivered"
    return "never" if status == 410 else "again"


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


async def _read_excerpt(response: aiohttp.ClientResponse) -> str:
    excerpt = b""
    while len(excerpt) < EXCERPT_BYTES and (chunk := await response.content.read(EXCERPT_BYTES - len(excerpt))):
        excerpt += chunk
    # What is no text grows when it is made text.
    return excerpt.decode(errors="replace").encode()[:EXCERPT_BYTES].decode(errors="ignore")
