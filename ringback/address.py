"""Where a gateway with given settings answers, as seen from this machine."""

from jobs.settings import Settings

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not bound


def host(settings: Settings) -> str:
    """An address by which this machine reaches it, also when it listens on all of them."""
    return _ANY.get(settings.host, settings.host)


def url(settings: Settings) -> str:
    """Its base URL, without a slash at the end."""
    name = host(settings)
    return f"http://[{name}]:{settings.port}" if ":" in name else f"http://{name}:{settings.port}"
