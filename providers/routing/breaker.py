"""Circuit breakers: whether a target may be called now, as far as this process knows, and telling the others."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import structlog

from jobs.errors import StoreUnavailable
from jobs.store.circuits import Circuit

REFRESH_S = 1.0
"""How often every process looks what the others have learnt."""
KEPT_SUCCESSES = 20
"""The window of a circuit: older successes say nothing more."""
_log = structlog.get_logger(__name__)


class CircuitStore(Protocol):
    """Where circuits are shared; see `jobs.store.circuits.Circuits`."""

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
        """Tells what calls came to."""
        ...

    async def probe(self, circuit: str) -> tuple[bool, Circuit]:
        """Asks for leave to probe."""
        ...

    async def read(self) -> dict[str, Circuit]:
        """Every circuit."""
        ...


class Breaker:
    """One target's circuit. Calls report how they ended; nothing here waits for the store but `leave`."""

    def __init__(self, name: str, store: CircuitStore, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        """`spawn` runs a coroutine in the background."""
        self.name = name
        self.reason = ""
        self.openings = 0
        self._store = store
        self._spawn = spawn
        self._successes = 0
        self._loop = asyncio.get_running_loop()
        self._probe_at: float | None = None
        self._changed = asyncio.Event()

    @property
    def closed(self) -> bool:
        """Whether calls go through."""
        return self._probe_at is None

    @property
    def rest_s(self) -> float:
        """Seconds until a probe may be asked for; 0: now, or it is closed."""
        return 0.0 if self._probe_at is None else max(0.0, self._probe_at - self._loop.time())

    async def leave(self) -> bool:
        """Asks to be the one that probes. Without the store everybody may: better a call too many than none."""
        try:
            granted, circuit = await self._store.probe(self.name)
        except StoreUnavailable:
            return True
        self.update(circuit)
        return granted or self.closed

    async def change(self, timeout: float) -> None:
        """Waits until something is known that was not, or `timeout` seconds."""
        changed = self._changed
        try:
            async with asyncio.timeout(timeout):
                await changed.wait()
        except TimeoutError:
            return

    def succeeded(self, *, probe: bool) -> None:
        """A call was answered."""
        self._successes = min(self._successes + 1, KEPT_SUCCESSES)
        if probe:
            self._spawn(self._tell(probe=True))

    def failed(self, code: str, *, probe: bool, began_s: float, rest_s: float) -> None:
        """A call failed for a reason that lies with the target; it began so long ago, and wants so long a rest."""
        if rest_s > 0:
            self._open_until(self._loop.time() + rest_s, code)
        self._spawn(self._tell(failure=code, probe=probe, began_s=began_s, rest_s=rest_s))

    async def tell_successes(self) -> None:
        """Tells the store of calls that were answered since the last time."""
        if self._successes:
            await self._tell()

    async def _tell(self, *, failure: str = "", probe: bool = False, began_s: float = 0.0, rest_s: float = 0.0) -> None:
        successes, self._successes = self._successes, 0
        try:
            circuit = await self._store.seen(
                self.name, successes=successes, failure=failure, probe=probe, began_s=began_s, rest_s=rest_s
            )
        except StoreUnavailable:
            return  # the next calls will tell
        self.update(circuit)

    def update(self, circuit: Circuit) -> None:
        """What the store says."""
        was_closed = self.closed
        if circuit.open:
            self.openings = circuit.openings
            self._open_until(self._loop.time() + circuit.rest_s, circuit.reason)
        elif not was_closed:
            self._probe_at, self.reason = None, ""
            self._tell_waiters()
        if was_closed != self.closed:
            _log.warning("circuit_changed", target=self.name, open=circuit.open, reason=circuit.reason)

    def _open_until(self, when: float, reason: str) -> None:
        self._probe_at, self.reason = when, reason
        self._tell_waiters()

    def _tell_waiters(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
