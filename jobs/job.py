"""The Job and everything in it, as callers see it: request, states, error, callback, deadlines."""

import enum
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, assert_never

import msgspec

from jobs import errors
from jobs.model import Cost, ModelCall, Usage, split_model

Priority = Literal["high", "normal", "low"]
Status = Literal["queued", "running", "succeeded", "failed", "cancelled", "expired"]
TerminalStatus = Literal["succeeded", "failed", "cancelled", "expired"]
TERMINAL: frozenset[str] = frozenset({"succeeded", "failed", "cancelled", "expired"})

METADATA_LIMIT = 16 * 1024
"""Bytes of compact JSON that `metadata` may hold."""


class JobEvent(enum.StrEnum):
    """The events that are also callback types."""

    STARTED = "job.started"
    SUCCEEDED = "job.succeeded"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"
    EXPIRED = "job.expired"


def terminal_event(status: TerminalStatus) -> JobEvent:
    """The event that ends a job in `status`."""
    match status:
        case "succeeded":
            return JobEvent.SUCCEEDED
        case "failed":
            return JobEvent.FAILED
        case "cancelled":
            return JobEvent.CANCELLED
        case "expired":
            return JobEvent.EXPIRED
        case _:
            assert_never(status)


TERMINAL_EVENTS = tuple(e for e in JobEvent if e is not JobEvent.STARTED)

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class Deadline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Limits in seconds; each one that is not given falls back to the deployment's default."""

    start_s: Seconds | None = None
    """From acceptance to the first attempt; past it the job is `expired` and never started."""
    first_token_s: Seconds | None = None
    """From the provider call to its first token."""
    stall_s: Seconds | None = None
    """Between two tokens."""
    total_s: Seconds | None = None
    """From the start of an attempt to its end."""


class SlackCallback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A message in Slack, over a named webhook or into a channel; exactly one of them."""

    webhook: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    """A destination with `slack_webhook` in ringback.toml."""
    channel: Annotated[str, msgspec.Meta(min_length=1, max_length=80)] | None = None
    """A channel's name or id, reached with the one destination that has a `slack_token`."""


class Callback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where and on which events the caller wants to be called back; exactly one of url, slack and database."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)] | msgspec.UnsetType = msgspec.UNSET
    slack: SlackCallback | msgspec.UnsetType = msgspec.UNSET
    database: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | msgspec.UnsetType = msgspec.UNSET
    """A destination with `database_url` in ringback.toml."""
    events: Annotated[tuple[JobEvent, ...], msgspec.Meta(min_length=1)] = TERMINAL_EVENTS

    @property
    def destination(self) -> str:
        """Where it goes, in one string: the URL, `slack:webhook:NAME`, `slack:channel:NAME` or `database:NAME`."""
        if self.url is not msgspec.UNSET:
            return self.url
        if self.slack is not msgspec.UNSET:
            return (
                f"slack:webhook:{self.slack.webhook}" if self.slack.webhook else f"slack:channel:{self.slack.channel}"
            )
        return f"database:{self.database}"


class JobRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/jobs`."""

    type: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    input: msgspec.Raw
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None
    fallbacks: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=256)], ...], msgspec.Meta(max_length=8)
    ] = ()
    callback: Callback | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    priority: Priority = "normal"
    deadline: Deadline = Deadline()


class PromptRef(msgspec.Struct, frozen=True, kw_only=True):
    """Which prompt made a job's answer: its name, version and content hash."""

    name: str
    version: str
    sha256: str


class JobError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job did not succeed."""

    code: str
    message: str
    provider: str | None = None
    retryable: bool = False
    retry_after_s: float | msgspec.UnsetType = msgspec.UNSET
    """Seconds until trying again makes sense; missing if nobody knows."""

    @classmethod
    def of(cls, error: errors.RingbackError) -> "JobError":
        """The record of `error`."""
        return cls(
            code=error.code,
            message=error.detail,
            provider=error.provider if isinstance(error, errors.VendorFailure) else None,
            retryable=error.retryable,
            retry_after_s=msgspec.UNSET if error.retry_after is None else error.retry_after,
        )


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """Where to go from here, as paths on this gateway."""

    self: str
    events: str
    deliveries: str
    cancel: str

    @classmethod
    def of(cls, job_id: str) -> "Links":
        """The links of one job."""
        base = f"/v1/jobs/{job_id}"
        return cls(self=base, events=f"{base}/events", deliveries=f"{base}/deliveries", cancel=f"{base}/cancel")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as callers see it in every answer, event and callback. Times are RFC 3339 UTC."""

    id: str
    type: str
    status: Status
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    attempt: int
    model: str
    """`provider/model` that answers, or that will be asked first."""
    provider: str
    prompt: PromptRef
    input: msgspec.Raw
    output: Any
    error: JobError | None
    usage: Usage
    """Of all calls together, failed ones included."""
    cost: Cost | None
    """`None`: no price is known."""
    calls: tuple[ModelCall, ...]
    """Every call to a model, in the order in which they were made."""
    metadata: msgspec.Raw
    session_id: str | None
    callback: Callback | None
    links: Links


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What never changes after acceptance; stored as one JSON document in the job's record."""

    id: str
    type: str
    created_ms: int
    """Unix time, milliseconds."""
    prompt: PromptRef
    input: msgspec.Raw
    metadata: msgspec.Raw
    targets: tuple[str, ...]
    """`provider/model` in the order in which they are asked; at least one."""
    callback: Callback | None = None
    deadline: Deadline = Deadline()
    priority: Priority = "normal"
    session_id: str | None = None
    hedge: bool = False
    """Whether a second target is asked when the first one is silent for unusually long."""
    owner: str = ""
    """Id of the API key that submitted it; empty where keys are off."""
    recording: bool = False
    """The audio of its input is kept beside it."""


def moment(ms: int | None) -> datetime | None:
    """Unix milliseconds as an aware UTC datetime; `None` stays `None`."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def view(
    spec: JobSpec,
    *,
    status: Status,
    attempt: int = 0,
    started_ms: int | None = None,
    ended_ms: int | None = None,
    target: str | None = None,
    output: Any = None,
    error: JobError | None = None,
    usage: Usage | None = None,
    cost: Cost | None = None,
    calls: tuple[ModelCall, ...] = (),
    prompt: PromptRef | None = None,
) -> Job:
    """The Job that `spec` is in the given state.

    `target` is the `provider/model` asked last; `prompt` the one that was rendered, if it is known.
    """
    model = target or spec.targets[0]
    created = moment(spec.created_ms)
    assert created is not None  # noqa: S101 - narrows the type only
    return Job(
        id=spec.id,
        type=spec.type,
        status=status,
        created_at=created,
        started_at=moment(started_ms),
        ended_at=moment(ended_ms),
        attempt=attempt,
        model=model,
        provider=split_model(model)[0],
        prompt=prompt or spec.prompt,
        input=spec.input,
        output=output,
        error=error,
        usage=usage or Usage(),
        cost=cost,
        calls=calls,
        metadata=spec.metadata,
        session_id=spec.session_id,
        callback=spec.callback,
        links=Links.of(spec.id),
    )
