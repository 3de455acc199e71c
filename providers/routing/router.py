"""The one retry layer: asks the targets of a question in turn until one of them has answered.

A target that fails retryably before its first token is asked once more after a pause; then it is the next one's turn.
A target whose circuit is open is asked last, when it may be probed. An answer that breaks off in the middle starts
again on the next target, and once on the same one if it is the last: its text is void.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec
import structlog

from jobs.job import Priority
from jobs.model import ModelCall
from providers import errors
from providers.routing.adaptation import adapted
from providers.routing.call import Call
from providers.routing.course import TRIES, CircuitOpen, Course, Turn
from providers.routing.race import race
from providers.routing.target import NotHere, Target, TargetBusy, Targets
from providers.service import Answer, Ask, Delta

BACKOFF_S = 0.5
"""Before the second call to a target, at the most (full jitter), unless the target asks for more."""
WAITERS = 128
"""So many jobs of a process may wait for a circuit to close; more would keep it from other work."""
_PASSED_ON = (errors.BadRequest, errors.ContentFiltered)
"""The fault lies with the question: no other target is asked."""
_log = structlog.get_logger(__name__)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one stream, in seconds."""

    first_token_s: float
    stall_s: float


class Restart(msgspec.Struct, frozen=True):
    """The text so far is void; `target` is asked from the beginning."""

    reason: str
    target: str


class Asked(msgspec.Struct, frozen=True):
    """This target is asked now; the one before it gave no text."""

    target: str


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be answered, and how."""

    ask: Ask
    """Its `model` is ignored: each target names its own."""
    targets: tuple[str, ...]
    """`provider/model` in the order in which they are asked; at least one, each once."""
    limits: Limits
    deadline: float
    """When the job ends at the latest, on the event loop's clock: nothing is waited for beyond it."""
    holder: str
    """Unique to the attempt at the job: who holds a place at a target whose concurrency is limited."""
    priority: Priority = "normal"
    hedge: bool = False
    """Ask the next target too when the first is silent for unusually long."""


Item = Delta | Restart | Asked | Answer


