"""The outbox: callbacks to be delivered, when to try them next, and every attempt that was made."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from jobs import ids
from jobs.job import Job, JobEvent, moment
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Call, Connection

DeliveryStatus = Literal["pending", "delivered", "failed"]
EXCERPT_BYTES = 4096
"""Of a response's body, so much is kept in the log."""
ATTEMPTS_KEPT = 100
"""The newest attempts at a delivery that are kept: more than nine rounds of the schedule."""
ROUND_S = 5 * 86_400
"""A round of attempts is over after so many seconds at the most."""


class CallbackBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is POSTed to the caller."""

    type: JobEvent
    timestamp: datetime
    data: Job


class NewDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A callback to be put into the outbox."""

    id: str
    webhook_id: str
    event: JobEvent
    destination: str
    """As `jobs.job.Callback.destination` spells it."""
    created_ms: int
    body: bytes
    sequence: int = 0

    @classmethod
    def of(cls, job: Job, event: JobEvent, *, at_ms: int, sequence: int = 0) -> "NewDelivery | None":
        """The callback for `event` of `job`; `None` if the caller did not ask for it.

        `at_ms`: Unix milliseconds. `sequence`: the event's id in the job's log; the terminal event's is filled in when
        it gets one.
        """
        if job.callback is None or event not in job.callback.events:
            return None
        shard = ids.shard_of(job.id, keys.JOB_PREFIX)
        timestamp = moment(at_ms)
        assert timestamp is not None  # noqa: S101 - narrows the type only
        # Whichever attempt tells that the job has started tells the same: that event has its ids from the job.
        same = job.id.partition("_")[2] if event is JobEvent.STARTED else ids.unprefixed(shard, at_ms=at_ms)
        return cls(
            id=f"{keys.DELIVERY_PREFIX}_{same}",
            webhook_id=f"{keys.MESSAGE_PREFIX}_{same}",
            event=event,
            destination=job.callback.destination,
            created_ms=at_ms,
            body=msgspec.json.encode(CallbackBody(type=event, timestamp=timestamp, data=job)),
            sequence=sequence,
        )

    def stored(self) -> tuple[str | bytes | int, ...]:
        """Its id and the fields of its hash, as the scripts take them."""
        return (
            self.id,
            *("webhook_id", self.webhook_id, "event", self.event, "destination", self.destination),
            *("created", self.created_ms, "body", self.body, "sequence", self.sequence),
        )


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a delivery."""

    number: int
    at: datetime
    status_code: int | None
    """`None`: no answer came."""
    duration_ms: int
    response_excerpt: str
    error: str | None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as callers see it."""

    id: str
    job_id: str
    webhook_id: str
    event: str
    sequence: int
    destination: str
    status: DeliveryStatus
    created_at: datetime | None
    next_attempt_at: datetime | None
    attempts: list[Attempt]


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery leased to this process for one attempt."""

    id: str
    job_id: str
    webhook_id: str
    sequence: int
    destination: str
    body: bytes
    tries: int
    """Attempts made before this one."""
    round: int = 0
    """How often it was replayed: each time the schedule starts anew."""
    earlier: int = 0
    """Of the attempts made, those of earlier rounds."""
    began_ms: int = msgspec.field(default_factory=lambda: int(time.time() * 1000))
    """When the round began; Unix milliseconds."""

    @classmethod
    def fresh(cls, new: NewDelivery, job_id: str, sequence: int) -> "Due":
        """The first attempt at what was just put into the outbox."""
        return cls(
            id=new.id,
            job_id=job_id,
            webhook_id=new.webhook_id,
            sequence=sequence,
            destination=new.destination,
            body=new.body,
            tries=0,
            began_ms=new.created_ms,
        )


class Outbox:
    """The deliveries of all jobs."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        """Reads shards and retention from `settings`."""
        self._connection = connection
        self._settings = settings

    async def take(self, *, limit: int, lease_s: float) -> list[Due]:
        """Deliveries whose time has come, each leased to this caller only; `limit` is per shard.

        One that is not settled within `lease_s` is due again. Raises `errors.StoreUnavailable`.
        """
        args = (limit, int(lease_s * 1000))
        shards = range(self._settings.shards)
        replies = await self._connection.run_many("take", (Call(keys.due(shard), args) for shard in shards))
        return [
            _due(reply[i].decode(), dict(zip(reply[i + 1][::2], reply[i + 1][1::2], strict=True)))
            for reply in replies
            for i in range(0, len(reply), 2)
        ]

    async def settle(self, due: Due, attempt: Attempt, *, status: DeliveryStatus, next_s: float = 0.0) -> None:
        """Records an attempt; with status `pending` the next one is due in `next_s` seconds.

        Raises `errors.StoreUnavailable`.
        """
        await self._connection.run(
            "settle",
            keys.delivery(due.id),
            due.id,
            msgspec.json.encode(attempt),
            due.round,
            status,
            int(next_s * 1000),
            int(self._settings.delivery_retention_s * 1000),
            *kept_in_indexes(self._settings),
            ATTEMPTS_KEPT,
        )

    async def postpone(self, deliveries: Iterable[tuple[Due, float]]) -> None:
        """Puts deliveries back that were taken but not tried; each is due again in so many seconds.

        Those that were settled or tried meanwhile stay as they are. Raises `errors.StoreUnavailable`.
        """
        kept = kept_in_indexes(self._settings)
        await self._connection.run_many(
            "postpone",
            (
                Call(keys.delivery(due.id), (due.id, due.tries, int(pause_s * 1000), *kept))
                for due, pause_s in deliveries
            ),
        )

    async def of_job(self, job_id: str) -> list[Delivery]:
        """The job's deliveries with their attempts, oldest first. Raises as `EventLog.read` does."""
        found = await self._connection.call("LRANGE", keys.deliveries(job_id), 0, -1)
        return [d for d in await read(self._connection, [id_.decode() for id_ in found]) if d is not None]


