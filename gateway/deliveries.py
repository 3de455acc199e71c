"""The routes of deliveries: the dead letters, and replays of one or of many."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import get_args

import msgspec
from litestar import Response, Router, post, route
from litestar.datastructures import MultiDict
from litestar.params import FromPath
from litestar.types import Guard

from gateway import requests
from gateway.access import needs, sees
from gateway.requests import READ, AnyRequest
from jobs import errors
from jobs.store.dead_letters import DeadLetters
from jobs.store.deliveries import DeliveryStatus

JSON = "application/json"
_FILTERS = ("status", "destination", "since", "limit", "cursor")
_STATUSES = ", ".join(get_args(DeliveryStatus))
_UNKNOWN = re.compile(r"unknown field `([^`]*)`")


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which deliveries to replay; at least one of these."""

    since: datetime | None = None
    """Made then or later; with a time zone."""
    status: DeliveryStatus | None = None
    """`failed` if not given."""
    destination: str | None = None
    """Those that go there, or for a URL, below it."""


_request = msgspec.json.Decoder(ReplayRequest)


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries got a new round of attempts."""

    replayed: int


def router(dead_letters: DeadLetters, guards: Sequence[Guard], max_body_bytes: int) -> Router:
    """The routes below `/v1/deliveries`, open to whom `guards` let through."""

    @route("/", http_method=READ, operation_id="list_dead_letters", opt=needs("jobs:read"))
    async def dead(request: AnyRequest) -> Response[bytes]:
        """List deliveries by status, newest first."""
        params = request.query_params
        _check_names(params)
        page = await dead_letters.page(
            owner=sees(request),
            status=_status(params.get("status")),
            destination=params.get("destination") or None,
            since_ms=requests.since_ms(params),
            limit=requests.page_limit(params),
            cursor=params.get("cursor") or None,
        )
        return Response(msgspec.json.encode(page), media_type=JSON)

    @post("/{delivery_id:str}/replay", operation_id="replay_delivery", status_code=202, opt=needs("deliveries:write"))
    async def replay(delivery_id: FromPath[str], request: AnyRequest) -> Response[bytes]:
        """Replay a delivery."""
        found = await dead_letters.replay(delivery_id, owner=sees(request))
        return Response(msgspec.json.encode(found), media_type=JSON, status_code=202)

    @post("/replay", operation_id="replay_deliveries", status_code=202, opt=needs("deliveries:write"))
    async def replay_all(request: AnyRequest) -> Response[bytes]:
        """Replay many deliveries."""
        asked = _replay_request(await requests.body(request, max_body_bytes))
        replayed = await dead_letters.replay_all(
            owner=sees(request),
            status=asked.status or "failed",
            destination=asked.destination,
            since_ms=_milliseconds(asked.since) if asked.since else None,
        )
        return Response(msgspec.json.encode(Replayed(replayed=replayed)), media_type=JSON, status_code=202)

    return Router("/v1/deliveries", route_handlers=[dead, replay, replay_all], guards=guards)


def _check_names(params: MultiDict[str]) -> None:
    for name in params:
        if name not in _FILTERS:
            raise errors.InvalidRequest.at(f"query:{name[:64]}", f"unknown; known: {', '.join(_FILTERS)}")


def _status(given: str | None) -> DeliveryStatus:
    for status in get_args(DeliveryStatus):
        if given == status:
            return status  # type: ignore[no-any-return]  # get_args gives the literals themselves
    if given:
        raise errors.InvalidRequest.at("query:status", f"must be one of {_STATUSES}")
    return "failed"


def _replay_request(body: bytes) -> ReplayRequest:
    try:
        body.decode()
        asked = _request.decode(body)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        unknown = _UNKNOWN.search(what)
        field = unknown[1] if unknown else place.rstrip("`")
        detail = f"must be one of {_STATUSES}" if field == "status" else what
        raise errors.InvalidRequest.at(f"#/{field}" if field else "#", detail) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.InvalidJson(f"The body is not valid JSON: {error}.") from error
    if asked == ReplayRequest():
        raise errors.InvalidRequest.at("#", "needs at least one of since, status and destination")
    if asked.since is not None and asked.since.tzinfo is None:
        raise errors.InvalidRequest.at("#/since", "must be a time with its zone, such as 2026-11-22T09:30:00Z")
    return asked


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
