"""API keys: `rb_<id>_<secret>`. Only a hash of the secret is stored; the secret has 256 random bits."""

import hashlib
import hmac
import re
import secrets
import time
from datetime import datetime

import msgspec

from jobs import errors
from jobs.job import moment
from jobs.store.connection import Connection

_KEY = re.compile(r"rb_([0-9a-f]{12})_([0-9a-f]{64})")
_ALL = "rb:keys"


class AccessKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a key."""

    id: str
    name: str
    created_at: datetime | None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class AccessKeys:
    """All keys of a deployment."""

    def __init__(self, connection: Connection) -> None:
        """Uses the shared connection."""
        self._connection = connection

    async def create(self, name: str) -> str:
        """Makes a key and returns it; it cannot be shown again. Raises `errors.StoreUnavailable`."""
        key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
        fields = {"hash": _hash(secret), "name": name, "created": int(time.time() * 1000)}
        async with self._connection.bounded():
            await self._connection.redis.hset(f"rb:key:{key_id}", mapping=fields)
            await self._connection.redis.sadd(_ALL, key_id)
        return f"rb_{key_id}_{secret}"

    async def verify(self, key: str) -> str:
        """The id of the key. Raises `errors.Unauthorized` if it is none of ours, `errors.StoreUnavailable`."""
        match = _KEY.fullmatch(key)
        if match is None:
            raise errors.Unauthorized
        stored = await self._connection.call("HGET", f"rb:key:{match[1]}", "hash")
        if stored is None or not hmac.compare_digest(stored, _hash(match[2]).encode()):
            raise errors.Unauthorized
        return match[1]

    async def all(self) -> list[AccessKey]:
        """Every key, oldest first. Raises `errors.StoreUnavailable`."""
        async with self._connection.bounded():
            found = [id_.decode() for id_ in await self._connection.redis.smembers(_ALL)]
            rows = [await self._connection.redis.hmget(f"rb:key:{id_}", ["name", "created"]) for id_ in found]
        keys = [
            AccessKey(id=id_, name=name.decode(), created_at=moment(int(created)))
            for id_, (name, created) in zip(found, rows, strict=True)
            if name is not None
        ]
        return sorted(keys, key=lambda key: (key.created_at is not None, key.created_at))

    async def revoke(self, key_id: str) -> bool:
        """Removes a key at once; False if there is none with that id. Raises `errors.StoreUnavailable`."""
        async with self._connection.bounded():
            await self._connection.redis.srem(_ALL, key_id)
            return bool(await self._connection.redis.unlink(f"rb:key:{key_id}"))
