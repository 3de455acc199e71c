"""The course of one question: whose turn it is, who has failed and why, and what comes of that in the end."""

from collections import deque
from collections.abc import Iterable

import msgspec

from providers import errors

TRIES = 2
"""Calls to one target before its first token."""


class AllTargetsFailed(errors.ProviderError):
    """Every target failed."""

    code = "all_targets_failed"

    def __init__(self, failures: dict[str, errors.ProviderError]) -> None:
        """`failures`: each target with its last error, in the order in which they were asked."""
        said = "; ".join(f"{target}: {error.code}: {error.detail}" for target, error in failures.items())
        rests = [error.retry_after for error in failures.values() if error.retry_after]
        super().__init__(
            f"Every target failed: {said}",
            provider=list(failures.values())[-1].provider,
            retry_after=min(rests, default=None),
        )
        self.retryable = any(error.retryable for error in failures.values())


class Turn(msgspec.Struct):
    """A target's turn to be asked."""

    name: str
    """`provider/model`."""
    tries: int = 0
    """Calls so far."""
    not_before: float = 0.0
    """On the event loop's clock."""
    probe: bool = False
    """This call finds out whether a target that failed is well again."""


class Course:
    """The targets of one question."""

    def __init__(self, targets: Iterable[str]) -> None:
        """`targets` in the order in which they should be asked, each once."""
        self.queue = deque(Turn(name) for name in targets)
        self.deferred: list[Turn] = []
        """Whose circuit is open: asked last of all."""
        self.failures: dict[str, errors.ProviderError] = {}
        self.restarts_left = 1
        self._only = len(self.queue) == 1

    @property
    def others(self) -> bool:
        """Whether there is anybody else to ask."""
        return bool(self.queue or self.deferred)

    def fail(self, name: str, error: errors.ProviderError) -> None:
        """That target gave no answer; a reason of its own counts for more than that it was not asked again."""
        if not (isinstance(error, CircuitOpen) and name in self.failures):
            self.failures[name] = error

    def only_larger_than(self, context_tokens: dict[str, int | None], name: str) -> None:
        """The input was too long for `name`: drops those whose context is known not to be larger than its."""
        limit = context_tokens.get(name)

        def larger(turn: Turn) -> bool:
            size = context_tokens.get(turn.name)
            return limit is None or size is None or size > limit

        self.queue = deque(filter(larger, self.queue))
        self.deferred = list(filter(larger, self.deferred))

    def verdict(self) -> errors.ProviderError:
        """What to tell the caller when nobody is left to ask."""
        if self._only:
            return next(iter(self.failures.values()))
        return AllTargetsFailed(self.failures)


class CircuitOpen(errors.ProviderError):
    """The target has failed too often and is left alone for a while."""

    code = "circuit_open"
    retryable = True
