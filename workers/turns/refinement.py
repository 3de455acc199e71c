"""Refining memories after the replies: in the background, a few at a time, and waited for when the worker stops."""

import asyncio
import secrets
import time
from contextlib import aclosing
from datetime import UTC, datetime

import structlog

from conversations.memory.refinement import Memory
from jobs import errors
from jobs.model import ModelCall, Usage
from jobs.session import SessionSpec
from jobs.settings import Timeouts
from jobs.store.access_keys import TokenBudgets
from jobs.store.usage import UsageTotals
from providers.prices import Prices
from providers.routing.router import Limits, Question, Router
from providers.service import Answer, Ask
from workers.persistence import persist
from workers.progress import Progress

AT_ONCE = 8
MOST_WAITING = 256
"""More are left to the next turn of their session."""
TOTAL_S = 120.0
"""Seconds for one refinement."""
BREATH_S = 0.05
"""The end of the job goes first."""
COUNT_S = 2.0
"""So long a stopping worker tries to count what a refinement that it gave up has used."""
_log = structlog.get_logger(__name__)


class Refinements:
    """The refinements of one process."""

    def __init__(
        self,
        memory: Memory,
        router: Router,
        timeouts: Timeouts,
        prices: Prices,
        totals: UsageTotals,
        budgets: TokenBudgets,
    ) -> None:
        """`router` asks the models of the sessions; what that takes is counted in `totals` and `budgets`."""
        self._memory = memory
        self._router = router
        self._prices = prices
        self._totals = totals
        self._budgets = budgets
        self._limits = Limits(first_token_s=timeouts.first_token_s, stall_s=timeouts.stall_s)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def begin(self, session: SessionSpec, targets: tuple[str, ...]) -> None:
        """Has a session's memory refined by one of these models, if that is due; returns at once.

        It is done whatever is left of the key's budget, for it is our doing, and without it the next turns cost more.
        """
        session_id = session.id
        if session_id in self._under_way or len(self._under_way) >= MOST_WAITING:
            return
        task = asyncio.create_task(self._refine(session, targets))
        self._under_way[session_id] = task
        task.add_done_callback(lambda _: self._under_way.pop(session_id, None))

    async def _refine(self, session: SessionSpec, targets: tuple[str, ...]) -> None:
        await asyncio.sleep(BREATH_S)
        progress = Progress(price=self._prices.cost)
        try:
            await self._refined(session.id, targets, progress)
        finally:
            await self._count(session, progress)

    async def _count(self, session: SessionSpec, progress: Progress) -> None:
        """Counts what was used for the API key that the session belongs to, whatever became of it, exactly once."""
        if not progress.calls:
            return
        name, now = f"refine_{secrets.token_hex(8)}", time.time()
        calls, owner, at = tuple(progress.calls), session.owner, datetime.fromtimestamp(now, UTC)
        await persist(lambda: self._totals.count(session.id, name, calls, owner=owner, at=at))
        if owner and progress.usage != Usage():
            await persist(lambda: self._budgets.spend(owner, name, 1, progress.usage, at_ms=int(now * 1000)))

    async def _refined(self, session_id: str, targets: tuple[str, ...], progress: Progress) -> None:
        try:
            async with self._places, asyncio.timeout(TOTAL_S):
                deadline = asyncio.get_running_loop().time() + TOTAL_S

                async def ask(asked: Ask) -> Answer:
                    return await self._asked(asked, session_id, targets, deadline, progress)

                refined = await self._memory.refine(session_id, ask)
        except (errors.RingbackError, TimeoutError) as error:
            code = error.code if isinstance(error, errors.RingbackError) else "timeout"
            _log.warning("memory_not_refined", session_id=session_id, code=code)
            return
        except Exception:  # noqa: BLE001  # nobody waits for this task: a bug must at least be seen
            _log.exception("refinement_crashed", session_id=session_id)
            return
        if refined is not None:
            usage = progress.usage
            _log.info(
                "memory_refined",
                session_id=session_id,
                calls=len(progress.calls),
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
            )

    async def _asked(
        self, ask: Ask, session_id: str, targets: tuple[str, ...], deadline: float, progress: Progress
    ) -> Answer:
        def record(call: ModelCall) -> None:
            progress.record(call)

        question = Question(
            ask=ask,
            targets=targets,
            limits=self._limits,
            deadline=deadline,
            holder=f"refine:{session_id}",
            priority="low",
        )
        async with aclosing(self._router.answer(question, record)) as items:
            async for item in items:
                if isinstance(item, Answer):
                    return item
        raise AssertionError("unreachable: the router ends with an Answer or raises")

    async def aclose(self, limit_s: float) -> None:
        """Waits so many seconds for what is under way, and gives up the rest: the next turn goes on from there."""
        tasks = list(self._under_way.values())
        if tasks:
            await asyncio.wait(tasks, timeout=limit_s)
        for limit in (COUNT_S, None):
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=limit)
