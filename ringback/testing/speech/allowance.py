"""A quota that is really enforced, as Amazon does: a bucket of tokens, and so many requests at once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.routes import Quota


class Allowance:
    """What one service still takes."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._tokens = float(quota.at_once)
        self._at = time.monotonic()
        self._under_way = 0

    @contextmanager
    def one(self) -> Iterator[bool]:
        """One request: whether it is taken."""
        allowed = self._take()
        self._under_way += allowed
        try:
            yield allowed
        finally:
            self._under_way -= allowed

    def _take(self) -> bool:
        quota, now = self._quota, time.monotonic()
        self._tokens = min(quota.at_once, self._tokens + (now - self._at) * quota.per_second)
        self._at = now
        if quota.concurrency and self._under_way >= quota.concurrency:
            return False
        if not quota.per_second:
            return True
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
