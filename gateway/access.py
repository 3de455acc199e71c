"""Who may call, and what they may do: API keys with their scopes and limits, and whose jobs each of them sees."""

from typing import Any
from urllib.parse import urlsplit

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from gateway.requests import idempotency_key
from jobs import errors
from jobs.job import JobSpec
from jobs.store.access_keys import AccessKey, AccessKeys, Scope

_SCHEME = "bearer "
_STATE = "access_key"
_SCOPE, _SPENDS = "scope", "spends"


def needs(scope: Scope, *, spends: bool = False) -> dict[str, Any]:
    """The `opt` of a route that only keys with that scope open; `spends`: only if they have tokens left for the day."""
    return {_SCOPE: scope, _SPENDS: spends}


def key_guard(keys: AccessKeys) -> Guard:
    """A guard that lets only requests through whose key has the scope that the route `needs`, within its limits.

    A route that does not say what it needs is open to `admin` only.
    """

    async def check(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        header = connection.headers.get("authorization", "")
        if header[: len(_SCHEME)].lower() != _SCHEME:
            raise errors.Unauthorized
        spends = bool(handler.opt.get(_SPENDS))
        key = await keys.admit(header[len(_SCHEME) :].strip(), spends=spends)
        scope = handler.opt.get(_SCOPE, "admin")
        if not key.has(scope) and connection.scope.get("method") != "OPTIONS":
            raise errors.Forbidden.at(
                "header:Authorization", f"this needs an API key with the scope {scope}; this one has {_all(key.scopes)}"
            )
        connection.state[_STATE] = key

    return check


def key_of(request: Request[Any, Any, Any]) -> AccessKey | None:
    """The key that makes the request; `None` where keys are off."""
    found: AccessKey | None = request.state.get(_STATE)
    return found


def owner(request: Request[Any, Any, Any]) -> str:
    """Id of the key that makes the request, and owns the jobs that it submits; empty where keys are off."""
    key = key_of(request)
    return key.id if key else ""


def idempotency_scope(request: Request[Any, Any, Any]) -> str | None:
    """The request's `Idempotency-Key` together with its owner; `None` without one. Raises `errors.InvalidRequest`."""
    key = idempotency_key(request.headers.get("idempotency-key"))
    return f"{owner(request)}:{key}" if key else None


def sees(request: Request[Any, Any, Any]) -> str | None:
    """The owner whose jobs alone exist for this request; `None`: everybody's do."""
    key = key_of(request)
    return None if key is None or key.has("admin") else key.id


def check_job(request: Request[Any, Any, Any], spec: JobSpec) -> None:
    """Raises `errors.Forbidden` if the request's key may not submit that job."""
    key = key_of(request)
    if key is None:
        return
    if key.types and spec.type not in key.types:
        raise errors.Forbidden.at("#/type", f"this API key may submit only {_all(key.types)}, not {spec.type}")
    callback = spec.callback
    if callback is None:
        return
    by_url = callback.url is not msgspec.UNSET
    called = urlsplit(callback.destination).hostname or "" if by_url else callback.destination
    if not key.may_call_back(called):
        raise errors.Forbidden.at(
            "#/callback/url" if by_url else "#/callback",
            f"this API key may have only {_all(key.callback_hosts)} called back, not {called}",
        )


def _all(names: tuple[str, ...]) -> str:
    return ", ".join(names)
