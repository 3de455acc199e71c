"""The whole protocol against a model of it, in random order: whatever workers, gateways, sweepers and time do."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, get_args

import hypothesis
import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jobs import errors, event
from jobs.event import TERMINAL_NAMES
from jobs.job import TERMINAL, Callback, Deadline, JobEvent, JobSpec, Status, TerminalStatus, view
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.deliveries import Due, NewDelivery, Outbox
from jobs.store.jobs import Claim, JobStore
from tests.integration.store.sample import attempt, callback_of, ended, lapse, names, now_ms, pending, spec, token

T = TypeVar("T")
MOST_ATTEMPTS = 3
MOST_JOBS = 2
"""That have not ended, so that much happens to each."""
ANY = st.integers(0, 5)
"""Which job or claim; see `Protocol.any_job`."""
SELDOM = st.sampled_from((False,) * 5 + (True,))
"""For what leaves little to happen afterwards."""
SHARDS = (0, 5)
CALLBACKS = (
    None,
    Callback(url="https://x.example/"),
    Callback(url="https://x.example/", events=(JobEvent.STARTED, JobEvent.SUCCEEDED, JobEvent.FAILED)),
)


class Known:
    """What the model knows of one job."""

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
        self.status: Status = "queued"
        self.fence = self.attempt = self.handed_back = 0
        self.leased = False
        self.holder: tuple[str, Claim] | None = None
        self.claims: list[Claim] = []
        self.wish_to_cancel = False
        self.late = bool(spec.deadline.start_s)
        self.log: list[str] = []
        self.deliveries: list[str] = []

    @property
    def over(self) -> bool:
        return self.status in TERMINAL

    def holds(self, claim: Claim) -> bool:
        """Whether that claim's fence is the one under which the job runs."""
        return self.status == "running" and claim.fence == self.fence

    @property
    def verdict(self) -> str:
        """What the next claim is told."""
        if self.wish_to_cancel:
            return "cancelled"
        if self.attempt == 0 and self.late:
            return "expired"
        return "exhausted" if self.attempt - self.handed_back >= MOST_ATTEMPTS else "run"


