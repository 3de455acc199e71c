"""The named destinations of ringback.toml: which one a callback belongs to, and who signs it."""

import functools
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from jobs import signing
from jobs.settings import Destination, Settings

_PORTS = {"http": 80, "https": 443}


class _Place(msgspec.Struct, frozen=True):
    """What a URL is compared by."""

    origin: str
    path: str
    """Without a slash at its end."""


class Destinations:
    """Looks destinations up."""

    def __init__(self, settings: Settings) -> None:
        """Raises `errors.ConfigurationError` for a `webhook_previous_secret` that is none."""
        self._named = settings.destinations
        self._secret = settings.webhook_secret
        self._previous = settings.webhook_previous_secret
        if self._previous:
            signing.secret_bytes(self._previous, "RINGBACK_WEBHOOK_PREVIOUS_SECRET")
        by_length = sorted(self._named.items(), key=lambda entry: len(entry[1].url.rstrip("/")), reverse=True)
        self._urls = [(name, destination.url) for name, destination in by_length if destination.url]
        self._slack_bot = next((name for name, destination in self._named.items() if destination.slack_token), "")
        self._signers: dict[str, signing.Signer] = {}

    def name_of(self, destination: str) -> str:
        """The name of the one that `destination` (as in `Callback.destination`) belongs to; empty: none.

        For a URL the one whose `url` is its longest beginning: the same origin, and a path up to a slash.
        """
        kind, _, rest = destination.partition(":")
        if kind == "database":
            return rest
        if kind == "slack":
            place, _, name = rest.partition(":")
            return name if place == "webhook" else self._slack_bot
        return next((name for name, url in self._urls if covers(url, destination)), "")

    def of(self, destination: str) -> Destination:
        """What holds for callbacks to `destination`; the defaults if it belongs to no named one."""
        return self._named.get(self.name_of(destination), _UNNAMED)

    def key(self, destination: str) -> str:
        """What callbacks that share one limit and one breaker have in common.

        The named destination, if it is a URL's; else the URL's origin; a Slack channel or a database stands for itself.
        """
        if destination.startswith(("slack:", "database:")):
            return destination
        name = self.name_of(destination)
        return f"destinations.{name}" if name else origin(destination)

    def signer(self, url: str) -> signing.Signer:
        """Who signs callbacks to `url`. Raises `errors.ConfigurationError` if there is no usable secret."""
        name = self.name_of(url)
        if name not in self._signers:
            self._signers[name] = self._new_signer(name, self._named.get(name, _UNNAMED))
        return self._signers[name]

    def _new_signer(self, name: str, destination: Destination) -> signing.Signer:
        secrets: Mapping[str, str] = {
            f"destinations.{name}.secret": destination.secret,
            "RINGBACK_WEBHOOK_SECRET": "" if destination.secret else self._secret,
            f"destinations.{name}.previous_secret": destination.previous_secret,
            "RINGBACK_WEBHOOK_PREVIOUS_SECRET": "" if destination.secret else self._previous,
        }
        keys = [signing.secret_bytes(secret, setting) for setting, secret in secrets.items() if secret]
        if not keys:
            signing.secret_bytes(self._secret)
        seed = signing.signing_key_bytes(destination.signing_key) if destination.signing_key else None
        return signing.Signer(keys, seed)


_UNNAMED = Destination()


def covers(beginning: str, url: str) -> bool:
    """Whether `url` is `beginning` or lies below it: the same origin, and a path that goes on after a slash."""
    above, below = _place(beginning), _place(url)
    if above is None or below is None or above.origin != below.origin:
        return False
    return below.path == above.path or below.path.startswith(above.path + "/")


def origin(url: str) -> str:
    """Scheme, host and port of `url`, such as `https://orders.example:443`; `url` itself if it is not one."""
    place = _place(url)
    return place.origin if place else url


@functools.lru_cache(maxsize=1024)
def _place(url: str) -> _Place | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not parts.hostname:
        return None
    host = parts.hostname.rstrip(".").lower()
    path = parts.path.rstrip("/")
    # Where dots lead is for the client to say: such a path lies below nothing but the origin.
    if any(segment.lower().replace("%2e", ".") in (".", "..") for segment in path.split("/")):
        path = "/."
    return _Place(f"{scheme}://{host}:{port or _PORTS[scheme]}", path)
