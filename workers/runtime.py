"""What one worker process owns: an event loop in a thread of its own, and everything that runs on it."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

import structlog

from conversations.archiver import Archiver
from conversations.archives import archive_of
from conversations.lock import SessionLock
from conversations.memory.refinement import Memory
from jobs import errors, signing
from jobs.addresses import AddressPolicy
from jobs.destinations import Destinations
from jobs.dispatch import Dispatch
from jobs.job import Priority
from jobs.settings import Settings
from jobs.store.access_keys import TokenBudgets
from jobs.store.circuits import Circuits
from jobs.store.connection import Connection
from jobs.store.deliveries import Outbox
from jobs.store.durability import warn_of_weaknesses
from jobs.store.jobs import JobStore
from jobs.store.permits import Permits
from jobs.store.presence import Presence
from jobs.store.recordings import Recordings
from jobs.store.sessions import Sessions
from jobs.store.usage import UsageTotals
from prompts.registry import Registry
from providers.prices import Prices
from providers.registry import Services
from providers.routing.router import Router
from providers.routing.target import Targets
from speech import prices as speech_prices
from speech.registry import SpeechServices
from speech.storage import AudioStorage, BucketStorage, LocalStorage
from workers.answering import Answering
from workers.delivery import ATTEMPT_S, Deliverer
from workers.destinations.http import HttpSender
from workers.destinations.service import Sender
from workers.images import Images
from workers.kinds import Kinds
from workers.leases import Leases
from workers.listening import Listening
from workers.probe import Probe
from workers.recordings import RecordingReader
from workers.runner import Runner
from workers.speaking import Speaking
from workers.sweeper import Sweeper
from workers.turns.refinement import Refinements
from workers.turns.turn import Parts, Turns

STORE_TIMEOUT_S = 10.0
CLOSE_S = 5.0
CLAIMS_S = 2.0
"""So long a draining worker waits for the answers to its last claims."""
GIVE_BACK_S = 0.25
"""So long a hint waits for a slot of this worker."""
_log = structlog.get_logger(__name__)


class Runtime:
    """The worker's loop and the parts on it. Celery's thread hands jobs in with `run`."""

    def __init__(self, settings: Settings, prompts: Registry, dispatch: Dispatch, worker_id: str) -> None:
        """Raises `errors.ConfigurationError` if there is no usable signing secret."""
        self._settings = settings
        self._prompts = prompts
        self._dispatch = dispatch
        self._worker_id = worker_id
        signing.secret_bytes(settings.webhook_secret)
        self._destinations = Destinations(settings)
        self._loop = _new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="runtime", daemon=True)
        self._background: list[asyncio.Task[None]] = []
        self._slots = threading.Semaphore(settings.worker_slots)
        self._jobs: set[asyncio.Task[None]] = set()
        self._draining = False

    def start(self, send_probe: Callable[[], None]) -> None:
        """Starts the loop and its standing tasks; `send_probe` puts a probe task into this worker's own queue."""
        self._thread.start()
        self._submit(self._start(send_probe)).result()

    async def _start(self, send_probe: Callable[[], None]) -> None:
        settings = self._settings
        self._connection = Connection(settings.redis_url, timeout=STORE_TIMEOUT_S)
        store = JobStore(self._connection, settings)
        self._services = Services(settings)
        permits = Permits(self._connection)
        self._targets = Targets(self._services, settings.targets, Circuits(self._connection), permits)
        self._images = Images(AddressPolicy.of(settings))
        self._speech = SpeechServices(settings, permits)
        self._storage = _storage(settings)
        kept = Recordings(self._connection)
        self._recordings = RecordingReader(kept, AddressPolicy.of(settings), max_bytes=settings.max_audio_bytes)
        router = Router(self._targets)
        sessions = Sessions(self._connection, settings)
        self._archive = archive_of(settings, self._connection)
        self._archiver = Archiver(sessions, self._archive) if settings.history != "redis" else None
        self._lock = SessionLock(sessions, self._archiver)
        prices = Prices(settings.targets, speech_prices.LIST)
        budgets = TokenBudgets(self._connection)
        self._refinements = Refinements(
            Memory(sessions, self._archive, lease_s=settings.lease_s),
            router,
            settings.timeouts,
            prices,
            UsageTotals(self._connection, settings),
            budgets,
        )
        self._leases = Leases(store, settings.lease_s)
        self._deliverer = Deliverer(
            Outbox(self._connection, settings), _senders(settings, self._destinations), self._destinations
        )
        self._runner = Runner(
            settings,
            store,
            self._leases,
            Kinds(
                self._prompts,
                {
                    "answer": Answering(self._prompts, router, settings.timeouts, self._images),
                    "speak": Speaking(self._prompts, self._speech, self._storage),
                    "transcribe": Listening(self._prompts, self._speech, self._recordings),
                    "turn": Turns(
                        Parts(
                            prompts=self._prompts,
                            router=router,
                            targets=self._targets,
                            timeouts=settings.timeouts,
                            speech=self._speech,
                            recordings=self._recordings,
                            images=self._images,
                            storage=self._storage,
                            lock=self._lock,
                            refinements=self._refinements,
                        )
                    ),
                },
            ),
            self._deliverer,
            self._dispatch,
            budgets,
            kept,
            prices,
        )
        self.probe = Probe(Presence(self._connection), self._worker_id, settings.worker_slots)
        for standing in (
            warn_of_weaknesses(self._connection, settings),
            self._leases.keep(),
            self._deliverer.keep_delivering(),
            Sweeper(store, self._dispatch).keep_sweeping(),
            self._targets.keep_informed(),
            self._services.warm_up(),
            self._speech.warm_up(),
            self._storage.keep_tidy(),
            *([self._archiver.keep_archiving()] if self._archiver else []),
            self.probe.keep_probing(send_probe, lambda: len(self._leases), _give_up),
        ):
            task = asyncio.create_task(standing)
            task.add_done_callback(_must_not_end)
            self._background.append(task)

    def run(self, job_id: str, priority: Priority) -> bool:
        """Has the job run, if there is anything to do for it. For Celery's thread.

        Waits a moment for a slot. False: there was none, or this worker drains; the hint is for another one.
        """
        if self._draining:
            time.sleep(GIVE_BACK_S)  # this worker may still be taking messages: not round and round
            return False
        if not self._slots.acquire(timeout=GIVE_BACK_S):
            return False
        self._loop.call_soon_threadsafe(self._begin, job_id, priority)
        return True

    def _begin(self, job_id: str, priority: Priority) -> None:
        if self._draining:
            self._slots.release()
            self._dispatch.send(job_id, priority)
            return
        task = self._loop.create_task(self._runner.run(job_id))
        self._jobs.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        self._slots.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its lease runs out, and then the job is tried again.
            _log.error("attempt_crashed", exc_info=error)

    def drain(self) -> None:
        """Takes nothing more; within `drain_s` every job has ended or was handed back. Returns at once."""
        if not self._draining:
            self._draining = True
            _log.info("draining", running=len(self._leases), limit_s=self._settings.drain_s)
            self._submit(self._drain())

    async def _drain(self) -> None:
        await self._leases.drain(self._settings.drain_s)
        # Those that were just being claimed; with the store away they would be for ever.
        latest = self._loop.time() + CLAIMS_S
        while self._jobs and self._loop.time() < latest:
            await asyncio.wait(self._jobs, timeout=0.05)
            await self._leases.drain(0)
        for task in self._jobs:
            task.cancel()

    def close(self) -> None:
        """Finishes deliveries under way, closes everything and stops the loop."""
        self._draining = True
        self._submit(self._close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _close(self) -> None:
        await self._drain()
        for task in self._background:
            task.cancel()
        await asyncio.wait(self._background, timeout=CLOSE_S)
        await self._deliverer.aclose(limit_s=CLOSE_S)
        await self._refinements.aclose(limit_s=CLOSE_S)
        await self._lock.aclose()
        if self._archiver is not None:
            await self._archiver.aclose()
        await self._archive.aclose()
        await self._targets.aclose()
        await self._services.aclose()
        await self._images.aclose()
        await self._recordings.aclose()
        await self._speech.aclose()
        await self._storage.aclose()
        try:
            await self.probe.withdraw()
        except errors.StoreUnavailable:
            _log.warning("probe_not_withdrawn")
        await self._connection.aclose()

    def _submit(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)


def _senders(settings: Settings, destinations: Destinations) -> dict[str, Sender]:
    """One for each kind of destination that there is here; the libraries for the others are not loaded."""
    senders: dict[str, Sender] = {"http": HttpSender(AddressPolicy.of(settings), destinations, ATTEMPT_S)}
    if any(named.slack_webhook or named.slack_token for named in settings.destinations.values()):
        from workers.destinations.slack import SlackSender

        senders["slack"] = SlackSender(settings.destinations, ATTEMPT_S)
    if any(named.database_url for named in settings.destinations.values()):
        from workers.destinations.database import DatabaseSender

        senders["database"] = DatabaseSender(settings.destinations, ATTEMPT_S)
    return senders


def _storage(settings: Settings) -> AudioStorage:
    """Where audio waits for whoever asked for a link to it: for as long as the events of its job do."""
    kept_s = settings.event_retention_s
    if settings.s3_bucket:
        return BucketStorage(settings.s3_bucket, kept_s=kept_s)
    return LocalStorage(settings.data_dir / "audio", kept_s=kept_s)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _give_up() -> None:
    """Ends this process so that whoever supervises it starts a fresh one; its jobs are handed back on the way."""
    os.kill(os.getpid(), signal.SIGTERM)


def _must_not_end(task: asyncio.Task[None]) -> None:
    """A standing task that dies of a bug would leave a worker that looks well: better to be restarted."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("standing_task_died", exc_info=error)
        _give_up()