class Protocol(RuleBasedStateMachine):
    """Every call that anyone may make, with the outcome that it must have."""

    base: Settings

    def __init__(self) -> None:
        super().__init__()
        self.settings = msgspec.structs.replace(self.base, max_attempts=MOST_ATTEMPTS)
        self.runner = asyncio.Runner()
        self.jobs: dict[str, Known] = {}
        self.touched: set[str] = set()
        self.taken: list[Due] = []
        self.settled: dict[str, tuple[str, int]] = {}

    def call(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def live(self) -> list[Known]:
        return [job for job in self.jobs.values() if not job.over]

    def any_job(self, which: int) -> Known:
        """A job that has not ended or, more rarely, the last one that has."""
        candidates = [*self.live() * 2, *[job for job in self.jobs.values() if job.over][-1:]]
        job = candidates[which % len(candidates)]
        self.touched.add(job.spec.id)
        return job

    def any_claim(self, which: int, job: Known) -> Claim | None:
        """The claim made last on that job or, more rarely, an earlier one; it may be stale."""
        recent = job.claims[-3:]
        return recent[-1 if which < 3 else which % len(recent)] if recent else None

    def refused(self, call: Coroutine[Any, Any, object], *refusals: type[errors.RingbackError]) -> None:
        try:
            outcome = self.call(call)
        except refusals:
            return
        raise AssertionError(f"not refused: {outcome}")

    @initialize()
    def connect(self) -> None:
        async def connect() -> Connection:
            connection = Connection(self.settings.redis_url, timeout=10.0)
            await connection.redis.flushall()
            return connection

        self.connection = self.call(connect())
        self.store = JobStore(self.connection, self.settings)
        self.outbox = Outbox(self.connection, self.settings)

    def teardown(self) -> None:
        self.touched = set(self.jobs)
        if self.jobs:
            self.the_store_holds_what_the_model_says()
        if hasattr(self, "connection"):
            self.call(self.connection.aclose())
        self.runner.close()

    # Gateways

    @precondition(lambda self: len(self.live()) < MOST_JOBS)
    @rule(
        shard=st.sampled_from(SHARDS),
        callback=st.sampled_from(CALLBACKS),
        late=SELDOM,
        unclaimed=SELDOM,
    )
    def accept(self, shard: int, callback: Callback | None, late: bool, unclaimed: bool) -> None:
        deadline = Deadline(start_s=1.0) if late else Deadline()
        made = spec(shard, at_ms=now_ms() - 5000, callback=callback, deadline=deadline)
        assert self.call(self.store.accept(made)).created
        self.jobs[made.id] = Known(made)
        self.touched.add(made.id)
        if not unclaimed:
            self.note_claim(self.jobs[made.id], twice=False)

    @precondition(lambda self: self.jobs)
    @rule(which=ANY)
    def accept_again(self, which: int) -> None:
        spec = self.any_job(which).spec
        assert self.call(self.store.accept(spec)).job_id == spec.id

    @precondition(lambda self: self.jobs)
    @rule(which=ANY, really=SELDOM)
    def ask_to_cancel(self, which: int, really: bool) -> None:
        job = self.any_job(which)
        if not really:
            return
        assert self.call(self.store.request_cancel(job.spec.id)) == (not job.over)
        job.wish_to_cancel = job.wish_to_cancel or not job.over

    @precondition(lambda self: self.jobs)
    @rule(which=ANY, behind=st.integers(0, 1), really=SELDOM)
    def cancel_while_queued(self, which: int, behind: int, really: bool) -> None:
        job = self.any_job(which)
        if not really and job.status == "queued":
            return
        fence = max(job.fence - behind, 0)
        over = view(job.spec, status="cancelled", attempt=job.attempt, ended_ms=now_ms())
        delivery = callback_of(over)
        call = self.store.end(fence, over, delivery=delivery, required="queued")
        if job.status == "queued" and fence == job.fence:
            self.note_end(job, "cancelled", self.call(call), delivery)
        elif job.status == "cancelled" and fence == job.fence:
            assert self.call(call) == len(job.log)
        else:
            self.refused(call, errors.StaleFence, errors.JobAlreadyEnded)

    # Workers

    @precondition(lambda self: self.jobs)
    @rule(which=ANY, twice=st.booleans())
    def claim(self, which: int, twice: bool) -> None:
        self.note_claim(self.any_job(which), twice=twice)

    def note_claim(self, job: Known, *, twice: bool) -> None:
        mine = token()
        claim = self.call(self.store.claim(job.spec.id, mine))
        if job.over or job.leased:
            assert claim is None
            return
        assert claim is not None
        verdict = job.verdict
        job.fence += 1
        job.leased = True
        if verdict == "run":
            job.attempt += 1
            job.status = "running"
            job.log += ["job.started", "stream.reset"] if job.attempt > 1 else ["job.started"]
        assert (claim.verdict, claim.fence, claim.attempt) == (verdict, job.fence, job.attempt)
        assert claim.last_event == len(job.log)
        if twice:
            assert self.call(self.store.claim(job.spec.id, mine)) == claim
        job.holder = (mine, claim)
        job.claims.append(claim)

    @precondition(lambda self: self.jobs)
    @rule(which=ANY)
    def claim_with_the_holders_token(self, which: int) -> None:
        job = self.any_job(which)
        if job.holder is None or not job.leased or job.over:
            return
        mine, claim = job.holder
        again = self.call(self.store.claim(job.spec.id, mine))
        assert again == msgspec.structs.replace(claim, last_event=len(job.log))

    @precondition(lambda self: self.jobs)
    @rule(which=ANY, whose=ANY, texts=st.lists(st.text(max_size=5), min_size=1, max_size=3), twice=st.booleans())
    def append(self, which: int, whose: int, texts: list[str], twice: bool) -> None:
        job = self.any_job(which)
        claim = self.any_claim(whose, job)
        if claim is None:
            return
        deltas = [event.text_delta(text) for text in texts]
        last = len(job.log)
        if not job.holds(claim):
            self.refused(self.store.append(claim, deltas, last_event=last, target="fake/late"), errors.StaleFence)
            return
        job.log += ["text.delta"] * len(texts)
        for _ in range(1 + twice):
            assert self.call(self.store.append(claim, deltas, last_event=last)) == len(job.log)

    @precondition(lambda self: self.jobs)
    @rule(which=ANY, whose=ANY, twice=st.booleans())
    def announce(self, which: int, whose: int, twice: bool) -> None:
        job = self.any_job(which)
        claim = self.any_claim(whose, job)
        if claim is None:
            return
        started = NewDelivery.of(claim.view("running"), JobEvent.STARTED, at_ms=now_ms(), sequence=1)
        if started is None:
            return
        if not job.holds(claim):
            self.refused(self.store.announce(claim, started, deliver_after_s=0), errors.StaleFence)
            return
        for _ in range(1 + twice):
            self.call(self.store.announce(claim, started, deliver_after_s=0))
        job.deliveries.append(started.id)

    @precondition(lambda self: self.jobs)
    @rule(which=ANY, whose=ANY, extend=st.booleans())
    def renew(self, which: int, whose: int, extend: bool) -> None:
        job = self.any_job(which)
        claim = self.any_claim(whose, job)
        if claim is None:
            return
        said = self.call(self.store.renew({claim.spec.id: claim.fence}, extend=extend))[claim.spec.id]
        expected = "stale" if not job.holds(claim) else "cancel" if job.wish_to_cancel else "ok"
        assert said == expected
        job.leased = job.leased or (extend and said == "ok")

    @precondition(lambda self: self.jobs)
    @rule(which=ANY, whose=ANY, twice=st.booleans())
    def hand_back(self, which: int, whose: int, twice: bool) -> None:
        job = self.any_job(which)
        claim = self.any_claim(whose, job)
        if claim is None:
            return
        if not job.holds(claim):
            back_already = job.status == "queued" and claim.fence == job.fence
            if not back_already:
                self.refused(self.store.release(claim), errors.StaleFence)
            return
        for _ in range(1 + twice):
            self.call(self.store.release(claim))
        job.status, job.leased, job.holder = "queued", False, None
        job.handed_back += 1

    @precondition(lambda self: self.jobs)
    @rule(which=ANY, whose=ANY, status=st.sampled_from(get_args(TerminalStatus)), twice=st.booleans(), really=SELDOM)
    def end(self, which: int, whose: int, status: TerminalStatus, twice: bool, really: bool) -> None:
        job = self.any_job(which)
        claim = self.any_claim(whose, job)
        if claim is None or (claim.fence == job.fence and not job.over and not really):
            return
        over = ended(claim, status)
        delivery = callback_of(over)
        call = self.store.end(claim.fence, over, delivery=delivery)
        if job.over:
            if claim.fence == job.fence and status == job.status:
                assert self.call(call) == len(job.log)
            else:
                self.refused(call, errors.JobAlreadyEnded)
            return
        if claim.fence != job.fence:
            self.refused(call, errors.StaleFence)
            return
        last = self.call(call)
        if twice:
            assert self.call(self.store.end(claim.fence, over, delivery=delivery)) == last
        self.note_end(job, status, last, delivery)

    def note_end(self, job: Known, status: TerminalStatus, last: int, delivery: NewDelivery | None) -> None:
        job.status, job.leased, job.holder = status, False, None
        job.log.append(f"job.{status}")
        assert last == len(job.log)
        assert (delivery is not None) == (job.spec.callback is not None and f"job.{status}" in job.spec.callback.events)
        if delivery is not None:
            job.deliveries.append(delivery.id)

    # Time and sweepers

    @precondition(lambda self: self.jobs)
    @rule(which=ANY)
    def time_passes(self, which: int) -> None:
        job = self.any_job(which)
        if job.leased:
            self.call(lapse(self.connection, job.spec.id))
            job.leased = False

    @rule()
    def sweep(self) -> None:
        for job_id, priority in self.call(self.store.overdue()):
            assert not self.jobs[job_id].over
            assert not self.jobs[job_id].leased
            assert priority == "normal"
        assert self.call(self.store.overdue()) == []

    @rule()
    def take(self) -> None:
        found = self.call(self.outbox.take(limit=100, lease_s=60))
        for due in found:
            assert due.id in self.jobs[due.job_id].deliveries
            assert self.settled.get(due.id, ("pending", 0)) == ("pending", due.tries)
        self.taken += found

    @precondition(lambda self: self.taken)
    @rule(status=st.sampled_from(("pending", "delivered", "failed")), twice=st.booleans())
    def settle(self, status: Any, twice: bool) -> None:
        due = self.taken.pop(0)
        self.touched.add(due.job_id)
        made = attempt(due.tries + 1)
        for _ in range(1 + twice):
            self.call(self.outbox.settle(due, made, status=status, next_s=0))
        self.settled[due.id] = (status, due.tries + 1)

    @invariant()
    def the_store_holds_what_the_model_says(self) -> None:
        for job_id in self.touched:
            self.call(self.compare(self.jobs[job_id]))
        self.touched.clear()
        for shard in SHARDS if self.jobs else ():
            not_over = {id_ for id_, job in self.jobs.items() if not job.over and self.shard(id_) == shard}
            assert self.call(pending(self.connection, shard)) == not_over

    @staticmethod
    def shard(job_id: str) -> int:
        return next(shard for shard in SHARDS if keys.job(job_id).startswith(keys.tag(shard)))

    async def compare(self, job: Known) -> None:
        job_id = job.spec.id
        state = await self.store.state(job_id)
        assert (state.status, state.fence, state.attempt) == (job.status, job.fence, job.attempt)
        assert state.last_event == len(job.log)
        assert await names(self.connection, job_id) == job.log
        ends = [name for name in job.log if name in TERMINAL_NAMES]
        assert ends == ([job.log[-1]] if job.over else [])
        found = await self.outbox.of_job(job_id)
        assert [delivery.id for delivery in found] == job.deliveries
        for delivery in found:
            assert (delivery.status, len(delivery.attempts)) == self.settled.get(delivery.id, ("pending", 0))
        public = msgspec.json.decode(await self.store.get(job_id))
        assert (public["status"], public["attempt"]) == (job.status, job.attempt)


def test_no_order_of_calls_breaks_the_protocol(settings: Settings) -> None:
    class OnThisStore(Protocol):
        base = settings

    run_state_machine_as_test(
        OnThisStore,
        settings=hypothesis.settings(
            max_examples=50,
            stateful_step_count=50,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
