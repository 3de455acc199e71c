"""`ringback keys`: makes, lists, rotates and revokes the API keys that callers need where `RINGBACK_API_KEYS` is
`required`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from jobs import errors
from jobs.store.access_keys import DEFAULT_SCOPES, AccessKey, AccessKeys, Rate
from jobs.store.connection import Connection
from ringback import data_dir, embedded

T = TypeVar("T")
_STORE_S = 5.0


def create(
    name: str,
    *,
    scopes: Sequence[str],
    types: Sequence[str],
    callback_hosts: Sequence[str],
    rate: str | None,
    tokens_per_day: int | None,
    as_json: bool,
) -> int:
    """Prints a new key, which cannot be shown again. `scopes` may be empty for those that keys usually have.

    Other arguments as in `AccessKey`; `rate` as `Rate.of` reads it. Raises `errors.InvalidRequest`.
    """
    try:
        allowed = Rate.of(rate) if rate else None
    except ValueError as error:
        raise errors.InvalidRequest(f"--rate: {error}") from error
    key = _with_keys(
        lambda keys: keys.create(
            name,
            scopes=scopes or DEFAULT_SCOPES,
            types=types,
            callback_hosts=callback_hosts,
            rate=allowed,
            tokens_per_day=tokens_per_day,
        )
    )
    return _show_secret(key, as_json=as_json)


def rotate(key_id: str, *, overlap_s: float, as_json: bool) -> int:
    """Prints the key with a new secret; with the old one it works for `overlap_s` more.

    Raises `errors.NotFound` if there is none with that id.
    """
    return _show_secret(_with_keys(lambda keys: keys.rotate(key_id, overlap_s=overlap_s)), as_json=as_json)


def show(*, as_json: bool) -> int:
    """Prints id, time of creation, name and rights of each key, oldest first; as JSON one object per line."""
    for key in _with_keys(lambda keys: keys.all()):
        line = msgspec.json.encode(key).decode() if as_json else _line(key)
        print(line)
    return 0


def revoke(key_id: str) -> int:
    """Makes a key invalid at once. Raises `errors.NotFound` if there is none with that id."""
    if not _with_keys(lambda keys: keys.revoke(key_id)):
        raise errors.NotFound(f"There is no key with the id {key_id!r}; `ringback keys list` shows them")
    return 0


def _show_secret(key: str, *, as_json: bool) -> int:
    print(msgspec.json.encode({"id": key.split("_")[1], "key": key}).decode() if as_json else key)
    return 0


def _line(key: AccessKey) -> str:
    limits = [
        ",".join(key.scopes),
        f"types={','.join(key.types)}" if key.types else "",
        f"callback-hosts={','.join(key.callback_hosts)}" if key.callback_hosts else "",
        f"rate={key.rate}" if key.rate else "",
        f"tokens-per-day={key.tokens_per_day}" if key.tokens_per_day is not None else "",
    ]
    return "  ".join([key.id, key.created_at.isoformat(timespec="seconds"), key.name, *filter(None, limits)])


def _with_keys(work: Callable[[AccessKeys], Awaitable[T]]) -> T:
    return asyncio.run(_connected(work))


async def _connected(work: Callable[[AccessKeys], Awaitable[T]]) -> T:
    settings = embedded.settings_beside()
    secret = settings.key_secret
    if not secret and data_dir.has_key_secret(settings.data_dir):
        secret = data_dir.key_secret(settings.data_dir)  # that of the `ringback up` there
    connection = Connection(settings.redis_url, timeout=_STORE_S)
    try:
        return await work(AccessKeys(connection, secret))
    finally:
        await connection.aclose()
