"""Ids that sort by time and tell their shard: prefix, 48-bit milliseconds, 70 random bits, shard; Crockford base32."""

import secrets
import time
from zlib import crc32

from jobs import errors

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {c: i for i, c in enumerate(_ALPHABET)}
_TIME_CHARS, _RANDOM_CHARS, _SHARD_CHARS = 10, 14, 2
LENGTH = _TIME_CHARS + _RANDOM_CHARS + _SHARD_CHARS
MAX_SHARDS = 32**_SHARD_CHARS
_NAMES = {"dlv": "delivery", "msg": "message", "ses": "session"}
"""What is said of what a prefix stands for, where that is not the prefix itself."""


def _base32(value: int, chars: int) -> str:
    return "".join(_ALPHABET[(value >> (5 * i)) & 31] for i in range(chars - 1, -1, -1))


def new(prefix: str, shard: int, *, at_ms: int | None = None) -> str:
    """A new id such as `job_01JD8…`, of `shard`; `at_ms` is Unix time in milliseconds, now if not given."""
    return f"{prefix}_{unprefixed(shard, at_ms=at_ms)}"


def unprefixed(shard: int, *, at_ms: int | None = None) -> str:
    """What follows the prefix in a new id."""
    at = int(time.time() * 1000) if at_ms is None else at_ms
    random = _base32(secrets.randbits(5 * _RANDOM_CHARS), _RANDOM_CHARS)
    return f"{_base32(at, _TIME_CHARS)}{random}{_base32(shard, _SHARD_CHARS)}"


def floor(prefix: str, at_ms: int) -> str:
    """The smallest id of that prefix made at `at_ms`: sorts before every id made then or later."""
    return f"{prefix}_{_base32(max(at_ms, 0), _TIME_CHARS)}"


def made_ms(id_: str) -> int:
    """When an id was made, in Unix milliseconds. It must be one."""
    value = 0
    for character in id_.partition("_")[2][:_TIME_CHARS]:
        value = value * 32 + _VALUES[character]
    return value


def shard_of(id_: str, prefix: str) -> int:
    """The shard that `id_` belongs to.

    Raises `errors.NotFound` for a string that is not an id of that prefix.
    """
    head, _, rest = id_.partition("_")
    if head != prefix or len(rest) != LENGTH or not all(c in _VALUES for c in rest):
        raise errors.NotFound(f"{id_[:64]!r} is not the id of a {_NAMES.get(prefix, prefix)}")
    return _VALUES[rest[-2]] * 32 + _VALUES[rest[-1]]


def shard_for(key: str, shards: int) -> int:
    """The shard for whatever must always meet in one place, e.g. the requests under one idempotency key."""
    return crc32(key.encode()) % shards
