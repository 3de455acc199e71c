"""The route of usage: what was used, by day, API key and model."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import msgspec
from litestar import Response, Router, route
from litestar.datastructures import MultiDict
from litestar.types import Guard

from gateway.access import needs, sees
from gateway.requests import READ, AnyRequest
from jobs import errors
from jobs.store.usage import GROUPS, Group, UsageTotals

JSON = "application/json"
DAYS = 30
"""Of a report that does not say since when."""
MOST_DAYS = 400
_PARAMETERS = ("since", "until", "group_by")


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query of `GET /v1/usage`."""

    since: date
    until: date
    """Included."""
    group_by: tuple[Group, ...]


def router(totals: UsageTotals, guards: Sequence[Guard]) -> Router:
    """The route `/v1/usage`, open to whom `guards` let through."""

    @route("/", http_method=READ, operation_id="get_usage", opt=needs("jobs:read"))
    async def usage(request: AnyRequest) -> Response[bytes]:
        """What was used."""
        query = usage_query(request.query_params, datetime.now(UTC).date())
        report = await totals.report(query.since, query.until, group_by=query.group_by, owner=sees(request))
        return Response(msgspec.json.encode(report), media_type=JSON)

    return Router("/v1/usage", route_handlers=[usage], guards=guards)


def usage_query(params: MultiDict[str], today: date) -> UsageQuery:
    """The days and groups asked for; `today` is the UTC day. Raises `errors.InvalidRequest`."""
    for name in params:
        if name not in _PARAMETERS:
            raise errors.InvalidRequest.at(f"query:{name[:64]}", f"unknown; known: {', '.join(_PARAMETERS)}")
    until = _day(params, "until") or today
    since = _day(params, "since") or date.fromordinal(max(1, until.toordinal() - DAYS + 1))
    if since > until:
        raise errors.InvalidRequest.at("query:since", f"must not be after until, which is {until}")
    if (until - since).days >= MOST_DAYS:
        raise errors.InvalidRequest.at("query:since", f"at most {MOST_DAYS} days up to until, which is {until}")
    return UsageQuery(since=since, until=until, group_by=_groups(params.get("group_by") or "day"))


def _day(params: MultiDict[str], name: str) -> date | None:
    given = params.get(name)
    if not given:
        return None
    try:
        return msgspec.convert(given, date)
    except msgspec.ValidationError:
        raise errors.InvalidRequest.at(f"query:{name}", "must be a UTC day such as 2026-11-22") from None


def _groups(given: str) -> tuple[Group, ...]:
    wanted = [name.strip() for name in given.split(",")]
    if unknown := [name for name in wanted if name not in GROUPS]:
        known = ", ".join(GROUPS)
        raise errors.InvalidRequest.at("query:group_by", f"{unknown[0][:64]!r} is none of {known}; several with commas")
    return tuple(group for group in GROUPS if group in wanted)
