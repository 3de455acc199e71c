"""`/metrics` for Prometheus: what this deployment does now, read from the store at each scrape."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from litestar import Response, Router, route
from litestar.types import Guard
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.access import needs
from gateway.requests import READ
from jobs.store.circuits import Circuits, CircuitState
from jobs.store.jobs import JobStore
from jobs.store.presence import Presence


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What is told at one scrape."""

    jobs: dict[str, int]
    """Jobs that have not ended, by status."""
    longest_queued_s: float
    workers: int
    circuits: Sequence[CircuitState]


class _Told(Collector):
    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterator[GaugeMetricFamily]:
        reading = self._reading
        yield _gauge("ringback_jobs", "Jobs that have not ended.", ["status"], _by_status(reading.jobs))
        waited = [((), reading.longest_queued_s)]
        yield _gauge("ringback_longest_queued_seconds", "How long the oldest queued job has waited.", [], waited)
        yield _gauge("ringback_workers", "Workers that consume.", [], [((), reading.workers)])
        yield _gauge(
            "ringback_circuit_open",
            "1: the target has failed too often and is left alone or probed. Those that never failed are missing.",
            ["target", "region"],
            [((circuit.target, circuit.region), circuit.state != "closed") for circuit in reading.circuits],
        )


def _by_status(jobs: dict[str, int]) -> list[tuple[tuple[str, ...], float]]:
    return [((status,), count) for status, count in jobs.items()]


def _gauge(
    name: str, documentation: str, labels: Sequence[str], samples: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def text(reading: Reading) -> bytes:
    """The reading in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Told(reading))
    return generate_latest(registry)


def router(store: JobStore, presence: Presence, circuits: Circuits, guards: Sequence[Guard]) -> Router:
    """The route `/metrics`, open to whom `guards` let through."""

    @route("/", http_method=READ, operation_id="metrics", opt=needs("jobs:read"))
    async def metrics() -> Response[bytes]:
        """Metrics for Prometheus."""
        jobs, longest_queued_s, workers, states = await asyncio.gather(
            store.unended(), store.longest_queued_s(), presence.count(), circuits.all()
        )
        reading = Reading(jobs=jobs, longest_queued_s=longest_queued_s, workers=workers, circuits=states)
        return Response(text(reading), media_type=CONTENT_TYPE_LATEST)

    return Router("/metrics", route_handlers=[metrics], guards=guards)
