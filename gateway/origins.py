"""Who may call where API keys are off: programs, and web pages of this server. Not other sites' pages in a browser."""

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from jobs import errors
from jobs.settings import Settings

_READING = ("GET", "HEAD", "OPTIONS")


def origin_guard(settings: Settings) -> Guard:
    """A guard that keeps out the pages of other sites, which a browser lets send anything to loopback.

    The `Host` must be one that no stranger's domain can have: a page may not read what is answered to another site,
    but its own domain can be made to resolve to this machine (DNS rebinding). A request that changes something must
    not come from another origin. Programs send none of the headers of browsers and pass.
    """
    known = frozenset(name.rstrip(".").lower() for name in (settings.host, *settings.allowed_hosts))

    async def check(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        host = connection.headers.get("host", "")
        if not _is_ours(host, known):
            raise errors.HostNotAllowed(
                f"API keys are off, and Host: {host[:255]} is none of this server's names;"
                " add it to RINGBACK_ALLOWED_HOSTS or set RINGBACK_API_KEYS=required."
            )
        if connection.scope.get("method") in _READING:  # a WebSocket has none
            return
        site, origin = connection.headers.get("sec-fetch-site"), connection.headers.get("origin")
        if site not in (None, "same-origin", "none"):
            raise _cross_site(f"Sec-Fetch-Site: {site}")
        if site is None and origin is not None and origin.partition("://")[2].lower() != host.lower():
            raise _cross_site(f"Origin: {origin}")

    return check


def _is_ours(host: str, known: frozenset[str]) -> bool:
    """Whether no stranger can own that name: an address, a name without a dot, one that the operator knows."""
    if not host:
        return True  # HTTP/1.0: no browser
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if name in known or name.endswith(".localhost") or (name and "." not in name and ":" not in name):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _cross_site(header: str) -> errors.CrossSiteRequest:
    return errors.CrossSiteRequest(
        f"{header[:255]} says that a web page of another site sent this, and API keys are off;"
        " call from a program or a page of this server, or set RINGBACK_API_KEYS=required."
    )
