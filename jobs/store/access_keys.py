"""API keys: `rb_<id>_<secret>`, what each may do, and how much.

Of the secret, which has 256 random bits, only an HMAC-SHA256 under the deployment's `key_secret` is stored: neither
reading nor writing the store makes a key. Where no `key_secret` is set, one is kept in the store: reading still
makes none.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, get_args

import msgspec

from jobs import errors
from jobs.model import Usage
from jobs.store.connection import Connection

Scope = Literal["jobs:read", "jobs:write", "deliveries:write", "admin"]
"""What a key may do. `admin` includes the others and lets it see and change what belongs to any key."""
SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT_SCOPES: tuple[Scope, ...] = ("jobs:read", "jobs:write", "deliveries:write")

_DAY_S = 86_400
_SPENT_KEPT_MS = 2 * _DAY_S * 1000
_SHORTEST_SECRET = 32
_ID, _SECRET = "[0-9a-f]{12}", "[0-9a-f]{64}"
_KEY = re.compile(f"rb_({_ID})_({_SECRET})")
_RATE = re.compile(r"([1-9]\d{0,5})/(s|min)")
_SECONDS = {"s": 1, "min": 60}
_ALL = "rb:keys"
_DEPLOYMENTS = "rb:key-secret"
"""Where the deployment's secret is kept if the settings have none."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """So many requests in so many seconds; all of them may come at once."""

    requests: int
    seconds: int

    @classmethod
    def of(cls, text: str) -> "Rate":
        """The rate that `text` spells, such as `10/s` or `600/min`. Raises `ValueError`."""
        match = _RATE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no rate such as 10/s or 600/min")
        return cls(requests=int(match[1]), seconds=_SECONDS[match[2]])

    def __str__(self) -> str:
        """As `of` reads it."""
        return f"{self.requests}/{'s' if self.seconds == 1 else 'min'}"


class AccessKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key without its secret: whose it is and what it may do."""

    id: str
    name: str
    created_at: datetime
    scopes: tuple[Scope, ...]
    types: tuple[str, ...] = ()
    """The job types that it may submit; empty: all."""
    callback_hosts: tuple[str, ...] = ()
    """The hosts that its jobs may call back, `*.` before a name for all below it, and destinations as
    `jobs.job.Callback.destination` spells them; empty: all."""
    rate: Rate | None = None
    tokens_per_day: int | None = None
    """Input and output tokens that its jobs may use in a UTC day, cached ones included."""

    def has(self, scope: Scope) -> bool:
        """Whether the key has that scope, by itself or as `admin`."""
        return scope in self.scopes or "admin" in self.scopes

    def may_call_back(self, host: str) -> bool:
        """Whether jobs of the key may call that host, or that destination, back."""
        wanted = host.lower().rstrip(".")
        return not self.callback_hosts or any(
            wanted.endswith(allowed[1:]) if allowed.startswith("*.") else wanted == allowed
            for allowed in self.callback_hosts
        )


_record = msgspec.json.Decoder(AccessKey)


def check_secret(secret: str) -> None:
    """Raises `errors.ConfigurationError` for a `key_secret` that is too short; there may be none."""
    if 0 < len(secret) < _SHORTEST_SECRET:
        raise errors.ConfigurationError(
            f"RINGBACK_KEY_SECRET: API keys are hashed with it; set it to {_SHORTEST_SECRET} random characters or more,"
            " the same wherever keys are made or checked (`openssl rand -hex 32` makes some), or unset it"
        )


def _name(key_id: str) -> str:
    """Hash: one key. What it has spent lies beside it, in the same hash slot."""
    return f"rb:key:{{{key_id}}}"


class AccessKeys:
    """All keys of a deployment."""

    def __init__(self, connection: Connection, secret: str) -> None:
        """`secret` is the setting `key_secret`, or empty. Raises `errors.ConfigurationError` if it is too short."""
        check_secret(secret)
        self._connection = connection
        self._secret = secret.encode()

    async def _digest(self, key_id: str, secret: str) -> str:
        if not self._secret:
            set_if_none = ("SET", _DEPLOYMENTS, secrets.token_hex(32), "NX")
            self._secret = (await self._connection.calls([set_if_none, ("GET", _DEPLOYMENTS)]))[1]
        # With the id, or who can write the store could give a key of theirs the rights of another.
        return hmac.new(self._secret, f"{key_id}:{secret}".encode(), hashlib.sha256).hexdigest()

    async def create(
        self,
        name: str,
        *,
        scopes: Sequence[str] = DEFAULT_SCOPES,
        types: Sequence[str] = (),
        callback_hosts: Sequence[str] = (),
        rate: Rate | None = None,
        tokens_per_day: int | None = None,
    ) -> str:
        """Makes a key and returns it; it cannot be shown again. Other arguments as in `AccessKey`.

        Raises `errors.InvalidRequest` for a scope that does not exist, `errors.StoreUnavailable`.
        """
        key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
        record = AccessKey(
            id=key_id,
            name=name,
            created_at=datetime.now(UTC),
            scopes=tuple(dict.fromkeys(_scope(scope) for scope in scopes)),
            types=tuple(types),
            callback_hosts=tuple(host.lower().rstrip(".") for host in callback_hosts),
            rate=rate,
            tokens_per_day=tokens_per_day,
        )
        digest = await self._digest(key_id, secret)
        await self._connection.calls(
            [
                ("HSET", _name(key_id), "digest", digest, "record", msgspec.json.encode(record)),
                ("SADD", _ALL, key_id),
            ]
        )
        return f"rb_{key_id}_{secret}"

    async def admit(self, key: str, *, spends: bool = False) -> AccessKey:
        """What is known of the key, in whose name one request is made. One round trip to the store.

        `spends`: the request makes a job, for which the key must have tokens left.
        Raises `errors.Unauthorized` if it is none of ours, `errors.RateLimited`, `errors.BudgetExhausted`,
        `errors.StoreUnavailable`.
        """
        match = _KEY.fullmatch(key)
        if match is None:
            raise errors.Unauthorized
        digest, now = await self._digest(match[1], match[2]), time.time()
        found = await self._connection.run("admit", _name(match[1]), digest, _day(now) if spends else "")
        if found is None:
            raise errors.Unauthorized
        record, current, earlier, wait_us, spent = found
        same = [hmac.compare_digest(digest.encode(), stored) for stored in (current, earlier)]
        if not any(same):
            raise errors.Unauthorized
        if wait_us:
            raise errors.RateLimited(retry_after=wait_us / 1_000_000)
        access_key = _record.decode(record)
        if access_key.tokens_per_day is not None and spends and spent >= access_key.tokens_per_day:
            raise errors.BudgetExhausted(retry_after=_DAY_S - now % _DAY_S)
        return access_key

    async def rotate(self, key_id: str, *, overlap_s: float) -> str:
        """Gives the key a new secret and returns it whole; the one that it had works for `overlap_s` seconds more.

        Raises `errors.NotFound`, `errors.StoreUnavailable`.
        """
        secret = secrets.token_hex(32)
        overlap_ms = int(overlap_s * 1000)
        digest = await self._digest(key_id, secret)
        if not await self._connection.run("rotate", _name(key_id), digest, overlap_ms):
            raise errors.NotFound(f"There is no key with the id {key_id!r}")
        return f"rb_{key_id}_{secret}"

    async def all(self) -> list[AccessKey]:
        """Every key, oldest first. Raises `errors.StoreUnavailable`."""
        key_ids = [key_id.decode() for key_id in await self._connection.call("SMEMBERS", _ALL)]
        records = await self._connection.calls(("HGET", _name(key_id), "record") for key_id in key_ids)
        return sorted((_record.decode(record) for record in records if record), key=lambda key: key.created_at)

    async def revoke(self, key_id: str) -> bool:
        """Removes a key at once; False if there is none with that id. Raises `errors.StoreUnavailable`."""
        # In this order, or a key might work on that no list shows.
        removed, _ = await self._connection.calls([("UNLINK", _name(key_id)), ("SREM", _ALL, key_id)])
        return bool(removed)


class TokenBudgets:
    """What keys have spent of their tokens of the day."""

    def __init__(self, connection: Connection) -> None:
        """Uses the shared connection."""
        self._connection = connection

    async def spend(self, key_id: str, job_id: str, attempt: int, usage: Usage, *, at_ms: int) -> int:
        """Counts what one attempt at a job used, once, however often it is called; what the key has spent on that day.

        `at_ms`: when the attempt was over (Unix ms). Nothing is kept for keys without a budget.
        Raises `errors.StoreUnavailable`.
        """
        tokens = usage.input_tokens + usage.output_tokens
        args = (_day(at_ms / 1000), f"{job_id}:{attempt}", tokens, _SPENT_KEPT_MS)
        return int(await self._connection.run("spend", _name(key_id), *args))


def _day(now: float) -> int:
    """Number of the UTC day."""
    return int(now // _DAY_S)


def _scope(name: str) -> Scope:
    for scope in SCOPES:
        if scope == name:
            return scope
    raise errors.InvalidRequest(f"{name!r} is no scope; there are {', '.join(SCOPES)}")
