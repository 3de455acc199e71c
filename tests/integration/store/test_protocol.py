"""The whole protocol against a model of it, in random order: whatever workers, gateways, sweepers and time do."""

import asyncio
import itertools
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
from jobs.job import Callback, Deadline, JobEvent, Priority, TerminalStatus, view
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.dead_letters import DeadLetters
from jobs.store.deliveries import DeliveryStatus, Due, NewDelivery, Outbox
from jobs.store.events import EventLog
from jobs.store.jobs import Claim, JobStore
from tests.integration.store.model import MOST_ATTEMPTS, Known, Posted, turns_add_up
from tests.integration.store.sample import attempt, callback_of, ended, lapse, names, now_ms, pending, spec, token

T = TypeVar("T")
MOST_JOBS = 2
"""That have not ended, so that much happens to each."""
ANY = st.integers(0, 5)
"""Which job or claim; see `Protocol.any_job`."""
SELDOM = st.sampled_from((False,) * 5 + (True,))
"""For what leaves little to happen afterwards."""
SHARDS = (0, 5)
OWNERS = ("", "2bb2616cac73")
MANY = 6
"""More queued jobs than one owner gets hints for."""
GATEWAYS = ("listening", "deaf")
"""Which may watch; nothing reads what is pushed to the second one."""
CALLBACKS = (
    Callback(url="https://x.example/", events=tuple(JobEvent)),
    Callback(url="https://x.example/", events=(JobEvent.STARTED, JobEvent.SUCCEEDED, JobEvent.FAILED)),
    Callback(url="https://x.example/"),
    None,
)


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
        self.posted: dict[str, Posted] = {}
        self.pushed: list[tuple[str, int, str]] = []
        """What the gateway that listens must have been told since it was last asked."""
        self.hinted: set[str] = set()
        """Jobs that were let in by the end of others since it was last asked."""
        self.counter = itertools.count()

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
        self.dead_letters = DeadLetters(self.connection, self.settings)
        self.events = EventLog(self.connection, self.settings)
        self.open_wire = self.events.wire(GATEWAYS[0])
        self.wire = self.call(self.open_wire.__aenter__())

    def teardown(self) -> None:
        self.touched = set(self.jobs)
        if self.jobs:
            self.the_store_holds_what_the_model_says()
        if hasattr(self, "wire"):
            self.call(self.open_wire.__aexit__(None, None, None))
        if hasattr(self, "connection"):
            self.call(self.connection.aclose())
        self.runner.close()

    # Gateways

    @precondition(lambda self: len(self.live()) < MOST_JOBS)
    @rule(
        shard=st.sampled_from(SHARDS),
        callback=st.sampled_from(CALLBACKS),
        late=SELDOM,
        owner=st.sampled_from(OWNERS),
        watcher=st.sampled_from(("", *GATEWAYS)),
        unclaimed=SELDOM,
    )
    def accept(
        self, shard: int, callback: Callback | None, late: bool, owner: str, watcher: str, unclaimed: bool
    ) -> None:
        deadline = Deadline(start_s=1.0) if late else Deadline()
        made = spec(shard, at_ms=now_ms() - 5000, callback=callback, deadline=deadline, owner=owner)
        assert self.call(self.store.accept(made, watcher=watcher)).created
        job = self.jobs[made.id] = Known(made)
        job.watched = {watcher} - {""}
        self.touched.add(made.id)
        if not unclaimed:
            self.note_claim(job, twice=False)

    @precondition(lambda self: len(self.live()) < MOST_JOBS)
    @rule(shard=st.sampled_from(SHARDS), owner=st.sampled_from(OWNERS), really=SELDOM)
    def accept_many(self, shard: int, owner: str, really: bool) -> None:
        for _ in range(MANY * really):
            self.accept(shard, None, late=False, owner=owner, watcher="", unclaimed=True)

    @precondition(lambda self: self.jobs)
    @rule(which=ANY, gateways=st.permutations(GATEWAYS), both=st.booleans())
    def watch(self, which: int, gateways: list[str], both: bool) -> None:
        job = self.any_job(which)
        for gateway in gateways[: 1 + both]:
            self.call(self.events.watch([job.spec.id], gateway))
            if not job.over:
                job.watched.add(gateway)

    @precondition(lambda self: self.jobs)
    @rule(which=ANY, gateway=st.sampled_from(GATEWAYS))
    def unwatch(self, which: int, gateway: str) -> None:
        job = self.any_job(which)
        self.call(self.events.unwatch(job.spec.id, gateway))
        job.watched.discard(gateway)

    def note_events(self, job: Known, *names: str) -> None:
        """These have been appended, and pushed to who listens; who does not is forgotten."""
        first = len(job.log) + 1
        job.log += names
        if "listening" in job.watched:
            self.pushed += [(job.spec.id, number, name) for number, name in enumerate(names, first)]
        if names:
            job.watched.discard("deaf")

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
        call = self.store.end(fence, over, delivery=delivery, required="queued", ready=self.note_hint)
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
            self.note_events(job, *(["job.started", "stream.reset"] if job.attempt > 1 else ["job.started"]))
        assert (claim.verdict, claim.fence, claim.attempt) == (verdict, job.fence, job.attempt)
        assert claim.last_event == len(job.log)
        if claim.next_id:
            assert self.jobs[claim.next_id].status == "queued"
            assert self.jobs[claim.next_id].spec.owner == job.spec.owner
        claim = msgspec.structs.replace(claim, next_id="")
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
        self.note_events(job, *["text.delta"] * len(texts))
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
            # Every attempt at the job announces the same.
            new = started.id not in job.deliveries
            assert self.call(self.store.announce(claim, started, deliver_after_s=0)) == new
            if new:
                self.note_delivery(job, started)

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
    @rule(
        which=ANY,
        whose=ANY,
        status=st.sampled_from(get_args(TerminalStatus)),
        rest=st.integers(0, 2),
        twice=st.booleans(),
        really=st.booleans(),
    )
    def end(self, which: int, whose: int, status: TerminalStatus, rest: int, twice: bool, really: bool) -> None:
        job = self.any_job(which)
        claim = self.any_claim(whose, job)
        if claim is None or (claim.fence == job.fence and not job.over and not really):
            return
        over = ended(claim, status)
        delivery = callback_of(over)
        before = [event.text_delta("the rest")] * rest
        call = self.store.end(claim.fence, over, delivery=delivery, events=before, ready=self.note_hint)
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
            again = self.store.end(claim.fence, over, delivery=delivery, events=before, ready=self.note_hint)
            assert self.call(again) == last
        self.note_end(job, status, last, delivery, rest)

    def note_hint(self, job_id: str, priority: Priority) -> None:
        assert priority == "normal"
        self.hinted.add(job_id)

    def note_end(
        self, job: Known, status: TerminalStatus, last: int, delivery: NewDelivery | None, rest: int = 0
    ) -> None:
        job.status, job.leased, job.holder = status, False, None
        self.note_events(job, *["text.delta"] * rest, f"job.{status}")
        job.watched.clear()
        assert last == len(job.log)
        assert (delivery is not None) == (job.spec.callback is not None and f"job.{status}" in job.spec.callback.events)
        if delivery is not None:
            self.note_delivery(job, delivery)

    def note_delivery(self, job: Known, delivery: NewDelivery) -> None:
        job.deliveries.append(delivery.id)
        self.posted[delivery.id] = Posted()

    # Time and sweepers

    @precondition(lambda self: self.jobs)
    @rule(which=ANY)
    def time_passes(self, which: int) -> None:
        job = self.any_job(which)
        if job.leased:
            self.call(lapse(self.connection, job.spec.id))
            job.leased = False

    @precondition(lambda self: self.jobs)
    @rule()
    def sweep(self) -> None:
        for job_id, priority in self.call(self.store.overdue()):
            assert not self.jobs[job_id].over
            assert not self.jobs[job_id].leased
            assert priority == "normal"
        assert self.call(self.store.overdue()) == []

    @precondition(lambda self: self.jobs)
    @rule()
    def take(self) -> None:
        found = self.call(self.outbox.take(limit=100, lease_s=60))
        for due in found:
            assert due.id in self.jobs[due.job_id].deliveries
            posted = self.posted[due.id]
            assert (posted.status, posted.attempts, posted.round) == ("pending", due.tries, due.round)
        self.taken += found

    @precondition(lambda self: self.taken)
    @rule(status=st.sampled_from(get_args(DeliveryStatus)), twice=st.booleans())
    def settle(self, status: DeliveryStatus, twice: bool) -> None:
        due = self.taken.pop(0)
        self.touched.add(due.job_id)
        made = attempt(due.tries + 1, duration_ms=next(self.counter))
        for _ in range(1 + twice):
            self.call(self.outbox.settle(due, made, status=status, next_s=0))
        posted = self.posted[due.id]
        posted.attempts += 1
        if status == "delivered" or (posted.status == "pending" and posted.round == due.round):
            posted.status = status

    @precondition(lambda self: self.taken)
    @rule()
    def postpone(self) -> None:
        due = self.taken.pop(0)
        self.touched.add(due.job_id)
        self.call(self.outbox.postpone([(due, 0.0)]))

    @precondition(lambda self: self.posted)
    @rule(which=ANY, own=st.booleans())
    def replay(self, which: int, own: bool) -> None:
        self.take()
        candidates = [due.id for due in self.taken[:1]] or list(self.posted)  # one that is under way, if there is one
        delivery_id = candidates[-1 - which % len(candidates)]
        job = next(job for job in self.jobs.values() if delivery_id in job.deliveries)
        self.touched.add(job.spec.id)
        if own:
            found = self.call(self.dead_letters.replay(delivery_id, owner=job.spec.owner))
            assert (found.id, found.status) == (delivery_id, "pending")
            self.posted[delivery_id].status = "pending"
            self.posted[delivery_id].round += 1
            if self.taken:
                self.settle("failed", twice=False)  # of the round before
        else:
            self.refused(self.dead_letters.replay(delivery_id, owner="another"), errors.NotFound)

    @invariant()
    def the_store_holds_what_the_model_says(self) -> None:
        for job_id in self.touched:
            self.call(self.compare(self.jobs[job_id]))
        self.touched.clear()
        self.call(self.compare_pushes())
        self.call(turns_add_up(self.connection, self.jobs))
        for shard in SHARDS if self.jobs else ():
            not_over = {id_ for id_, job in self.jobs.items() if not job.over and self.shard(id_) == shard}
            assert self.call(pending(self.connection, shard)) == not_over

    async def compare_pushes(self) -> None:
        """The gateway that listens was told what it must, in order, and nothing else."""
        await self.events.echo(GATEWAYS[0])
        told: list[tuple[str, int, str]] = []
        async with asyncio.timeout(10):
            async for event in self.wire:
                if event.name == "echo":
                    break
                told.append((event.job_id, event.id, event.name))
        assert told == self.pushed
        self.pushed.clear()

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
            posted = self.posted[delivery.id]
            assert (delivery.status, len(delivery.attempts)) == (posted.status, posted.attempts)
        public = msgspec.json.decode(await self.store.get(job_id))
        assert (public["status"], public["attempt"]) == (job.status, job.attempt)


def test_no_order_of_calls_breaks_the_protocol(settings: Settings) -> None:
    class OnThisStore(Protocol):
        base = settings

    run_state_machine_as_test(
        OnThisStore,
        settings=hypothesis.settings(
            max_examples=30,
            stateful_step_count=50,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
