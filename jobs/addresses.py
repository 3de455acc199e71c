"""Which addresses a URL named by a caller may reach: public ones, and what the operator allows besides.

The lists follow the IANA special-purpose registries; IPv6 is allowed only within global unicast.
"""

import functools
import re
import unicodedata
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

import msgspec

from jobs import errors
from jobs.settings import Settings

_DENIED_V4 = tuple(
    IPv4Network(net)
    for net in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent: public by number, internal by use
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_DENIED_V6 = tuple(IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
BAD_PORTS = frozenset(
    (
        *(0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104),
        *(109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526),
        *(530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659),
        *(4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    )
)
"""Ports of services that take no HTTP but might act on lines of it: the bad ports of the Fetch standard. None may be
called, wherever it is."""
_NAME = re.compile(r"[a-z0-9._-]+")


class AddressPolicy(msgspec.Struct, frozen=True):
    """Decides over addresses and host names."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Allowed although private."""
    hosts: frozenset[str] = frozenset()
    """Names allowed whatever they resolve to, as `_canonical` spells them."""

    @classmethod
    def of(cls, settings: Settings) -> "AddressPolicy":
        """What `RINGBACK_CALLBACK_ALLOW` says. Raises `errors.ConfigurationError` for a name that no host can have."""
        try:
            return cls(settings.callback_networks, frozenset(map(_canonical, settings.callback_hosts)))
        except UnicodeError as error:
            raise errors.ConfigurationError(f"RINGBACK_CALLBACK_ALLOW: holds a name that cannot be: {error}") from error

    @functools.lru_cache(maxsize=4096)  # noqa: B019  # as below
    def allows(self, address: str) -> bool:
        """Whether that IP address may be dialed; False for anything that is not an address."""
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        if any(ip.version == net.version and ip in net for net in self.networks):
            return True
        if isinstance(ip, IPv4Address):
            return not any(ip in net for net in _DENIED_V4)
        return ip in _GLOBAL_V6 and not ip.scope_id and not any(ip in net for net in _DENIED_V6)

    def trusts(self, host: str) -> bool:
        """Whether the operator allows that host by its name, whatever it resolves to."""
        try:
            return _canonical(host) in self.hosts
        except UnicodeError:
            return False

    @functools.lru_cache(maxsize=1024)  # noqa: B019  # a process has one policy or two, and calls few URLs many times
    def objection(self, url: str) -> str | None:
        """Why `url` cannot be called, as far as can be told without resolving its name; `None` if nothing speaks
        against it."""
        if any(c.isspace() or not c.isprintable() for c in url):
            return "must not hold spaces or control characters"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            return f"is not a URL: {error}"
        return _shape_objection(parts, port) or self._host_objection(parts.hostname or "")

    def _host_objection(self, given: str) -> str | None:
        try:
            host = _canonical(given)
        except UnicodeError:
            host = ""
        if host in self.hosts:
            return None
        private = f"{host} is a private address; the operator can allow it with RINGBACK_CALLBACK_ALLOW"
        if host == "localhost" or host.endswith(".localhost"):
            return None if self.allows("127.0.0.1") else private
        literal = _literal(host)
        if literal is None:
            return None if _NAME.fullmatch(host) else f"has a host that cannot be: {given[:255]!r}"
        return None if self.allows(literal) else private


def _canonical(host: str) -> str:
    """The host as clients dial it, in lower case and without a dot at its end: to them ⑩ is 10, and 。 is a dot.

    Raises `UnicodeError` for a name that none can dial.
    """
    spelled = host if host.isascii() else unicodedata.normalize("NFKC", host).encode("idna").decode()
    return spelled.rstrip(".").lower()


def _shape_objection(parts: SplitResult, port: int | None) -> str | None:
    if parts.scheme not in ("http", "https"):
        return "must start with https:// or http://"
    if not parts.hostname:
        return "has no host"
    if parts.username is not None or parts.password is not None:
        return "must not hold a user name or password"
    return f"has port {port}, where no HTTP is spoken" if port in BAD_PORTS else None


def _literal(host: str) -> str | None:
    """The address that `host` spells, in any spelling that resolvers accept (`127.1`, `0x7f000001`, `2130706433`)."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    parts = host.split(".")
    if len(parts) > 4 or not all(part[:1].isdigit() for part in parts):
        return None
    try:
        numbers = [int(part, 16 if part[:2] in ("0x", "0X") else 8 if part[0] == "0" else 10) for part in parts]
        value = sum(number << (24 - 8 * i) for i, number in enumerate(numbers[:-1])) + numbers[-1]
        return str(IPv4Address(value))
    except ValueError:
        return "0.0.0.0"  # noqa: S104 - starts with a digit and is no name: nothing that may be dialed
