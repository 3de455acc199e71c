"""Names of the Redis keys. Every key carries its shard as a hash tag, so that each script stays within one slot."""

from jobs import ids

JOB_PREFIX = "job"
DELIVERY_PREFIX = "dlv"
MESSAGE_PREFIX = "msg"
SESSION_PREFIX = "ses"


def tag(shard: int) -> str:
    """What the keys of one shard start with. The scripts derive every other key of a job from it."""
    return f"rb:{{{shard:02d}}}"


def job(job_id: str) -> str:
    """Hash: the job's record. Raises `errors.NotFound` if `job_id` is no job's id."""
    return f"{tag(ids.shard_of(job_id, JOB_PREFIX))}:job:{job_id}"


def events(job_id: str) -> str:
    """Stream: the job's event log; entry `N-0` is event N."""
    return f"{tag(ids.shard_of(job_id, JOB_PREFIX))}:events:{job_id}"


def wire(shard: int, gateway_id: str) -> str:
    """Sharded pub/sub channel: the events of all jobs of a shard that one gateway process watches."""
    return f"{tag(shard)}:wire:{gateway_id}"


def pending(shard: int) -> str:
    """Sorted set: every job that has not ended, scored by when to look at it again (Unix ms)."""
    return f"{tag(shard)}:pending"


def due(shard: int) -> str:
    """Sorted set: every delivery that is not settled, scored by when to try it (Unix ms)."""
    return f"{tag(shard)}:due"


def delivery(delivery_id: str) -> str:
    """Hash: one delivery. Raises `errors.NotFound` if `delivery_id` is no delivery's id."""
    return f"{tag(ids.shard_of(delivery_id, DELIVERY_PREFIX))}:delivery:{delivery_id}"


def attempts(delivery_id: str) -> str:
    """List: the attempts at a delivery, oldest first, as JSON."""
    return f"{tag(ids.shard_of(delivery_id, DELIVERY_PREFIX))}:attempts:{delivery_id}"


def deliveries(job_id: str) -> str:
    """List: ids of the job's deliveries, oldest first."""
    return f"{tag(ids.shard_of(job_id, JOB_PREFIX))}:deliveries:{job_id}"


def index(shard: int, name: str) -> str:
    """Sorted set without scores: job ids in order of time, e.g. `all`, `status:failed`, `meta:ticket=4711`."""
    return f"{tag(shard)}:index:{name}"


def usage(shard: int, day: str) -> str:
    """Hash: what each API key used of each model on that UTC day (`YYYY-MM-DD`)."""
    return f"{tag(shard)}:usage:{day}"


def session(session_id: str) -> str:
    """Hash: a session. Raises `errors.NotFound` if `session_id` is no session's id."""
    return f"{tag(ids.shard_of(session_id, SESSION_PREFIX))}:session:{session_id}"


def line(session_id: str) -> str:
    """Sorted set: the jobs that take turns in a session, in order of arrival."""
    return f"{tag(ids.shard_of(session_id, SESSION_PREFIX))}:line:{session_id}"


def history(session_id: str) -> str:
    """Sorted set without scores: ids of the messages of a session. Raises `errors.NotFound` as `session` does."""
    return f"{tag(ids.shard_of(session_id, SESSION_PREFIX))}:history:{session_id}"


def message(message_id: str) -> str:
    """String: one message, as JSON. Raises `errors.NotFound` if `message_id` is no message's id."""
    return f"{tag(ids.shard_of(message_id, MESSAGE_PREFIX))}:message:{message_id}"


def unarchived(shard: int) -> str:
    """Sorted set: ids of messages that are not in the archive yet, scored by when to put them there (Unix ms)."""
    return f"{tag(shard)}:unarchived"
