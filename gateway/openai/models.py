"""The models that can be named here: routes, aliases, and the targets that the settings mention."""

import time
from collections.abc import Sequence
from typing import Literal

import msgspec
import structlog
from litestar import Response, Router, route
from litestar.types import Guard

from gateway.access import needs
from gateway.requests import READ, AnyRequest
from gateway.submission import Submission
from jobs import errors
from jobs.model import split_model
from jobs.routes import Route
from jobs.settings import Settings
from jobs.store.circuits import Circuits, CircuitState

_PATH = "/v1/models"
_log = structlog.get_logger(__name__)


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    """What Ringback tells besides."""

    targets: tuple[str, ...]
    """`provider/model` that are asked, in their order."""
    circuits: tuple[CircuitState, ...] | None
    """Of those targets, as far as they have ever failed; `null`: not known, for the store did not answer."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What can stand in `model`."""

    id: str
    object: Literal["model"] = "model"
    created: int
    """Unix time, seconds: when this process learned of it."""
    owned_by: str
    """The provider; `ringback` for routes and aliases."""
    ringback: Extension


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `GET /v1/models`."""

    object: Literal["list"] = "list"
    data: tuple[Model, ...]


class Models:
    """What can be named here."""

    def __init__(self, settings: Settings, submission: Submission, circuits: Circuits) -> None:
        """`submission` knows where names lead."""
        self._submission = submission
        self._circuits = circuits
        self._created = int(time.time())
        routes = [Route.of(listed) for listed in settings.routes.values()]
        named = (
            *(*settings.routes, *settings.aliases, settings.default_model),
            *(target for one in routes for target in one.targets),
            *settings.targets,
        )
        self._names = tuple(name for name in dict.fromkeys(named) if self._leads_somewhere(name))
        self._own = frozenset((*settings.routes, *settings.aliases))

    def _leads_somewhere(self, name: str) -> bool:
        try:
            self._submission.resolve(name, "#/model")
        except errors.InvalidRequest:
            return False
        return True

    async def all(self) -> ModelList:
        """Every model that the settings name and whose provider is on."""
        circuits = await self._known_circuits()
        return ModelList(data=tuple(self._model(name, circuits) for name in self._names))

    async def get(self, name: str) -> Model:
        """The model of that name, also one that the settings do not mention. Raises `errors.UnknownModel`."""
        self._submission.resolve(name, "#/model")
        return self._model(name, await self._known_circuits())

    def _model(self, name: str, circuits: Sequence[CircuitState] | None) -> Model:
        targets = self._submission.resolve(name, "#/model").targets
        known = None if circuits is None else tuple(circuit for circuit in circuits if circuit.target in targets)
        return Model(
            id=name,
            created=self._created,
            owned_by="ringback" if name in self._own else split_model(name)[0],
            ringback=Extension(targets=targets, circuits=known),
        )

    async def _known_circuits(self) -> list[CircuitState] | None:
        try:
            return await self._circuits.all()
        except errors.StoreUnavailable:
            _log.info("circuits_unknown")
            return None


def router(models: Models, guards: Sequence[Guard]) -> Router:
    """`/v1/models` and what is below, open to whom `guards` let through."""

    @route("/", http_method=READ, operation_id="list_models", opt=needs("jobs:read"))
    async def list_models() -> Response[bytes]:
        """List models."""
        return Response(msgspec.json.encode(await models.all()), media_type="application/json")

    @route("/{model_id:path}", http_method=READ, operation_id="get_model", opt=needs("jobs:read"))
    async def read(request: AnyRequest) -> Response[bytes]:
        """Read a model."""
        # Not as a path parameter: names are no file paths, and may hold what those lose.
        name = request.scope["path"].removeprefix(f"{_PATH}/")
        return Response(msgspec.json.encode(await models.get(name)), media_type="application/json")

    return Router(_PATH, route_handlers=[list_models, read], guards=guards)
