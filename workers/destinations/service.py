"""What every kind of destination does: one attempt at a delivery, told as an `Outcome`."""

from typing import Literal, Protocol

import msgspec

from jobs.store.deliveries import Due


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one attempt."""

    verdict: Literal["delivered", "again", "never"]
    """`again`: the schedule goes on. `never`: no later attempt can succeed."""
    status_code: int | None = None
    """An HTTP status, where there is one."""
    excerpt: str = ""
    """The beginning of the answer, at most `deliveries.EXCERPT_BYTES`."""
    error: str | None = None
    """Why there was no usable answer; without secrets and without content."""
    pause_s: float = 0.0
    """The destination asks for at least so long a pause."""


class Sender(Protocol):
    """One kind of destination."""

    async def send(self, due: Due) -> Outcome:
        """Makes one attempt, within `delivery.ATTEMPT_S`. Never raises but for cancellation and bugs."""
        ...

    async def aclose(self) -> None:
        """Closes what it holds open."""
        ...
