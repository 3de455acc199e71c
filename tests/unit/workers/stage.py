"""A stage on which jobs are answered: everything from the claim to the output, but for Celery and other processes."""

from typing import Any

import msgspec

from jobs import errors
from jobs.addresses import AddressPolicy
from jobs.job import JobSpec
from jobs.settings import Settings, Timeouts
from jobs.store.connection import Connection
from jobs.store.events import EventLog
from jobs.store.jobs import JobStore
from prompts import registry
from providers.registry import Services
from providers.routing.router import Router
from providers.routing.target import Targets
from tests.integration.store.sample import claimed, spec
from tests.unit.providers.routing.room import Calm
from workers.answering import Answering
from workers.images import Images
from workers.narrator import Narrator
from workers.progress import Progress

PROMPTS = registry.load()


class Run:
    """What came of one run."""

    def __init__(self, progress: Progress, log: list[tuple[str, dict[str, Any]]], target: str) -> None:
        self.output, self.usage, self.target = progress.output, progress.usage, target
        self.log = log
        self.names = [name for name, _ in log]
        self.error: errors.RingbackError | None = None

    @property
    def text(self) -> str:
        """What a listener has at the end: a reset makes void what came before."""
        text = ""
        for name, data in self.log:
            text = "" if name == "stream.reset" else text + data["text"] if name == "text.delta" else text
        return text


class Stage:
    """Runs jobs on the services of `settings`, with their logs in a real store."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self.store, self._log = JobStore(connection, settings), EventLog(connection, settings)
        self._services, self._images = Services(settings), Images(AddressPolicy.of(settings))
        router = Router(Targets(self._services, {}, Calm(), Calm()))
        self._answering = Answering(PROMPTS, router, Timeouts(first_token_s=30, stall_s=30), self._images)

    async def aclose(self) -> None:
        """Closes what was opened."""
        await self._services.aclose()
        await self._images.aclose()

    async def run(self, *targets: str, asks: Any = None, **fields: Any) -> Run:
        """Runs a job with these targets to its end, which may be an error. A bare model is one of `fake/`."""
        raw = msgspec.Raw(msgspec.json.encode(asks or {"prompt": "안녕"}))
        made: JobSpec = spec(input=raw, targets=tuple(map(_target, targets)), **fields)
        await self.store.accept(made)
        claim = await claimed(self.store, made.id)
        narrator, progress = Narrator(self.store, claim), Progress()
        error = None
        try:
            async with narrator:
                await self._answering.run(claim.spec, narrator, progress)
        except errors.RingbackError as raised:
            error = raised
        found = await self._log.read(made.id, 1)
        run = Run(progress, [(event.name, msgspec.json.decode(event.data)) for event in found], narrator.target)
        run.error = error
        public = msgspec.json.decode(await self.store.get(made.id))
        assert public["model"] == narrator.target
        return run


def _target(name: str) -> str:
    return name if "/" in name.partition("?")[0] else f"fake/{name}"
