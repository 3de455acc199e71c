"""Whether this process lives, and whether jobs can be accepted and are being run."""

import msgspec
from litestar import Response, Router, route

from gateway.hub import Hub
from gateway.requests import READ
from jobs import errors
from jobs.store.presence import Presence


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `/health/ready`."""

    status: str
    """`ready`: jobs are accepted and run; `no_worker`: they are accepted and wait for a worker."""
    workers: int
    """Worker processes that have lately proved that they consume."""


def router(hub: Hub, presence: Presence) -> Router:
    """The routes below `/health`."""

    @route("/live", http_method=READ, operation_id="health_live")
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "live"}

    @route("/ready", http_method=READ, operation_id="health_ready")
    async def ready() -> Response[Health]:
        """Jobs can be accepted. 503 while the store is unavailable or the process drains.

        Without workers this is still 200: accepted jobs wait, and taking gateways out of service would help nobody.
        """
        if hub.draining:
            raise errors.ShuttingDown
        workers = await presence.count()
        return Response(Health(status="ready" if workers else "no_worker", workers=workers))

    return Router("/health", route_handlers=[live, ready])
