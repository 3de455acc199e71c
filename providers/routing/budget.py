"""Budgets for extra calls: retries and hedges may be only so large a share of the calls that had to be made."""

from collections.abc import Callable


class Budget:
    """A bucket of credit: each call adds its share, each extra call takes 1."""

    def __init__(self, clock: Callable[[], float], *, share: float, start: float, per_s: float = 0.0) -> None:
        """`share` of 0.1: one extra call for ten. `start` is the credit at first.

        `per_s` gives credit back with time, up to `start`, so that a target that is seldom called may be retried too.
        """
        self._clock = clock
        self._share = share
        self._start = start
        self._per_s = per_s
        self._credit = start
        self._since = clock()

    def add(self) -> None:
        """A call that had to be made."""
        self._credit = min(self._credit + self._share, max(10.0, self._start))

    def take(self) -> bool:
        """Whether an extra call may be made; it is counted then."""
        now = self._clock()
        if self._credit < self._start:
            self._credit = min(self._start, self._credit + (now - self._since) * self._per_s)
        self._since = now
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True
