"""The directory that `ringback up` keeps its data in: one user at a time, and the secrets made for it."""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs import errors, signing

_WEBHOOK_SECRET, _KEY_SECRET = "webhook-secret", "key-secret"
_ORPHANS_S = 5.0
"""How long the children of an `up` that was killed may take to be gone."""


@contextmanager
def claimed(data_dir: Path) -> Iterator[int]:
    """Makes `data_dir` if need be and locks it for this process; gives the open lock file.

    Whoever inherits that file holds the lock too: the store does, so no second one can write its data even if this
    process is killed. Raises `errors.ConfigurationError` if it is taken, naming the process, or cannot be used.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise errors.ConfigurationError(f"The data directory {data_dir} cannot be used: {error.strerror}") from error
    try:
        _lock(lock, data_dir)
        yield lock
    finally:
        os.close(lock)


def _lock(lock: int, data_dir: Path) -> None:
    deadline = time.monotonic() + _ORPHANS_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
            if _lives(holder) or time.monotonic() > deadline:
                raise errors.ConfigurationError(
                    f"The data directory {data_dir} is in use by another `ringback up`, process {holder or 'unknown'};"
                    " stop that one or choose another with --data-dir"
                ) from None
            time.sleep(0.05)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode("ascii"), 0)


def _lives(pid: str) -> bool:
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def webhook_secret(data_dir: Path) -> str:
    """The secret kept in `data_dir`, made at first use: `whsec_` and base64 of 32 random bytes, for its owner only.

    Raises `errors.ConfigurationError` when the file holds something else.
    """
    path = data_dir / _WEBHOOK_SECRET
    secret = _kept(path, signing.new_secret)
    try:
        signing.secret_bytes(secret)
    except errors.ConfigurationError as error:
        raise errors.ConfigurationError(f"{path} holds no signing secret; delete it to have one made") from error
    return secret


def key_secret(data_dir: Path) -> str:
    """The secret that API keys are hashed with, kept in `data_dir`, made at first use: 64 random hex digits.

    Raises `errors.ConfigurationError` when it cannot be read.
    """
    return _kept(data_dir / _KEY_SECRET, lambda: secrets.token_hex(32))


def _kept(path: Path, make: Callable[[], str]) -> str:
    """The secret in that file, made at first use and readable by its owner only."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        secret = make()
        partial = path.with_suffix(".new")
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600, exist_ok=False)
        partial.write_text(secret + "\n", encoding="ascii")
        partial.rename(path)
        return secret
    except (OSError, UnicodeDecodeError) as error:
        raise errors.ConfigurationError(f"{path} cannot be read: {error}") from error


def has_webhook_secret(data_dir: Path) -> bool:
    """Whether a secret was made there."""
    return (data_dir / _WEBHOOK_SECRET).exists()


def has_key_secret(data_dir: Path) -> bool:
    """Whether a secret was made there."""
    return (data_dir / _KEY_SECRET).exists()
