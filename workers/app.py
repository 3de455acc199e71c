"""The worker process: Celery carries hints in, the runtime does the work."""

import os
import secrets
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import structlog
from celery import Celery, signals
from celery.exceptions import SecurityWarning
from celery.utils.nodenames import worker_direct

from jobs import logs, process
from jobs.dispatch import PROBE_TASK, QUEUES, RUN_TASK, Dispatch, celery_app
from jobs.settings import Settings
from prompts import registry
from workers.runtime import Runtime

_PRIORITIES = {name: priority for priority, name in QUEUES.items()}
_log = structlog.get_logger(__name__)


class HandOver:
    """What Celery does with a hint (its `Task.Strategy`): hands it to the runtime, on the thread that received it.

    Celery's own strategy would have a thread of its pool run the task: two more changes of thread for each job.
    """

    def __init__(self, runtime: Runtime) -> None:
        """`runtime` has the slots."""
        self._runtime = runtime

    def __call__(self, task: Any, app: Celery, consumer: Any) -> Callable[..., None]:
        """The handler of this task's messages."""
        lost = consumer.connection_errors

        def received(message: Any, *_: Any) -> None:
            priority = _PRIORITIES.get(message.delivery_info.get("routing_key"), "normal")
            if self._runtime.run(str(message.headers.get("id")), priority):
                message.ack_log_error(_log, lost)
            else:
                message.reject_log_error(_log, lost, requeue=True)

        return received


def build(settings: Settings, runtime: Runtime, app: Celery) -> Celery:
    """The Celery app with the worker's tasks and configuration."""
    app.conf.update(
        worker_pool="threads",
        worker_concurrency=1,  # for probes: hints stay on the thread that receives them
        worker_prefetch_multiplier=1,
        worker_direct=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        task_acks_late=True,
        task_track_started=False,
    )

    @app.task(name=RUN_TASK, ignore_result=True, Strategy=HandOver(runtime))
    def run_job() -> None:
        """Never called: `HandOver` takes the message."""

    @app.task(name=PROBE_TASK, ignore_result=True)
    def probe() -> None:
        runtime.probe.returned()

    return app


def run(settings: Settings) -> None:
    """Runs a worker until SIGTERM or SIGINT, then drains. Raises `errors.ConfigurationError` before it starts.

    Ends the process with exit code 1 if draining takes much longer than `drain_s`.
    """
    logs.configure(settings, "worker")
    process.raise_file_limit()
    prompts = registry.load(settings.prompts_dir)
    app = celery_app(settings)
    hostname = f"ringback@{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    dispatch = Dispatch(app)
    runtime = Runtime(settings, prompts, dispatch, hostname)
    build(settings, runtime, app)
    own_queue = worker_direct(hostname)

    def send_probe() -> None:
        app.send_task(PROBE_TASK, queue=own_queue, retry=False, ignore_result=True)

    def keep_logging(**_: Any) -> None:
        """Connected so that Celery leaves logging as it is."""

    def begin_drain(**_: Any) -> None:
        # Whatever hangs, this process ends: its leases run out and its jobs go elsewhere.
        watchdog = threading.Timer(settings.drain_s + 10, os._exit, (1,))
        watchdog.daemon = True
        watchdog.start()
        runtime.drain()

    # Running as root is discouraged for the sake of pickle, which this worker does not accept.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    signals.setup_logging.connect(keep_logging, weak=False)
    signals.worker_shutting_down.connect(begin_drain, weak=False)
    runtime.start(send_probe)
    _log.info("worker_starting", slots=settings.worker_slots, providers=settings.providers)
    worker = app.Worker(hostname=hostname, without_gossip=True, without_mingle=True, without_heartbeat=True, quiet=True)
    process.settle()
    worker.start()
    runtime.close()
    dispatch.close()
    _log.info("worker_stopped")
    # Celery's own exit path, without its atexit detours through multiprocessing.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(worker.exitcode or 0)
