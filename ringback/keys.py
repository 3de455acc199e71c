"""`ringback keys`: makes, lists and revokes the API keys that callers need where `RINGBACK_API_KEYS` is `required`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from jobs import errors
from jobs.store.access_keys import AccessKeys
from jobs.store.connection import Connection
from ringback import embedded

T = TypeVar("T")
_STORE_S = 5.0


def create(name: str) -> int:
    """Prints a new key, which cannot be shown again."""
    print(_with_keys(lambda keys: keys.create(name)))
    return 0


def show() -> int:
    """Prints id, time of creation and name of each key, oldest first."""
    for key in _with_keys(lambda keys: keys.all()):
        created = key.created_at.isoformat(timespec="seconds") if key.created_at else "-"
        print(f"{key.id}  {created}  {key.name}")
    return 0


def revoke(key_id: str) -> int:
    """Makes a key invalid at once. Raises `errors.NotFound` if there is none with that id."""
    if not _with_keys(lambda keys: keys.revoke(key_id)):
        raise errors.NotFound(f"There is no key with the id {key_id!r}; `ringback keys list` shows them")
    return 0


def _with_keys(work: Callable[[AccessKeys], Awaitable[T]]) -> T:
    return asyncio.run(_connected(work))


async def _connected(work: Callable[[AccessKeys], Awaitable[T]]) -> T:
    connection = Connection(embedded.settings_beside().redis_url, timeout=_STORE_S)
    try:
        return await work(AccessKeys(connection))
    finally:
        await connection.aclose()