def kept_in_indexes(settings: Settings) -> tuple[str, int]:
    """The oldest id that indexes of deliveries keep now, and the milliseconds for which one lasts unchanged."""
    kept_ms = 2 * int((settings.delivery_retention_s + ROUND_S) * 1000)
    return ids.floor(keys.DELIVERY_PREFIX, int(time.time() * 1000) - kept_ms), kept_ms


async def read(connection: Connection, delivery_ids: Sequence[str]) -> list[Delivery | None]:
    """The deliveries with their attempts; `None` for one that is not there.

    Raises `errors.NotFound` for what is no delivery's id, and `errors.StoreUnavailable`.
    """
    rows = await connection.calls(
        command
        for id_ in delivery_ids
        for command in (
            ("HMGET", keys.delivery(id_), *_FIELDS),
            ("LRANGE", keys.attempts(id_), 0, -1),
            ("ZSCORE", keys.due(ids.shard_of(id_, keys.DELIVERY_PREFIX)), id_),
        )
    )
    return [_delivery(id_, *rows[3 * i : 3 * i + 3]) for i, id_ in enumerate(delivery_ids)]


_FIELDS = ("job_id", "webhook_id", "event", "sequence", "destination", "status", "created")


def _due(id_: str, fields: Mapping[bytes, bytes]) -> Due:
    return Due(
        id=id_,
        job_id=fields[b"job_id"].decode(),
        webhook_id=fields[b"webhook_id"].decode(),
        sequence=int(fields[b"sequence"]),
        destination=fields[b"destination"].decode(),
        body=fields[b"body"],
        tries=int(fields[b"tries"]),
        round=int(fields.get(b"round", 0)),
        earlier=int(fields.get(b"earlier", 0)),
        began_ms=int(fields.get(b"began", fields[b"created"])),
    )


def _delivery(
    id_: str, fields: Sequence[bytes], attempts: Sequence[bytes], next_ms: bytes | float | None
) -> Delivery | None:
    if None in fields:
        return None
    job_id, webhook_id, event, sequence, destination, status, created = (field.decode() for field in fields)
    return Delivery(
        id=id_,
        job_id=job_id,
        webhook_id=webhook_id,
        event=event,
        sequence=int(sequence),
        destination=destination,
        status=status,  # type: ignore[arg-type]  # the scripts write no other
        created_at=moment(int(created)),
        next_attempt_at=moment(int(float(next_ms))) if next_ms is not None else None,
        attempts=[msgspec.json.decode(attempt, type=Attempt) for attempt in attempts],
    )
