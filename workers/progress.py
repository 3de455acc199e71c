"""What a run is given and what it leaves behind, whatever kind of job it is."""

import math
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from jobs.job import JobSpec, PromptRef
from jobs.model import ModelCall, Usage, usage_of
from jobs.store.jobs import Claim
from prompts.jobtype import JobType
from workers.narrator import Narrator


def _unknown(_target: str, _usage: Usage) -> None:
    """The price of everything where there is no price list."""


class Progress(msgspec.Struct, kw_only=True):
    """What a run has come to so far; read by whoever ends the job, however it ends."""

    holder: str = ""
    """Unique to the attempt."""
    claim: Claim | None = None
    """What gives this attempt the right to write; only tests run without one."""
    deadline: float = math.inf
    """When the attempt must be over, on the event loop's clock."""
    earlier: tuple[ModelCall, ...] = ()
    """The calls of attempts before this one."""
    calls: list[ModelCall] = []
    """Every call to a model or a speech service so far in this attempt."""
    price: Callable[[str, Usage], float | None] = _unknown
    """What a call to that `provider/model` that used so much costs, in US dollars."""
    output: Any = None
    prompt: PromptRef | None = None
    """The prompt that was rendered; `None` before that."""
    timings: dict[str, float] = {}
    """When it came to its stages, in seconds from the start of the run."""

    def begin(self, spec: JobSpec, job_type: JobType) -> dict[str, Any]:
        """The job's input, found valid. Raises `errors.InvalidRequest`.

        This worker's file is the one that counts, even if it is not the one that the gateway accepted with.
        """
        self.prompt = job_type.ref
        value: dict[str, Any] = msgspec.json.decode(spec.input)
        job_type.validate(value)
        return value

    def record(self, call: ModelCall) -> ModelCall:
        """Keeps a call that is over, and returns it with what it cost."""
        refused = call.outcome == "failed" and call.usage == Usage()
        priced = msgspec.structs.replace(call, cost_usd=0.0 if refused else self.price(call.model, call.usage))
        self.calls.append(priced)
        return priced

    @property
    def usage(self) -> Usage:
        """Of all calls of this attempt."""
        return usage_of(self.calls)

    @property
    def all_calls(self) -> tuple[ModelCall, ...]:
        """Every call for this job."""
        return (*self.earlier, *self.calls)

    @property
    def whole_usage(self) -> Usage:
        """Of the job: that of all calls, and the timings of this attempt."""
        usage = usage_of(self.all_calls)
        return msgspec.structs.replace(usage, timings=self.timings) if self.timings else usage


class Run(Protocol):
    """Runs one kind of job."""

    async def run(self, spec: JobSpec, narrator: Narrator, progress: Progress) -> None:
        """Leaves the output in `progress`. Raises `errors.JobFailure`; another error is a bug."""
        ...
