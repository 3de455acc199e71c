"""One attempt at a job, from claim to end: whatever happens in between, exactly one outcome is written."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from jobs import errors
from jobs.dispatch import Dispatch
from jobs.event import Event
from jobs.job import JobError, JobEvent, JobSpec, TerminalStatus, terminal_event
from jobs.model import Cost, Usage
from jobs.settings import Settings
from jobs.store.access_keys import TokenBudgets
from jobs.store.deliveries import Due, NewDelivery
from jobs.store.jobs import Claim, JobStore
from jobs.store.recordings import Recordings
from providers.prices import Prices
from workers.delivery import ATTEMPT_LEASE_S, Deliverer
from workers.leases import Held, Leases
from workers.narrator import Narrator
from workers.persistence import persist
from workers.progress import Progress, Run

_log = structlog.get_logger(__name__)


class Runner:
    """Runs jobs on this process."""

    def __init__(
        self,
        settings: Settings,
        store: JobStore,
        leases: Leases,
        runs: Run,
        deliverer: Deliverer,
        dispatch: Dispatch,
        budgets: TokenBudgets,
        recordings: Recordings,
        prices: Prices,
    ) -> None:
        """Everything a job needs, shared by all jobs of the process."""
        self._timeouts = settings.timeouts
        self._store = store
        self._leases = leases
        self._runs = runs
        self._deliverer = deliverer
        self._dispatch = dispatch
        self._budgets = budgets
        self._recordings = recordings
        self._prices = prices

    async def run(self, job_id: str) -> None:
        """Claims and runs the job, if there is anything to do for it."""
        token = secrets.token_hex(8)
        claim = await persist(lambda: self._store.claim(job_id, token))
        if claim is None:
            return
        if claim.next_id:
            self._dispatch.send(claim.next_id, claim.spec.priority)
        with bound_contextvars(job_id=job_id, type=claim.spec.type, attempt=claim.attempt):
            match claim.verdict:
                case "run":
                    total_s = claim.spec.deadline.total_s or self._timeouts.total_s
                    deadline = asyncio.get_running_loop().time() + total_s
                    if any(self._prices.looks_up(target) for target in claim.spec.targets):
                        asyncio.get_running_loop().run_in_executor(None, self._prices.load)
                    progress = Progress(
                        holder=f"{job_id}:{token}",
                        claim=claim,
                        deadline=deadline,
                        earlier=claim.calls,
                        price=self._prices.cost,
                    )
                    await self._attempt(claim, progress)
                    await self._spend(claim, progress)
                case "cancelled":
                    await self._end(claim, "cancelled", claim.target, Progress(earlier=claim.calls))
                case "expired":
                    progress = Progress(earlier=claim.calls)
                    await self._end(claim, "expired", claim.target, progress, errors.StartDeadlineExceeded())
                case "exhausted":
                    progress = Progress(earlier=claim.calls)
                    await self._end(claim, "failed", claim.target, progress, errors.AttemptsExhausted())

    async def _spend(self, claim: Claim, progress: Progress) -> None:
        """Counts what the attempt used, whatever became of it, for the API key that owns the job."""
        if claim.spec.owner and progress.usage != Usage():
            job_id, owner, at_ms = claim.spec.id, claim.spec.owner, _now_ms()
            await persist(lambda: self._budgets.spend(owner, job_id, claim.attempt, progress.usage, at_ms=at_ms))

    async def _attempt(self, claim: Claim, progress: Progress) -> None:
        narrator = Narrator(self._store, claim)
        total_s = claim.spec.deadline.total_s or self._timeouts.total_s
        status: TerminalStatus = "failed"
        error: errors.RingbackError | None = None
        rest: list[Event] = []
        with self._leases.hold(claim) as held:
            try:
                await self._announce_start(claim)
                async with asyncio.timeout_at(progress.deadline), narrator:
                    await self._runs.run(claim.spec, narrator, progress)
                    rest = narrator.rest()
                status = "succeeded"
            except errors.StaleFence:
                _log.warning("job_taken_over")
                return
            except TimeoutError:
                rest = _usage(narrator)
                error = errors.DeadlineExceeded(f"The job did not finish within its total_s of {total_s:g} s.")
            except errors.RingbackError as failure:
                error = failure
            except asyncio.CancelledError:
                if not await self._stopped(held, progress):
                    return
                rest = _usage(narrator)
                status = "cancelled"
            except Exception:  # noqa: BLE001  # a bug must not make the job a poison pill: it fails, once
                _log.exception("job_crashed")
                error = errors.RingbackError("Something went wrong inside Ringback while it ran this job.")
            held.ending = True
            await self._end(claim, status, narrator.target, progress, error, rest)

    async def _stopped(self, held: Held, progress: Progress) -> bool:
        """Settles a run that was cancelled. True: the caller wanted it, the job must end as cancelled."""
        if held.stopped is None:
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is one
        task.uncancel()
        if held.stopped == "cancel":
            return True
        if held.stopped == "drain":
            try:
                await self._store.release(held.claim, progress.all_calls)
                self._dispatch.send(held.claim.spec.id, held.claim.spec.priority)
                _log.info("job_handed_back")
            except (errors.StaleFence, errors.StoreUnavailable) as refused:
                _log.warning("job_not_handed_back", code=refused.code)
        return False

    async def _announce_start(self, claim: Claim) -> None:
        callback = claim.spec.callback
        if callback is None or JobEvent.STARTED not in callback.events:
            return
        job = claim.view("running")
        delivery = NewDelivery.of(job, JobEvent.STARTED, sequence=claim.last_event, at_ms=_now_ms())
        if delivery:
            new = await persist(lambda: self._store.announce(claim, delivery, deliver_after_s=ATTEMPT_LEASE_S))
            if new:
                self._deliverer.start(Due.fresh(delivery, job.id, claim.last_event))

    async def _end(
        self,
        claim: Claim,
        status: TerminalStatus,
        target: str,
        progress: Progress,
        error: errors.RingbackError | None = None,
        rest: Sequence[Event] = (),
    ) -> None:
        ended_ms, calls = _now_ms(), progress.all_calls
        usage = progress.whole_usage
        fields: dict[str, Any] = {
            "ended_ms": ended_ms,
            "target": target,
            "usage": usage,
            "cost": Cost.of(calls),
            "calls": calls,
            "prompt": progress.prompt,
        }
        if error is not None:
            fields["error"] = JobError.of(error)
        job = claim.view(status, output=progress.output, **fields)
        delivery = NewDelivery.of(job, terminal_event(status), at_ms=ended_ms)
        try:
            last = await persist(
                lambda: self._store.end(
                    claim.fence,
                    job,
                    delivery=delivery,
                    deliver_after_s=ATTEMPT_LEASE_S,
                    events=rest,
                    ready=self._dispatch.send,
                )
            )
        except (errors.StaleFence, errors.JobAlreadyEnded) as refused:
            _log.warning("end_refused", code=refused.code)
            return
        if delivery:
            self._deliverer.start(Due.fresh(delivery, job.id, last))
        await self._forget_recording(claim.spec)
        _log.info(
            "job_ended",
            status=status,
            code=error.code if error else None,
            model=target,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
        )

    async def _forget_recording(self, spec: JobSpec) -> None:
        """Deletes what only the job itself needed; what cannot be deleted now expires."""
        try:
            await self._recordings.drop(spec)
        except errors.StoreUnavailable:
            _log.warning("recording_not_deleted")


def _usage(narrator: Narrator) -> list[Event]:
    """What a stopped run used and did not come to tell; its text is of no use to anyone."""
    return [event for event in narrator.rest() if event.name == "usage"]


def _now_ms() -> int:
    return int(time.time() * 1000)
