"""Hints that carry job ids to workers through Celery. A hint may be lost or doubled: the store knows better.

The only module besides the workers that knows Celery.
"""

import queue
import threading
import time
from typing import Any

import structlog
from amqp.exceptions import ChannelError
from celery import Celery
from kombu import transport
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.transport import redis as redis_transport
from kombu.utils.json import dumps

from jobs.job import Priority
from jobs.settings import Settings

RUN_TASK = "ringback.run"
"""Its task id is the id of the job that is ready; it has no arguments."""
PROBE_TASK = "ringback.probe"
QUEUES: dict[Priority, str] = {"high": "jobs.high", "normal": "jobs.normal", "low": "jobs.low"}
"""In the order in which workers look at them."""

_UNSENT_LIMIT = 10_000
KEPT_S = 5.0
"""So long a hint that cannot be sent is kept; then sweepers send another one."""
_AGAIN_S = 0.1
_ID = "{id}"
"""Stands for the job's id in a message that is made once for all jobs."""
_log = structlog.get_logger(__name__)


class Channel(redis_transport.Channel):
    """Kombu's Redis channel makes a client object for every message that it puts or acknowledges; this one keeps it."""

    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)
        # A channel that has lost its connections gets a new pool, and then the client must be of that one.
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()
        return self._kept


class Transport(redis_transport.Transport):
    """Kombu's Redis transport with that channel.

    Kombu takes `client`, where the address is, from a transport whose connection was lost, and then closes its channels
    and acknowledges what still runs: without an address that ended the worker. So it is kept.
    """

    Channel = Channel
    _client: Any = None

    @property
    def client(self) -> Any:
        """The connection's settings."""
        return self._client

    @client.setter
    def client(self, client: Any) -> None:
        self._client = client or self._client


class BrokerConnection(Connection):
    """Kombu's connection, which is back within two seconds of its broker; by itself it waits up to half a minute."""

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        """As Kombu's."""
        pauses = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 2}
        return super().ensure_connection(*args, **pauses | options)


def _queues() -> list[Any]:
    make: Any = Queue
    return [make(name, routing_key=name) for name in QUEUES.values()]


def celery_app(settings: Settings) -> Celery:
    """The Celery app with everything that gateway and workers must agree on; it has no tasks yet."""
    redis = settings.broker.startswith(("redis", "rediss", "sentinel"))
    transport.TRANSPORT_ALIASES |= dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport")
    app = Celery("ringback", broker=settings.broker)
    app.amqp.Connection = BrokerConnection
    app.conf.update(
        task_queues=_queues(),
        task_default_queue=QUEUES["normal"],
        task_create_missing_queues=True,
        task_default_queue_type="classic" if redis else "quorum",
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # Without these a hung broker blocks a sender for ever.
        broker_transport_options={
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": not settings.broker.startswith("redis+socket"),
            "queue_order_strategy": "priority",
            # The broker need not keep what a worker has taken: a hint that dies with it is sent again by the sweeper.
            "ack_emulation": False,
            # Priorities have queues of their own; Kombu would look into four lists for each of them.
            "priority_steps": [0],
        }
        if redis
        else {},
        broker_connection_timeout=2,
    )
    return app


class Dispatch:
    """Sends hints from a thread of its own, so that no event loop waits for the broker."""

    def __init__(self, app: Celery) -> None:
        """`app` as `celery_app` makes it. The thread starts with the first hint."""
        self._app = app
        self._unsent: queue.Queue[tuple[str, Priority, float] | None] = queue.Queue(_UNSENT_LIMIT)
        self._thread: threading.Thread | None = None

    def send(self, job_id: str, priority: Priority) -> None:
        """Sends the hint that this job is ready, as soon as the broker takes it; never blocks and never fails."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_all, name="dispatch", daemon=True)
            self._thread.start()
        try:
            self._unsent.put_nowait((job_id, priority, time.monotonic() + KEPT_S))
        except queue.Full:
            _log.warning("hint_dropped", job_id=job_id, reason="broker too slow")

    def _send_all(self) -> None:
        producer: Any = None
        while (hint := self._unsent.get()) is not None:
            job_id, priority, latest = hint
            sent, reason = False, "too late"
            # Without a connection those that have waited too long for it are not worth a try: each takes a while.
            while not sent and (producer or time.monotonic() < latest):
                try:
                    producer = producer or self._app.amqp.Producer(self._app.connection_for_write())
                    _publish(self._app, producer, job_id, priority)
                    sent = True
                except Exception as error:  # noqa: BLE001  # whatever the transport raises, the sweeper hints again
                    producer, reason = None, type(error).__name__
                    time.sleep(_AGAIN_S)
            if not sent:
                _log.warning("hint_not_sent", job_id=job_id, reason=reason)

    def depth(self) -> int:
        """Hints that wait in the broker's queues, all priorities together. Blocks: call it in a thread.

        Raises the transport's own errors.
        """
        with self._app.connection_for_read() as connection:
            channel = connection.default_channel
            return sum(_waiting(channel, name) for name in QUEUES.values())

    def close(self) -> None:
        """Sends what is left, for a moment, and stops."""
        if self._thread is None:
            return
        try:
            self._unsent.put(None, timeout=2)
        except queue.Full:
            _log.warning("hints_dropped", count=self._unsent.qsize(), reason="broker too slow")
            return
        self._thread.join(timeout=2)


def _waiting(channel: Any, name: str) -> int:
    try:
        return int(channel.queue_declare(name, passive=True).message_count)
    except ChannelError:
        # Redis has no empty lists: a queue without messages does not exist.
        return 0


def _publish(app: Celery, producer: Any, job_id: str, priority: Priority) -> None:
    # What Celery's send_task comes to, without its routing, events and declarations: a third of the CPU.
    message = app.amqp.as_task_v2(job_id, RUN_TASK, ignore_result=True)
    producer.publish(
        message.body,
        exchange="",
        routing_key=QUEUES[priority],
        headers=message.headers,
        serializer="json",
        delivery_mode="persistent",
        **message.properties,
    )


class Enclosures:
    """Hints for a store that is the broker too: it puts them into the queue itself, in the script that accepts a job.

    Celery and Kombu make the message, once; each hint is a copy under its own id.
    """

    def __init__(self, app: Celery) -> None:
        """`app` as `celery_app` makes it."""
        with Connection("memory://") as connection:
            channel = connection.channel()
            producer = app.amqp.Producer(channel)
            self._messages = {priority: _message(app, producer, channel, priority) for priority in QUEUES}

    def of(self, job_id: str, priority: Priority) -> tuple[str, str]:
        """The Redis list and what to push onto it."""
        return QUEUES[priority], self._messages[priority].replace(_ID, job_id)


def _message(app: Celery, producer: Any, channel: Any, priority: Priority) -> str:
    _publish(app, producer, _ID, priority)
    message = channel.basic_get(QUEUES[priority], no_ack=True).serializable()
    message["properties"]["delivery_tag"] = _ID
    return str(dumps(message))