class Router:
    """Finds an answer for every question, or says why there is none. One per process."""

    def __init__(self, targets: Targets) -> None:
        """`targets` know how each one is."""
        self._targets = targets
        self._waiters = 0

    async def answer(self, question: Question, record: Callable[[ModelCall], None]) -> AsyncGenerator[Item, None]:
        """The answer of the first target that gives one: deltas, then exactly one `Answer`.

        `record` gets every call to a model as soon as it is over, its price not yet set. Raises the error of a single
        target as it is, an error that lies with the question as it is (an answer that a content filter cut off, too),
        else `AllTargetsFailed`. Closing the iterator closes the connection to the vendor.
        """
        course = Course(question.targets)
        told, void = question.targets[0], ""
        while (turn := await self._next(course, question)) is not None:
            said = False
            asked = turn.name
            try:
                call = self._call(turn, course, question, record)
                if void or asked != told:
                    yield Restart(void, asked) if void else Asked(asked)
                    told, void = asked, ""
                async with aclosing(self._listen(call, course, question, record)) as items:
                    async for item in items:
                        if isinstance(item, Asked):  # a hedge was faster
                            told = asked = item.target
                        said = said or isinstance(item, Delta)
                        if isinstance(item, Answer) and item.finish == "content_filter":
                            raise errors.ContentFiltered(provider=asked.partition("/")[0])
                        yield item
                        if isinstance(item, Answer):
                            return
            except errors.ProviderError as error:
                self._settle(
                    turn if asked == turn.name else Turn(asked, tries=TRIES), error, course, question, said=said
                )
                void = error.code if said else void
        raise course.verdict()

    async def _next(self, course: Course, question: Question) -> Turn | None:
        """Whose turn it is, once it may be asked; `None`: nobody is left."""
        while course.others:
            last = not course.queue
            turn = self._soonest(course.deferred) if last else course.queue.popleft()
            try:
                breaker = self._targets.get(turn.name).breaker
            except NotHere as error:
                course.fail(turn.name, error)
                continue
            turn.probe = False
            if turn.not_before:
                await asyncio.sleep(max(0.0, turn.not_before - asyncio.get_running_loop().time()))
            if last:
                turn.probe = await self._recovery(turn, question.deadline)
            elif not breaker.closed:
                turn.probe = breaker.rest_s <= 0 and await breaker.leave()
                if not turn.probe and not breaker.closed:
                    course.deferred.append(turn)
                    continue
            if breaker.closed or turn.probe:
                return turn
            said = f"{CircuitOpen.__doc__} It failed last with {breaker.reason}."
            course.fail(
                turn.name, CircuitOpen(said, provider=turn.name.partition("/")[0], retry_after=breaker.rest_s or None)
            )
        return None

    def _soonest(self, deferred: list[Turn]) -> Turn:
        soonest = min(deferred, key=lambda turn: self._targets.get(turn.name).breaker.rest_s)
        deferred.remove(soonest)
        return soonest

    async def _recovery(self, turn: Turn, deadline: float) -> bool:
        """Waits until the target's circuit has closed, or this call may probe it (true); not for ever."""
        breaker = self._targets.get(turn.name).breaker
        openings = breaker.openings
        now = asyncio.get_running_loop().time
        if self._waiters >= WAITERS:
            return False
        self._waiters += 1
        try:
            while not breaker.closed and breaker.openings <= openings and now() + breaker.rest_s < deadline:
                if breaker.rest_s <= 0 and await breaker.leave():
                    return not breaker.closed
                await breaker.change(breaker.rest_s)
        finally:
            self._waiters -= 1
        return False

    def _call(self, turn: Turn, course: Course, question: Question, record: Callable[[ModelCall], None]) -> Call:
        """The call for that turn. Raises `errors.Unsupported` if the target cannot take the question."""
        target = self._targets.get(turn.name)
        ask = adapted(question.ask, target.name, target.can)
        first_token_s = target.first_token_s(question.limits.first_token_s)
        wait_s = max(0.0, question.deadline - asyncio.get_running_loop().time())
        if course.others:
            wait_s = min(wait_s, first_token_s)
            if turn.probe:
                first_token_s = min(first_token_s, target.probe_s)
        turn.tries += 1
        target.retries.add()
        return Call(
            target,
            msgspec.structs.replace(ask, model=target.model),
            first_token_s=first_token_s,
            stall_s=target.stall_s(question.limits.stall_s),
            probe=turn.probe,
            permit=(f"{question.holder}:{len(course.failures)}:{turn.name}:{turn.tries}", question.priority, wait_s),
            record=record,
        )

    async def _listen(
        self, call: Call, course: Course, question: Question, record: Callable[[ModelCall], None]
    ) -> AsyncGenerator[Delta | Asked | Answer, None]:
        """What the call brings; with a hedge, what the faster of two calls brings."""
        target = call.target
        silence = target.p95_s if question.hedge and not call.probe else None
        if silence is None:
            async with aclosing(call.items):
                async for item in call.items:
                    yield item
            return
        target.hedges.add()

        def second() -> Call | None:
            return self._hedge(target, course, question, record)

        def lost(loser: Call, error: errors.ProviderError) -> None:
            course.fail(loser.target.name, error)

        async with race(call, second, silence, lost) as (winner, first):
            if winner is not call:
                yield Asked(winner.target.name)
            yield first
            async for item in winner.items:
                yield item

    def _hedge(
        self, target: Target, course: Course, question: Question, record: Callable[[ModelCall], None]
    ) -> Call | None:
        """A call to the next target that is well, if one is and the budget allows it; it has had its turn then."""
        for turn in course.queue:
            try:
                well = self._targets.get(turn.name).breaker.closed
            except NotHere:
                continue
            if well and target.hedges.take():
                course.queue.remove(turn)
                try:
                    return self._call(turn, course, question, record)
                except errors.Unsupported as error:
                    course.fail(turn.name, error)
                    return None
        return None

    def _settle(
        self, turn: Turn, error: errors.ProviderError, course: Course, question: Question, *, said: bool
    ) -> None:
        """What follows from a failure. Raises it if it lies with the question, or there is nothing else to say."""
        course.fail(turn.name, error)
        if isinstance(error, errors.ContextTooLong):
            names = [turn.name, *(other.name for other in (*course.queue, *course.deferred))]
            course.only_larger_than({name: self._context(name) for name in names}, turn.name)
            if not course.others:
                raise error
        elif isinstance(error, _PASSED_ON):
            raise error
        elif self._again(turn, error, course, question, said=said):
            course.queue.appendleft(turn)
        _log.warning(
            "target_failed",
            target=turn.name,
            code=error.code,
            mid_stream=said,
            next=course.queue[0].name if course.queue else None,
        )

    def _again(
        self, turn: Turn, error: errors.ProviderError, course: Course, question: Question, *, said: bool
    ) -> bool:
        """Whether the same target is asked once more; its turn is set to when."""
        if not error.retryable:
            return False
        if said:
            # Another target would be better, but there is none.
            if course.others or not course.restarts_left:
                return False
            course.restarts_left -= 1
        elif turn.probe or turn.tries >= TRIES or isinstance(error, errors.FirstTokenTimeout | TargetBusy):
            # A silent target is not asked again: the caller has waited long enough.
            return False
        rest = error.retry_after or 0.0
        if course.others and rest > BACKOFF_S:
            return False
        now = asyncio.get_running_loop().time()
        pause = max(random.uniform(0.0, BACKOFF_S), rest)  # noqa: S311 - jitter
        if now + pause >= question.deadline or not self._targets.get(turn.name).retries.take():
            return False
        turn.not_before = now + pause
        return True

    def _context(self, name: str) -> int | None:
        try:
            return self._targets.get(name).can.context_tokens
        except NotHere:
            return None
