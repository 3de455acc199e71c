"""The circuits of targets, shared by all workers: a target that keeps failing is left alone until a probe succeeds.

A circuit opens when, of a target's last 20 calls, at least 5 and at least half have failed; or when the target itself
asks for a rest. It stays open for 1 s, and twice as long, up to 15 s, each time that it opens again; then one call at a
time may probe the target, and the first success closes the circuit.
"""

import time
from datetime import datetime
from typing import Literal

import msgspec

from jobs.job import moment
from jobs.store.connection import Connection

_ALL = "rb:circuits"
_KEPT_MS = 600_000


class Circuit(msgspec.Struct, frozen=True, kw_only=True):
    """One circuit as it is stored; times in Unix ms on the store's clock."""

    open: bool
    until_ms: int
    """Open: no call before."""
    openings: int
    """How often it has opened in a row."""
    probe_ms: int
    """Open: no probe before, for there is one under way."""
    closed_ms: int
    """When it closed the last time; 0: it never opened."""
    reason: str
    """Code of the error that opened it."""
    changed_ms: int
    now_ms: int
    """When this was read or written."""

    @property
    def rest_s(self) -> float:
        """Seconds until a probe may be asked for; 0 if it is closed."""
        return max(0, self.until_ms - self.now_ms, self.probe_ms - self.now_ms) / 1000 if self.open else 0.0


class CircuitState(msgspec.Struct, frozen=True, kw_only=True):
    """A circuit for whoever watches."""

    target: str
    """`provider/model`."""
    region: str
    """Where the model runs; empty if the provider has but one place."""
    state: Literal["closed", "open", "half_open"]
    """`half_open`: the next call is a probe."""
    reason: str
    """Code of the error that opened it; empty while it is closed."""
    until: datetime | None
    """When a probe is due, while it is open."""


_circuit = msgspec.json.Decoder(Circuit)


def name(target: str, region: str) -> str:
    """What the circuit of a target is called in the store."""
    return f"{target} {region}" if region else target


class Circuits:
    """All circuits of a deployment. Of targets that never fail there are none."""

    def __init__(self, connection: Connection) -> None:
        """Uses the shared connection."""
        self._connection = connection

    async def seen(
        self,
        circuit: str,
        *,
        successes: int = 0,
        failure: str = "",
        probe: bool = False,
        began_s: float = 0.0,
        rest_s: float = 0.0,
    ) -> Circuit:
        """Tells what calls came to since the last time, at most one failure among them; the circuit then.

        `failure` is its code; `probe`: the call was one; `began_s`: how long ago the call began that failed; `rest_s`:
        for how long the target wants to be left alone. Raises `errors.StoreUnavailable`.
        """
        reply = await self._connection.run(
            "circuit",
            _ALL,
            circuit,
            "seen",
            successes,
            1 if failure else 0,
            "1" if probe else "",
            int(began_s * 1000),
            int(rest_s * 1000),
            failure,
        )
        return _circuit.decode(reply[1])

    async def probe(self, circuit: str) -> tuple[bool, Circuit]:
        """Whether the caller may probe the target now, and the circuit. Raises `errors.StoreUnavailable`."""
        leave, found = await self._connection.run("circuit", _ALL, circuit, "probe")
        return bool(leave), _circuit.decode(found)

    async def read(self) -> dict[str, Circuit]:
        """Every circuit by its name, as of now. Raises `errors.StoreUnavailable`."""
        now, found = await self._connection.calls([("TIME",), ("HGETALL", _ALL)])
        now_ms = int(now[0]) * 1000 + int(now[1]) // 1000
        pairs = zip(found[::2], found[1::2], strict=True) if isinstance(found, list) else found.items()
        read = {key.decode(): _circuit.decode(value) for key, value in pairs}
        return {
            key: msgspec.structs.replace(circuit, now_ms=now_ms)
            for key, circuit in read.items()
            if circuit.changed_ms >= now_ms - _KEPT_MS
        }

    async def all(self) -> list[CircuitState]:
        """Every circuit, by name. Raises `errors.StoreUnavailable`."""
        return [_state(key, circuit) for key, circuit in sorted((await self.read()).items())]


def _state(key: str, circuit: Circuit) -> CircuitState:
    target, _, region = key.partition(" ")
    state: Literal["closed", "open", "half_open"] = "closed"
    if circuit.open:
        state = "open" if circuit.now_ms < circuit.until_ms else "half_open"
    ahead_s = (circuit.until_ms - circuit.now_ms) / 1000
    return CircuitState(
        target=target,
        region=region,
        state=state,
        reason=circuit.reason,
        until=moment(int((time.time() + ahead_s) * 1000)) if state == "open" else None,
    )
