"""A call to a speech service while it lasts, which is recorded when it is over, however it ends."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from jobs.model import ModelCall, Outcome, Usage
from speech import errors


class SpeechCall:
    """A context within which one call is made."""

    def __init__(
        self, target: str, record: Callable[[ModelCall], None], *, broken_off: Callable[[float], Usage]
    ) -> None:
        """`broken_off` says what a call has used that had begun to answer and lasted so many seconds."""
        self.target = target
        """What it is recorded under."""
        self.first_s: float | None = None
        """When it began to answer, in seconds."""
        self._record, self._broken_off = record, broken_off
        self._used: Usage | None = None
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()

    def answering(self) -> None:
        """Something has come."""
        if self.first_s is None:
            self.first_s = self._clock() - self._began

    def answered(self, used: Usage) -> None:
        """All has come."""
        self._used = used

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failure = error if isinstance(error, errors.SpeechError) else None
        outcome: Outcome = "answered" if self._used is not None else "failed" if failure else "cancelled"
        took_s = self._clock() - self._began
        broken_off = self._used is None and self.first_s is not None
        self._record(
            ModelCall(
                model=self.target,
                outcome=outcome,
                error=failure.code if failure else None,
                usage=self._broken_off(took_s) if broken_off else self._used or Usage(),
                estimated=broken_off,
                first_token_s=self.first_s,
                duration_s=took_s,
            )
        )
