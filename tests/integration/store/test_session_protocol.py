"""The protocol with sessions, in random order: whenever jobs wait for a session, the first of them is on its way."""

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test

from jobs import errors, ids
from jobs.job import Callback, Deadline
from jobs.session import SessionSpec
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.sessions import Sessions
from tests.integration.store.conversation import candidate, session_spec, turn_spec
from tests.integration.store.model import Known
from tests.integration.store.sample import callback_of, ended, now_ms
from tests.integration.store.test_protocol import ANY, CALLBACKS, OWNERS, SELDOM, SHARDS, Protocol

MOST_TURNS = 7
"""That have not ended, in all sessions together; the same owner's others may leave them no hints."""
MOST_SESSIONS = 2
LONG_AGO = 1


class Line:
    """What the model knows of a session."""

    def __init__(self, spec: SessionSpec) -> None:
        self.spec = spec
        self.there = True
        self.jobs: list[Known] = []

    def unended(self) -> list[Known]:
        """Its jobs that have not ended, in the order of their arrival."""
        return [job for job in self.jobs if not job.over]


class SessionProtocol(Protocol):
    """Jobs may take their turns in sessions, which may be deleted or expire."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []

    @initialize()
    def connect(self) -> None:
        super().connect()
        self.sessions = Sessions(self.connection, self.settings)

    def there(self) -> list[Line]:
        return [line for line in self.lines if line.there]

    def turns(self) -> list[Known]:
        return [job for line in self.lines for job in line.unended()]

    async def turns_of(self, jobs: list[Known]) -> dict[str, bytes | None]:
        found = await self.connection.calls(("HGET", keys.job(job.spec.id), "turn") for job in jobs)
        return dict(zip((job.spec.id for job in jobs), found, strict=True))

    @precondition(lambda self: len(self.there()) < MOST_SESSIONS)
    @rule(shard=st.sampled_from(SHARDS), owner=st.sampled_from(OWNERS))
    def open_session(self, shard: int, owner: str) -> None:
        line = Line(session_spec(shard, owner=owner))
        self.call(self.sessions.open(line.spec))
        self.lines.append(line)

    @precondition(lambda self: self.there() and len(self.turns()) < MOST_TURNS)
    @rule(
        which=ANY,
        count=st.integers(1, 4),
        late=SELDOM,
        refuse=SELDOM,
        callback=st.sampled_from(CALLBACKS),
        twice=SELDOM,
    )
    def accept_turns(
        self, which: int, count: int, late: bool, refuse: bool, callback: Callback | None, twice: bool
    ) -> None:
        line = self.there()[which % len(self.there())]
        for _ in range(count):
            deadline = Deadline(start_s=1.0) if late else Deadline()
            made = turn_spec(line.spec, at_ms=now_ms() - 5000, callback=callback, deadline=deadline)
            before = line.unended()
            if before and refuse:
                self.refused(self.store.accept(made, busy="refuse"), errors.SessionBusy)
                return
            for _ in range(1 + twice):
                accepted = self.call(self.store.accept(made, busy="wait"))
                assert accepted.created
                assert not (accepted.hint and before)
            job = self.jobs[made.id] = Known(made)
            line.jobs.append(job)
            self.touched.add(made.id)

    @precondition(lambda self: any(line.unended() for line in self.there()))
    @rule(which=ANY, ends=st.booleans(), twice=st.booleans())
    def run_the_first(self, which: int, ends: bool, twice: bool) -> None:
        lines = [line for line in self.there() if line.unended()]
        job = lines[which % len(lines)].unended()[0]
        self.touched.add(job.spec.id)
        self.note_claim(job, twice=False)
        if not ends or not job.claims:
            return
        claim = job.claims[-1]
        if claim.fence == job.fence:
            over = ended(claim, "succeeded")
            delivery = callback_of(over)
            for _ in range(1 + twice):
                last = self.call(self.store.end(claim.fence, over, delivery=delivery, ready=self.note_hint))
            self.note_end(job, "succeeded", last, delivery)

    @precondition(lambda self: self.turns())
    @rule(which=ANY)
    def take_the_session(self, which: int) -> None:
        line = next(line for line in self.lines[which % len(self.lines) :] + self.lines if line.unended())
        for job in line.unended():
            if not job.claims:
                continue
            (reply,) = self.call(self.sessions.take([candidate(job.claims[-1])]))
            if not line.there:
                assert reply == "gone"
            elif not job.holds(job.claims[-1]):
                assert reply == "stale"
            elif job is not line.unended()[0]:
                assert not isinstance(reply, str)
                assert getattr(reply, "before", 0) == line.unended().index(job)
            else:
                assert getattr(reply, "fence", 0) > 0

    @precondition(lambda self: self.there())
    @rule(which=ANY, twice=st.booleans(), really=SELDOM)
    def delete_session(self, which: int, twice: bool, really: bool) -> None:
        if not really:
            return
        line = self.there()[which % len(self.there())]
        self.call(self.sessions.delete(line.spec.id))
        if twice:
            self.refused(self.sessions.delete(line.spec.id), errors.SessionNotFound)
            self.call(self.connection.run("session_delete", keys.session(line.spec.id), line.spec.id))
        line.there = False
        for job in line.unended():
            job.wish_to_cancel = True

    @precondition(lambda self: self.there())
    @rule(which=ANY, really=SELDOM)
    def session_expires(self, which: int, really: bool) -> None:
        if not really:
            return
        line = self.there()[which % len(self.there())]
        self.call(self.connection.call("DEL", keys.session(line.spec.id), keys.line(line.spec.id)))
        line.there = False

    @rule()
    def much_time_passes(self) -> None:
        """All are looked at; leases are held on to. Whoever can go on is hinted or in the backlog of its owner."""
        unleased = [job for job in self.live() if not job.leased]
        self.call(
            self.connection.calls(
                ("ZADD", keys.pending(ids.shard_of(job.spec.id, keys.JOB_PREFIX)), "XX", LONG_AGO, job.spec.id)
                for job in unleased
            )
        )
        first = [line.unended()[0] for line in self.there() if line.unended()]
        before = self.call(self.turns_of(unleased))
        hinted = {job_id for job_id, _ in self.call(self.store.overdue())}
        after = self.call(self.turns_of(unleased))
        for job in unleased:
            turn = after[job.spec.id]
            assert (job.spec.id in hinted) == (turn not in (b"0", b"session")), turn
            if turn == b"session":
                assert job not in first
                assert not job.late
                assert any(job in line.jobs for line in self.there())
            elif before[job.spec.id] == b"session":
                assert job.late or not any(job in line.jobs for line in self.there())

    @invariant()
    def nobody_waits_for_nobody(self) -> None:
        """The first of a line does not wait for it; the others do, unless they were claimed or may wait no longer."""
        self.call(self.compare_lines())

    async def compare_lines(self) -> None:
        turns = await self.turns_of(self.turns())
        for job in (self.jobs[job_id] for job_id in self.hinted):
            assert (job.status, job.claims, turns[job.spec.id]) == ("queued", [], b"1")
            assert any(line.there and line.unended()[0] is job for line in self.lines if job in line.jobs)
        self.hinted.clear()
        there = self.there()
        found = await self.connection.calls(("ZRANGE", keys.line(line.spec.id), 0, -1) for line in there)
        for line, in_store in zip(there, found, strict=True):
            unended = line.unended()
            assert [id_.decode() for id_ in in_store] == [job.spec.id for job in unended]
            if unended:
                assert turns[unended[0].spec.id] != b"session"
            for job in unended[1:]:
                assert turns[job.spec.id] == b"session" or job.late or job.claims
        kept = await self.connection.calls(
            ("SMEMBERS", f"{keys.tag(shard)}:waiting:normal:{owner}") for shard in SHARDS for owner in OWNERS
        )
        waiting = {job_id.encode() for job_id, turn in turns.items() if turn == b"session"}
        assert set().union(*kept) == waiting


def test_no_order_of_calls_stops_a_session(settings: Settings) -> None:
    class OnThisStore(SessionProtocol):
        base = settings

    run_state_machine_as_test(
        OnThisStore,
        settings=hypothesis.settings(
            max_examples=10,
            stateful_step_count=50,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
