"""The outbox: callbacks to be delivered, when to try them next, and every attempt that was made."""

from collections.abc import Mapping
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
        return cls(
            id=ids.new(keys.DELIVERY_PREFIX, shard, at_ms=at_ms),
            webhook_id=ids.new(keys.MESSAGE_PREFIX, shard, at_ms=at_ms),
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
            status,
            int(next_s * 1000),
            int(self._settings.delivery_retention_s * 1000),
        )

    async def of_job(self, job_id: str) -> list[Delivery]:
        """The job's deliveries with their attempts, oldest first. Raises as `EventLog.read` does."""
        redis = self._connection.redis
        found = [id_.decode() for id_ in await self._connection.do(redis.lrange(keys.deliveries(job_id), 0, -1))]
        shard = ids.shard_of(job_id, keys.JOB_PREFIX)
        async with self._connection.bounded():
            pipeline = redis.pipeline(transaction=False)
            for id_ in found:
                pipeline.hgetall(keys.delivery(id_))
                pipeline.lrange(keys.attempts(id_), 0, -1)
                pipeline.zscore(keys.due(shard), id_)
            rows = await pipeline.execute()
        return [
            _delivery(id_, rows[3 * i], rows[3 * i + 1], rows[3 * i + 2]) for i, id_ in enumerate(found) if rows[3 * i]
        ]


def _due(id_: str, fields: Mapping[bytes, bytes]) -> Due:
    return Due(
        id=id_,
        job_id=fields[b"job_id"].decode(),
        webhook_id=fields[b"webhook_id"].decode(),
        sequence=int(fields[b"sequence"]),
        destination=fields[b"destination"].decode(),
        body=fields[b"body"],
        tries=int(fields[b"tries"]),
    )


def _delivery(id_: str, fields: Mapping[bytes, bytes], attempts: list[bytes], next_ms: float | None) -> Delivery:
    return Delivery(
        id=id_,
        job_id=fields[b"job_id"].decode(),
        webhook_id=fields[b"webhook_id"].decode(),
        event=fields[b"event"].decode(),
        sequence=int(fields[b"sequence"]),
        destination=fields[b"destination"].decode(),
        status=fields[b"status"].decode(),  # type: ignore[arg-type]  # the scripts write no other
        created_at=moment(int(fields[b"created"])),
        next_attempt_at=moment(int(next_ms)) if next_ms is not None else None,
        attempts=[msgspec.json.decode(attempt, type=Attempt) for attempt in attempts],
    )
