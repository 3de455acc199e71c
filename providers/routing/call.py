"""One call to one target: streamed within its limits, and recorded however it ends."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

from jobs.job import Priority
from jobs.model import ModelCall, Outcome, Usage
from providers import errors, tokens
from providers.routing.patience import Items, Patience
from providers.routing.target import Target
from providers.service import Answer, Ask, Delta, Metered

_IN_MID_STREAM = frozenset({errors.Stalled.code, errors.StreamInterrupted.code})


class Call:
    """One call. Iterate over `items` once; close them to break the call off."""

    def __init__(
        self,
        target: Target,
        ask: Ask,
        *,
        first_token_s: float,
        stall_s: float,
        probe: bool,
        permit: tuple[str, Priority, float],
        record: Callable[[ModelCall], None],
    ) -> None:
        """`ask` fits the target; `permit`: who asks for one, in which class, and for how many seconds at most."""
        self.target = target
        self.probe = probe
        self.broken_off: Outcome = "cancelled"
        """What the call is recorded as if it is broken off."""
        self._ask = ask
        self._first_token_s = first_token_s
        self._stall_s = stall_s
        self._permit = permit
        self._record = record
        self._loop = asyncio.get_running_loop()
        self._started = 0.0
        self._first_token: float | None = None
        self._metered: Usage | None = None
        self._texts: list[str] = []
        self.items = self._run()

    async def _run(self) -> AsyncGenerator[Delta | Answer, None]:
        target = self.target
        async with target.permit(*self._permit):
            self._started = self._loop.time()
            answer: Answer | None = None
            failure: errors.ProviderError | None = None
            try:
                with Patience(target.provider) as patience:
                    async with aclosing(cast("Items", target.service.stream(self._ask))) as items:
                        while answer is None:
                            item = await self._next(items, patience)
                            if isinstance(item, Metered):
                                self._metered = item.usage
                                continue
                            if self._first_token is None:
                                self._begin()
                            if isinstance(item, Delta):
                                self._texts.append(item.text)
                            else:
                                answer = item
                                target.breaker.succeeded(probe=self.probe)
                            yield item
            except errors.ProviderError as error:
                failure = error
                self._blame(error)
                raise
            finally:
                self._tell(answer, failure)

    async def _next(self, items: Items, patience: Patience) -> Delta | Metered | Answer:
        if self._first_token is not None:
            return await patience.next_of(items, self._stall_s, errors.Stalled)
        left = self._started + self._first_token_s - self._loop.time()
        return await patience.next_of(items, max(left, 0.0), errors.FirstTokenTimeout, told=self._first_token_s)

    def _begin(self) -> None:
        self._first_token = self._loop.time() - self._started
        self.target.began(self._first_token)
        breaker = self.target.breaker
        if self.probe and breaker.reason not in _IN_MID_STREAM:
            breaker.succeeded(probe=True)

    def _blame(self, error: errors.ProviderError) -> None:
        """Tells the target's breaker, unless the fault lies with the question."""
        if error.retryable or isinstance(error, errors.AuthenticationFailed):
            self.target.breaker.failed(
                error.code,
                probe=self.probe,
                began_s=self._loop.time() - self._started,
                rest_s=error.retry_after or 0.0,
            )

    def _tell(self, answer: Answer | None, failure: errors.ProviderError | None) -> None:
        outcome = self.broken_off
        if outcome != "superseded":
            outcome = "answered" if answer else "failed" if failure else outcome
        usage, estimated = self._usage(answer, failure)
        self._record(
            ModelCall(
                model=self.target.name,
                outcome=outcome,
                error=failure.code if failure else None,
                usage=usage,
                estimated=estimated,
                # The loop's clock counts milliseconds.
                first_token_s=None if self._first_token is None else round(self._first_token, 3),
                duration_s=round(self._loop.time() - self._started, 3),
            )
        )

    def _usage(self, answer: Answer | None, failure: errors.ProviderError | None) -> tuple[Usage, bool]:
        """What it used, and whether that is our estimate: vendors count calls that were broken off, and do not tell."""
        if answer is not None and answer.usage != Usage():
            return answer.usage, False
        if self._metered is not None:
            return self._metered, False
        refused = failure is not None and not isinstance(failure, errors.TimedOut) and self._first_token is None
        if refused:
            return Usage(), False
        output = tokens.estimate("".join(self._texts))
        return Usage(input_tokens=tokens.estimate_ask(self._ask), output_tokens=output), True
