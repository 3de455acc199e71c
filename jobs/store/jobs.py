"""The job records: accept, claim, renew, append, end, release, cancel, read. One Lua script per transition."""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from jobs import errors, ids
from jobs.event import Event
from jobs.job import (
    Job,
    JobSpec,
    Priority,
    Status,
    TerminalStatus,
    terminal_event,
    view,
)
from jobs.model import ModelCall
from jobs.settings import Settings
from jobs.store import keys, listing, usage
from jobs.store.appends import Appends
from jobs.store.connection import Call, Connection
from jobs.store.deliveries import NewDelivery

IDEMPOTENCY_S = 24 * 3600
HINT_AGAIN_S = 5.0
"""A job still pending so long after its hint was sent gets another one, if the queue is short."""
BACKLOG_LOOK_S = 60.0
"""How often a job that waits for its turn is looked at, should its turn have got lost."""
MOST_IN_SESSION = 256
"""Jobs that may wait in one session's line: all of them are in one shard, which has others to serve."""
_LOOKED_AT = 4 * MOST_IN_SESSION
INDEXED_METADATA = 32
"""Of a job's metadata, the first so many top-level scalars can be searched for."""

FULL_RETRY_S = 10
"""What callers are asked to wait when the queue is full."""
_NO_LIMIT = 2**31
_json = msgspec.json.Encoder()
_spec = msgspec.json.Decoder(JobSpec)
_calls = msgspec.json.Decoder(tuple[ModelCall, ...])


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a submission."""

    job_id: str
    created: bool
    """False: the same request was accepted earlier under the same idempotency key."""
    hint: bool = False
    """A hint is due now, unless it was enclosed; otherwise the job waits for its turn."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A job that this process holds under a fence; without the fence nothing of it can be written."""

    verdict: Literal["run", "expired", "exhausted", "cancelled"]
    """`run`: go ahead. Otherwise the holder must end the job so, without running it."""
    spec: JobSpec
    fence: int
    attempt: int
    started_ms: int | None
    target: str
    last_event: int
    """Id of the last event in the job's log."""
    calls: tuple[ModelCall, ...] = ()
    """Calls to models by earlier attempts that handed the job back."""
    next_id: str = ""
    """The job whose turn it is now and which needs a hint, of the same priority; empty if there is none."""

    def view(self, status: Status, **fields: Any) -> Job:
        """The Job in that state under this claim; `fields` as in `jobs.job.view`."""
        known: dict[str, Any] = {"attempt": self.attempt, "started_ms": self.started_ms, "target": self.target}
        return view(self.spec, status=status, **known | fields)


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job stands, without its content."""

    status: Status
    fence: int
    attempt: int
    last_event: int
    calls: tuple[ModelCall, ...] = ()
    """While it is queued or runs: calls to models by earlier attempts that handed it back."""


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _indexes(spec: JobSpec) -> list[str]:
    metadata: dict[str, Any] = msgspec.json.decode(spec.metadata)
    found = (listing.metadata_index(key, value) for key, value in metadata.items())
    narrow = [name for name in found if name][:INDEXED_METADATA]
    if spec.session_id:
        narrow.append(f"session:{spec.session_id}")
    names = ["all", f"type:{spec.type}", "status:queued", *narrow]
    if spec.owner:
        names += [listing.owned(spec.owner, name) for name in ("", *narrow)]
    return names


class JobStore:
    """The records of all jobs."""

    def __init__(self, connection: Connection, settings: Settings, *, accepting: Connection | None = None) -> None:
        """Reads shards, retention, lease and limits from `settings`; `accepting`: what new jobs are stored over."""
        self._connection = connection
        self._settings = settings
        self._accepting = accepting or connection
        self._appends = Appends(connection)

    # Gateway

    def new_id(self, idempotency_scope: str | None, *, session_id: str | None = None) -> str:
        """An id for a new job; requests under one idempotency key get ids of one shard.

        So do the jobs of one session, whatever their idempotency keys: give those the session's id in their scope.
        Raises `errors.NotFound` if `session_id` is no session's id.
        """
        if session_id is not None:
            return ids.new(keys.JOB_PREFIX, ids.shard_of(session_id, keys.SESSION_PREFIX))
        shards = self._settings.shards
        shard = time.monotonic_ns() % shards if idempotency_scope is None else ids.shard_for(idempotency_scope, shards)
        return ids.new(keys.JOB_PREFIX, shard)

    async def accept(
        self,
        spec: JobSpec,
        *,
        idempotency: tuple[str, bytes] | None = None,
        watcher: str = "",
        hint: tuple[str, str] = ("", ""),
        busy: Literal["wait", "refuse"] | None = None,
    ) -> Accepted:
        """Stores a new job, ready to be claimed.

        `idempotency` is the key with its scope (the one given to `new_id`) and the request's body; `watcher` is the
        gateway process that wants the job's events pushed from the start; `hint` is a list of the broker's and what to
        push onto it, if the store is the broker too. `busy`: the job takes a turn in its session, of whose shard its id
        must be, and waits there for those before it, without a hint and so without a worker's slot, or is refused if
        there are any.
        Raises `errors.IdempotencyKeyReused`, `errors.SessionNotFound`, `errors.SessionBusy`, `errors.QueueFull`,
        `errors.TooManyQueued`, `errors.StoreUnavailable`.
        """
        scope, body = idempotency or ("", b"")
        start_s = spec.deadline.start_s or self._settings.timeouts.start_s
        reply = await self._accepting.run(
            "accept",
            keys.job(spec.id),
            spec.id,
            _json.encode(spec),
            spec.priority,
            spec.targets[0],
            spec.owner,
            spec.created_ms + _ms(start_s) if start_s else 0,
            _ms(HINT_AGAIN_S),
            _ms(BACKLOG_LOOK_S),
            -(-self._settings.queue_limit // self._settings.shards),
            -(-self._settings.queue_limit_per_key // self._settings.shards) if spec.owner else _NO_LIMIT,
            watcher,
            *hint,
            hashlib.sha256(scope.encode()).hexdigest() if scope else "",
            hashlib.sha256(body).hexdigest(),
            _ms(IDEMPOTENCY_S),
            *self._kept_in_indexes(spec.created_ms),
            (spec.session_id or "") if busy else "",
            int(busy == "refuse"),
            MOST_IN_SESSION,
            *_indexes(spec),
        )
        match reply[0]:
            case b"reused":
                raise errors.IdempotencyKeyReused
            case b"full":
                raise errors.QueueFull(retry_after=FULL_RETRY_S)
            case b"line_full":
                raise errors.TooManyQueued(retry_after=FULL_RETRY_S)
            case b"gone":
                raise errors.SessionNotFound
            case b"busy":
                raise errors.SessionBusy
            case b"session_full":
                raise errors.SessionBusy(f"There are {MOST_IN_SESSION} turns of this session already that wait.")
        return Accepted(job_id=reply[1].decode(), created=reply[0] != b"same", hint=reply[0] == b"hinted")

    def _kept_in_indexes(self, now_ms: int) -> tuple[str, int]:
        """The oldest id that indexes keep at `now_ms`, and the milliseconds for which an index lasts unchanged."""
        kept_ms = 2 * _ms(self._settings.job_retention_s)
        return ids.floor(keys.JOB_PREFIX, now_ms - kept_ms), kept_ms

    async def get(self, job_id: str, *, owner: str | None = None) -> bytes:
        """The Job as JSON. Raises `errors.JobNotFound` and `errors.StoreUnavailable`.

        With `owner` (an API key's id) only a job of that owner is there.
        """
        found = (await listing.read(self._connection, [job_id], owner=owner))[0]
        if found is None:
            raise errors.JobNotFound
        return found

    async def state(self, job_id: str, *, owner: str | None = None) -> State:
        """Where the job stands; `owner` as in `get`. Raises `errors.JobNotFound` and `errors.StoreUnavailable`."""
        (status, fence, attempt, events, owned_by, calls), newest = await self._connection.calls(
            [
                # Once the job has ended its hash knows the last event, for the log goes sooner.
                ("HMGET", keys.job(job_id), "status", "fence", "attempt", "events", "owner", "calls"),
                ("XREVRANGE", keys.events(job_id), "+", "-", "COUNT", 1),
            ]
        )
        if status is None or (owner is not None and (owned_by or b"").decode() != owner):
            raise errors.JobNotFound
        last = int(newest[0][0].partition(b"-")[0]) if newest else int(events or 0)
        return State(
            status=status.decode(),
            fence=int(fence),
            attempt=int(attempt),
            last_event=last,
            calls=_calls.decode(calls) if calls else (),
        )

    async def unended(self) -> dict[str, int]:
        """How many jobs are queued, and how many run. Raises `errors.StoreUnavailable`."""
        shards = range(self._settings.shards)
        kinds = ("queued", "running")
        found = await self._connection.calls(
            ("ZCARD", keys.index(shard, f"status:{kind}")) for kind in kinds for shard in shards
        )
        return {kind: sum(found[nth * len(shards) : (nth + 1) * len(shards)]) for nth, kind in enumerate(kinds)}

    async def longest_queued_s(self) -> float:
        """How long the oldest queued job has waited for a worker, in seconds. Raises `errors.StoreUnavailable`."""
        calls = (Call(keys.index(shard, "status:queued"), (_LOOKED_AT,)) for shard in range(self._settings.shards))
        found = await self._connection.run_many("oldest_queued", calls)
        since = [ids.made_ms(job_id.decode()) for job_id, _ in found if job_id]
        since += [int(ready_ms) for _, ready_ms in found if ready_ms]
        return max(0.0, time.time() - min(since) / 1000) if since else 0.0

    async def spec(self, job_id: str) -> JobSpec | None:
        """What was accepted; `None` if the job is gone or has ended. Raises `errors.StoreUnavailable`."""
        found = await self._connection.call("HGET", keys.job(job_id), "spec")
        return None if found is None else _spec.decode(found)

    async def request_cancel(self, job_id: str) -> bool:
        """Asks the running worker to cancel. False: the job has ended or is gone. Raises `errors.StoreUnavailable`."""
        return bool(await self._connection.run("cancel", keys.job(job_id)))

    # Worker

    async def claim(self, job_id: str, token: str) -> Claim | None:
        """Claims a job for one attempt; `None`: there is nothing to do. Raises `errors.StoreUnavailable`.

        `token` is unique to the call; a call repeated with it gets the same claim.
        """
        reply = await self._connection.run(
            "claim",
            keys.job(job_id),
            job_id,
            token,
            _ms(self._settings.lease_s),
            self._settings.max_attempts,
            _ms(HINT_AGAIN_S),
        )
        if len(reply) == 1:
            return None
        verdict, spec, fence, attempt, started, target, events, calls, next_id = reply
        return Claim(
            verdict=verdict.decode(),
            spec=_spec.decode(spec),
            fence=int(fence),
            attempt=int(attempt),
            started_ms=int(started) if started else None,
            target=target.decode(),
            last_event=int(events),
            calls=_calls.decode(calls) if calls else (),
            next_id=next_id.decode(),
        )

    async def append(self, claim: Claim, events: Iterable[Event], *, last_event: int, target: str = "") -> int:
        """Appends events to the job's log, exactly once, however often the call is repeated; the new last event's id.

        `last_event` is the id that the caller got last; `target` is set when another `provider/model` is asked now.
        Raises `errors.StaleFence` and `errors.StoreUnavailable`.
        """
        flat: list[str | bytes] = []
        for event in events:
            flat += (event.name, event.data)
        last = await self._appends.append(
            keys.job(claim.spec.id), (claim.spec.id, claim.fence, last_event, target, len(flat) // 2, *flat)
        )
        if last < 0:
            raise errors.StaleFence
        return last

    async def end(
        self,
        claim_fence: int,
        job: Job,
        *,
        delivery: NewDelivery | None = None,
        deliver_after_s: float = 0.0,
        required: Literal["", "queued"] = "",
        events: Sequence[Event] = (),
        ready: Callable[[str, Priority], None] | None = None,
    ) -> int:
        """Ends a job in `job.status` with its terminal event and callback, all or nothing; the terminal event's id.

        `events` are appended right before the terminal one.
        `deliver_after_s`: seconds for which the caller keeps the delivery to itself. Repeating the call is harmless.
        `ready` is given the job whose turn it is now in the same session and which needs a hint; without it that one
        waits until hints are sent again.
        Raises `errors.StaleFence` if another holds the job, or it is not in the `required` state;
        `errors.JobAlreadyEnded`; `errors.StoreUnavailable`.
        """
        status: TerminalStatus = job.status  # type: ignore[assignment]  # terminal_event rejects any other
        reply = await self._connection.run(
            "end",
            keys.job(job.id),
            job.id,
            claim_fence,
            required,
            job.status,
            _json.encode(job),
            terminal_event(status),
            _ms(self._settings.job_retention_s),
            _ms(self._settings.event_retention_s),
            *self._kept_in_indexes(int(time.time() * 1000)),
            _ms(deliver_after_s),
            job.error.code if job.error else "",
            _ms(self._settings.usage_retention_s),
            _ms(HINT_AGAIN_S),
            _ms(BACKLOG_LOOK_S),
            len(events),
            *(part for event in events for part in (event.name, event.data)),
            *usage.counted(job),
            *(delivery.stored() if delivery else ("",)),
        )
        if reply[0] == b"stale":
            raise errors.StaleFence
        if reply[0] == b"ended":
            raise errors.JobAlreadyEnded
        _, last, next_id, priority = reply
        if next_id and ready:
            ready(next_id.decode(), priority.decode())
        return int(last)

    async def announce(self, claim: Claim, delivery: NewDelivery, *, deliver_after_s: float) -> bool:
        """Puts the callback of an event that ends nothing into the outbox; `deliver_after_s` as in `end`.

        False: it is there already, from an earlier attempt.

        Raises `errors.StaleFence` and `errors.StoreUnavailable`.
        """
        reply = await self._connection.run(
            "announce",
            keys.job(claim.spec.id),
            claim.spec.id,
            claim.fence,
            _ms(deliver_after_s),
            *delivery.stored(),
        )
        if reply < 0:
            raise errors.StaleFence
        return bool(reply)

    async def renew(self, held: Mapping[str, int], *, extend: bool) -> dict[str, Literal["ok", "cancel", "stale"]]:
        """How the jobs that this process runs (id to fence) stand; with `extend` their leases are renewed too.

        Raises `errors.StoreUnavailable`.
        """
        lease = _ms(self._settings.lease_s) if extend else 0
        replies = await self._connection.run_many(
            "renew", (Call(keys.job(job_id), (job_id, fence, lease)) for job_id, fence in held.items())
        )
        return {job_id: reply.decode() for job_id, reply in zip(held, replies, strict=True)}

    async def release(self, claim: Claim, calls: Sequence[ModelCall] = ()) -> None:
        """Hands a running job back for anyone to claim at once; `calls` are all calls to models so far.

        Raises `errors.StaleFence`, `errors.StoreUnavailable`.
        """
        job_id, made = claim.spec.id, _json.encode(calls) if calls else ""
        if await self._connection.run("release", keys.job(job_id), job_id, claim.fence, _ms(HINT_AGAIN_S), made) < 0:
            raise errors.StaleFence

    async def any_overdue(self) -> bool:
        """Whether `overdue` would look at any job now; nothing is taken. Raises `errors.StoreUnavailable`."""
        shards = range(self._settings.shards)
        return any(await self._connection.run_many("any_overdue", (Call(keys.pending(shard), ()) for shard in shards)))

    async def overdue(self, *, limit: int = 100) -> list[tuple[str, Priority]]:
        """Jobs that need a hint: pending too long, or their lease ran out. Each is given to one caller only.

        `limit` is per shard. Raises `errors.StoreUnavailable`.
        """
        args = (limit, _ms(HINT_AGAIN_S), _ms(3 * HINT_AGAIN_S), _ms(BACKLOG_LOOK_S))
        shards = range(self._settings.shards)
        replies = await self._connection.run_many("overdue", (Call(keys.pending(shard), args) for shard in shards))
        return [(reply[i].decode(), reply[i + 1].decode()) for reply in replies for i in range(0, len(reply), 2)]
