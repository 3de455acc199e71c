"""The gateway process: its composition root, and how it starts and drains."""

import asyncio
import secrets
import signal
import socket
import sys

import structlog
from litestar import Litestar, Response, route
from litestar.exceptions import HTTPException

from conversations.archives import archive_of
from gateway import audio, deliveries, health, jobs, metrics, openapi, problems, sessions, usage
from gateway.access import key_guard, needs
from gateway.desk import Desk
from gateway.hub import Hub
from gateway.openai import chat, models
from gateway.openai.models import Models
from gateway.origins import origin_guard
from gateway.pressure import Pressure
from gateway.requests import READ
from gateway.server import listen, server
from gateway.submission import Submission
from gateway.turns import routes as turns
from jobs import errors, logs, process
from jobs.dispatch import Dispatch, Enclosures, celery_app
from jobs.settings import Settings
from jobs.store.access_keys import AccessKeys
from jobs.store.circuits import Circuits
from jobs.store.connection import Connection
from jobs.store.dead_letters import DeadLetters
from jobs.store.deliveries import Outbox
from jobs.store.durability import StrictConnection, warn_of_weaknesses
from jobs.store.events import EventLog
from jobs.store.jobs import JobStore
from jobs.store.listing import Listing
from jobs.store.presence import Presence
from jobs.store.recordings import Recordings
from jobs.store.sessions import Sessions
from jobs.store.usage import UsageTotals
from prompts import registry
from prompts.registry import Registry

LAST_WORDS_S = 2.0
"""Of `drain_s`, what is kept for telling those streams that they end which could not end by themselves."""
_log = structlog.get_logger(__name__)


class Gateway:
    """Everything one gateway process owns."""

    def __init__(self, settings: Settings, prompts: Registry) -> None:
        """Must be made within the event loop that serves. Raises `errors.ConfigurationError`."""
        self._connection = Connection(settings.redis_url, timeout=settings.store_timeout_s)
        self._strict = (
            StrictConnection(
                settings.redis_url, timeout=settings.store_timeout_s, replicas=settings.durability_replicas
            )
            if settings.durability == "strict"
            else None
        )
        app = celery_app(settings)
        self._dispatch = Dispatch(app)
        self.hub = Hub(EventLog(self._connection, settings), secrets.token_hex(8))
        store = JobStore(self._connection, settings, accepting=self._strict)
        self._settings = settings
        submission = Submission(settings, prompts)
        desk = Desk(
            submission=submission,
            store=store,
            pressure=Pressure(store, settings.queue_age_s),
            listing=Listing(self._connection, settings),
            outbox=Outbox(self._connection, settings),
            hub=self.hub,
            dispatch=self._dispatch,
            enclosures=Enclosures(app) if settings.one_redis else None,
            max_body_bytes=settings.max_body_bytes,
            recordings=Recordings(self._connection),
            max_audio_bytes=settings.max_audio_bytes,
        )
        self._archive = archive_of(settings, self._connection)
        job_types = openapi.job_types(prompts)

        keys = AccessKeys(self._connection, settings.key_secret) if settings.api_keys == "required" else None
        guards = [key_guard(keys) if keys else origin_guard(settings)]

        @route("/v1/job-types", http_method=READ, operation_id="list_job_types", guards=guards, opt=needs("jobs:read"))
        async def list_job_types() -> Response[bytes]:
            """Every job type with the JSON Schemas of its input and output."""
            return Response(job_types, media_type=jobs.JSON)

        self.app = Litestar(
            route_handlers=[
                jobs.router(desk, guards),
                audio.router(store, settings.data_dir / "audio", guards),
                list_job_types,
                sessions.router(desk, Sessions(self._connection, settings), self._archive, guards),
                turns.router(desk, Sessions(self._connection, settings), guards),
                chat.router(desk, guards),
                models.router(Models(settings, submission, Circuits(self._connection)), guards),
                deliveries.router(DeadLetters(self._connection, settings), guards, settings.max_body_bytes),
                usage.router(UsageTotals(self._connection, settings), guards),
                health.router(self.hub, Presence(self._connection)),
                metrics.router(store, Presence(self._connection), Circuits(self._connection), guards),
                *openapi.routes(prompts),
            ],
            exception_handlers={
                errors.RingbackError: problems.ours,
                HTTPException: problems.litestars,
                Exception: problems.unexpected,
            },
            openapi_config=None,
            request_max_body_size=None,  # the one route that reads a body has its own limit
            logging_config=None,
        )

    async def check_store(self) -> None:
        """Warns of what may lose jobs, as soon as the store can be asked."""
        await warn_of_weaknesses(self._connection, self._settings)

    async def aclose(self) -> None:
        """Closes what the process holds open."""
        await asyncio.to_thread(self._dispatch.close)
        await self._archive.aclose()
        await self._connection.aclose()
        if self._strict is not None:
            await self._strict.aclose()


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then drains: streams end with a hint to reconnect, requests finish.

    Raises `errors.ConfigurationError` before it starts if the settings, the prompts or the address cannot be used.
    """
    logs.configure(settings, "gateway")
    process.raise_file_limit()
    prompts = registry.load(settings.prompts_dir)
    listener = listen(settings.host, settings.port)
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(settings, prompts, listener))
    else:
        uvloop.run(_serve(settings, prompts, listener))


async def _serve(settings: Settings, prompts: Registry, listener: socket.socket) -> None:
    gateway = Gateway(settings, prompts)
    http = server(gateway.app, settings)

    def drain() -> None:
        _log.info("draining")
        gateway.hub.drain(max(0.0, settings.drain_s - LAST_WORDS_S))
        http.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain)
    process.settle()
    checking = asyncio.create_task(gateway.check_store())
    hub = asyncio.create_task(gateway.hub.run())
    hub.add_done_callback(lambda task: drain() if not task.cancelled() else None)
    _log.info("gateway_starting", host=settings.host, port=listener.getsockname()[1])
    await http.serve(sockets=[listener])
    crashed = hub.done()
    hub.cancel()
    checking.cancel()
    await asyncio.gather(hub, checking, return_exceptions=True)
    await gateway.aclose()
    _log.info("gateway_stopped")
    if crashed:
        _log.critical("hub_died", exc_info=hub.exception())
        sys.exit(1)
