"""Who may call: API keys, checked against the store on every request."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from jobs import errors
from jobs.store.access_keys import AccessKeys

_SCHEME = "bearer "


def key_guard(keys: AccessKeys) -> Guard:
    """A guard that lets only requests with a known key through and notes the key's id as the request's owner."""

    async def check(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        header = connection.headers.get("authorization", "")
        if header[: len(_SCHEME)].lower() != _SCHEME:
            raise errors.Unauthorized
        connection.state["owner"] = await keys.verify(header[len(_SCHEME) :].strip())

    return check
