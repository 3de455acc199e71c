"""One turn at a time in each session: jobs wait in the order in which they arrived, over all gateways and workers.

The line is in the store and moves on with the jobs themselves: a turn is over when its job has ended, and a job whose
worker died is run again, in its old place. So there is nothing to release, and nothing that a crash could leave locked
for longer than the job's lease.

Jobs that were accepted with a place in the line come to workers one at a time, so whoever asks here is the first, as a
rule; whoever joins the line only now, or comes before its time, waits here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from conversations.archiver import Archiver
from jobs import errors
from jobs.session import Message, SessionSpec
from jobs.store.jobs import Claim
from jobs.store.sessions import Candidate, Draft, Gone, Recalled, Sessions, Turn, Waiting

ASK_AGAIN_S = 0.025
"""How often whoever comes next asks for its turn; those behind it ask half, a third, … as often,"""
SLOWEST = 8
"""but never less than an eighth."""
RENEW_S = 5.0
"""How often a session is kept alive in which a turn is under way."""
STORE_AWAY_S = 0.25
"""Between two tries while the store is away; a turn waits for it as long as its job may."""
T = TypeVar("T")


class SessionTurn:
    """A session while it is one job's turn there."""

    def __init__(self, sessions: Sessions, turn: Turn, recalled: Recalled, archiver: Archiver | None) -> None:
        """`recalled` is what the session remembered when the turn began."""
        self.turn = turn
        self.recalled = recalled
        self._sessions = sessions
        self._archiver = archiver

    @property
    def spec(self) -> SessionSpec:
        """The session's settings."""
        return self.recalled.spec

    async def say(self, draft: Draft) -> Message:
        """Writes a message into the history; the same one again if the job is run again.

        Waits while the store is away. Raises `errors.StaleFence` if the turn is over, `errors.SessionNotFound` if the
        session was deleted.
        """
        kept = await _patiently(lambda: self._sessions.say(self.turn, self.spec, draft))
        if self._archiver is not None:
            self._archiver.file(kept)
        return kept.message


class SessionLock:
    """Gives the jobs of this process their turns. One per process: all who wait ask in one call."""

    def __init__(self, sessions: Sessions, archiver: Archiver | None = None) -> None:
        """`archiver`: what is said goes there too."""
        self._sessions = sessions
        self._archiver = archiver
        self._waiting: dict[Candidate, asyncio.Future[Turn | Gone]] = {}
        self._due: dict[Candidate, float] = {}
        """When each one that waits or holds a session asks next, on the event loop's clock."""
        self._asking: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def held(self, claim: Claim, *, wait_s: float | None = None) -> AsyncIterator[SessionTurn]:
        """The session of that running job, once it is its turn; `wait_s`: so many seconds it waits at the most.

        The turn lasts until the job has ended, also beyond this context; leaving it ends only what this process does
        for it. Waits while the store is away. Raises `errors.SessionBusy` after `wait_s`, `errors.SessionNotFound`,
        `errors.StaleFence` if another worker has the job.
        """
        session_id = claim.spec.session_id
        if session_id is None:
            raise ValueError(f"{claim.spec.id} belongs to no session")
        candidate = Candidate(session_id=session_id, job_id=claim.spec.id, job_fence=claim.fence)
        try:
            turn = await self._taken(candidate, wait_s)
            self._ask_at(candidate, RENEW_S)
            recalled = await _patiently(lambda: self._sessions.recall(session_id))
            yield SessionTurn(self._sessions, turn, recalled, self._archiver)
        finally:
            self._due.pop(candidate, None)
            self._changed.set()

    async def _taken(self, candidate: Candidate, wait_s: float | None) -> Turn:
        try:
            async with asyncio.timeout(wait_s):
                (reply,) = await _patiently(lambda: self._sessions.take([candidate]))
                if isinstance(reply, Waiting):
                    reply = await self._its_turn(candidate, reply)
        except TimeoutError:
            raise errors.SessionBusy(f"It was not this turn's time within {wait_s:g} s.") from None
        if reply == "gone":
            raise errors.SessionNotFound
        if reply == "stale":
            raise errors.StaleFence
        return reply

    async def _its_turn(self, candidate: Candidate, waiting: Waiting) -> Turn | Gone:
        future: asyncio.Future[Turn | Gone] = asyncio.get_running_loop().create_future()
        self._waiting[candidate] = future
        self._ask_at(candidate, _pause(waiting))
        try:
            return await future
        finally:
            del self._waiting[candidate]

    def _ask_at(self, candidate: Candidate, pause_s: float) -> None:
        self._due[candidate] = asyncio.get_running_loop().time() + pause_s
        self._changed.set()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._keep_asking())

    async def _keep_asking(self) -> None:
        """Asks for whoever waits, and for holders so that their sessions live on, until there is none of either."""
        loop = asyncio.get_running_loop()
        try:
            while self._due:
                self._changed.clear()
                if (pause_s := min(self._due.values()) - loop.time()) > 0:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause_s):
                            await self._changed.wait()
                    continue
                # Whoever is due soon asks along.
                horizon = loop.time() + ASK_AGAIN_S / 2
                await self._ask([candidate for candidate, due in self._due.items() if due <= horizon])
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(errors.StoreUnavailable())  # this process stops, or has a bug

    async def _ask(self, candidates: Sequence[Candidate]) -> None:
        try:
            replies = await self._sessions.take(candidates)
        except errors.StoreUnavailable:
            await asyncio.sleep(ASK_AGAIN_S)  # each waits only for as long as it may
            return
        for candidate, reply in zip(candidates, replies, strict=True):
            self._heard(candidate, reply)

    def _heard(self, candidate: Candidate, reply: Turn | Waiting | Gone) -> None:
        if candidate not in self._due:
            return  # it has given up meanwhile
        future = self._waiting.get(candidate)
        if future is None or isinstance(reply, Waiting):
            pause_s = _pause(reply) if isinstance(reply, Waiting) else RENEW_S
            self._due[candidate] = asyncio.get_running_loop().time() + pause_s
            return
        del self._due[candidate]
        if not future.done():
            future.set_result(reply)

    async def aclose(self) -> None:
        """Stops asking; for when no job is left."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)


def _pause(waiting: Waiting) -> float:
    return ASK_AGAIN_S * min(max(waiting.before, 1), SLOWEST)


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """What `call` gives, which is safe to repeat, once the store can be reached."""
    while True:
        try:
            return await call()
        except errors.StoreUnavailable:
            await asyncio.sleep(STORE_AWAY_S)
