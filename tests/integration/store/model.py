"""The model that the protocol is held against: what jobs and deliveries are after the calls that were made."""

from collections import defaultdict
from collections.abc import Mapping

from jobs import ids
from jobs.job import TERMINAL, JobSpec, Status
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.deliveries import DeliveryStatus
from jobs.store.jobs import Claim

MOST_ATTEMPTS = 3


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
        self.watched: set[str] = set()
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


class Posted:
    """What the model knows of one delivery."""

    def __init__(self) -> None:
        self.status: DeliveryStatus = "pending"
        self.attempts = self.round = 0


async def turns_add_up(connection: Connection, jobs: Mapping[str, Known]) -> None:
    """Asserts that turns that count are those of queued jobs, and that whoever waits for one comes after somebody."""
    live = [id_ for id_, job in jobs.items() if not job.over]
    turns = await connection.calls(("HGET", keys.job(id_), "turn") for id_ in live)
    lines: dict[tuple[str, str], dict[bytes, bytes | None]] = defaultdict(dict)
    for job in jobs.values():  # lines whose jobs have all ended too
        lines[keys.tag(ids.shard_of(job.spec.id, keys.JOB_PREFIX)), f"normal:{job.spec.owner}"] = {}
    for id_, turn in zip(live, turns, strict=True):
        lines[keys.tag(ids.shard_of(id_, keys.JOB_PREFIX)), f"normal:{jobs[id_].spec.owner}"][id_.encode()] = turn
    found = await connection.calls(
        command
        for tag, line in lines
        for command in (("GET", f"{tag}:turns:{line}"), ("LRANGE", f"{tag}:backlog:{line}", 0, -1))
    )
    for taken, backlog, members in zip(found[::2], found[1::2], lines.values(), strict=True):
        waiting = {id_ for id_, turn in members.items() if turn == b"0"}
        assert int(taken or 0) == list(members.values()).count(b"1")
        assert waiting <= set(backlog)
        assert taken or not waiting
