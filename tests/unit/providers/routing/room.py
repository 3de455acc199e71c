"""Services that play what a test says, stores that nobody shares, and what a listener is told."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

from jobs import errors as job_errors
from jobs import routes
from jobs.model import ModelCall, Usage
from jobs.store.circuits import Circuit
from jobs.store.permits import Step as PermitStep
from providers import errors
from providers.routing.router import Limits, Question, Router
from providers.routing.target import Targets
from providers.service import AIService, Answer, Ask, Capabilities, Delta, Message, Metered, Text

ASK = Ask(model="ignored", messages=(Message(role="user", parts=(Text("안녕"),)),))
LIMITS = Limits(first_token_s=20.0, stall_s=20.0)
USED = Usage(input_tokens=1, output_tokens=1)
Step = str | float | BaseException | Usage | Answer | None
"""Of a play: a delta, seconds of silence, a failure, usage so far, the answer, or the end without one."""


class Player:
    """A service that plays one list of steps at each call; after the steps comes the answer with their whole text."""

    def __init__(self, name: str, *plays: Sequence[Step], usage: Usage = USED, **can: Any) -> None:
        self.name = name
        self.usage = usage
        self.asked: list[str] = []
        self.asks: list[Ask] = []
        self._can = Capabilities(**{"images": False, "tools": False, "json_schema": False} | can)
        self.open = 0
        self._plays = list(plays)

    def capabilities(self, model: str) -> Capabilities:
        return self._can

    def region(self, model: str) -> str:
        return ""

    async def generate(self, ask: Ask) -> Answer:
        raise NotImplementedError

    async def warm_up(self) -> None:
        """Has nothing to load."""

    async def aclose(self) -> None:
        """Holds nothing open."""

    async def stream(self, ask: Ask) -> AsyncIterator[Delta | Metered | Answer]:
        self.asked.append(ask.model)
        self.asks.append(ask)
        self.open += 1
        try:
            text = ""
            for step in self._plays.pop(0) if self._plays else ["ok"]:
                match step:
                    case str():
                        text += step
                        yield Delta(step)
                    case float():
                        await asyncio.sleep(step)
                    case Usage():
                        yield Metered(step)
                    case Answer():
                        yield step
                        return
                    case None:
                        return
                    case error:
                        raise error
            yield Answer(text=text, finish="stop", usage=self.usage, model=ask.model)
        finally:
            self.open -= 1


class Cast:
    """The services of a test, by their names."""

    def __init__(self, *players: Player) -> None:
        self._players = {player.name: player for player in players}

    def get(self, provider: str) -> AIService:
        if provider not in self._players:
            raise job_errors.ProviderDisabled(f"Provider {provider!r} is not configured on this worker.")
        return self._players[provider]


def failure(kind: type[errors.ProviderError] = errors.Overloaded, **fields: Any) -> errors.ProviderError:
    """A failure of a vendor."""
    return kind(provider="a", **fields)


class Calm:
    """A circuit store that has never seen a failure, and a permit store with permits for all."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, bool]] = []
        self.circuits: dict[str, Circuit] = {}
        self.leave = True

    async def seen(self, circuit: str, *, failure: str = "", probe: bool = False, **_: Any) -> Circuit:
        self.told.append((circuit, failure, probe))
        return self.circuits.get(circuit) or a_circuit(is_open=False)

    async def probe(self, circuit: str) -> tuple[bool, Circuit]:
        return self.leave, self.circuits.get(circuit) or a_circuit(is_open=False)

    async def read(self) -> dict[str, Circuit]:
        return dict(self.circuits)

    async def step(self, target: str, quota: routes.Quota, steps: list[PermitStep]) -> list[bool]:
        return [True] * len(steps)


def a_circuit(*, is_open: bool, in_s: float = 0.0, openings: int = 1, reason: str = "provider_overloaded") -> Circuit:
    """A circuit; if it is open, a probe is due in so many seconds."""
    return Circuit(
        open=is_open,
        until_ms=int(in_s * 1000),
        openings=openings if is_open else 0,
        probe_ms=0,
        closed_ms=0,
        reason=reason if is_open else "",
        changed_ms=0,
        now_ms=0,
    )


class Room:
    """A router and what it needs."""

    def __init__(self, *players: Player, special: Mapping[str, routes.Target] | None = None) -> None:
        self.players = players
        self.store = Calm()
        self.targets = Targets(Cast(*players), special or {}, self.store, self.store)
        self.router = Router(self.targets)
        self.calls: list[ModelCall] = []
        self._listening = 0

    def stream(self, names: Sequence[str] = (), ask: Ask = ASK, **asked: Any) -> AsyncGenerator[Any, None]:
        """The router's answer by the targets `<player>/m`, unless `names` say otherwise."""
        question: dict[str, Any] = {"limits": LIMITS, "deadline": math.inf, "holder": "job"}
        targets = tuple(names or [f"{player.name}/m" for player in self.players])
        return self.router.answer(Question(ask=ask, targets=targets, **question | asked), self.calls.append)

    async def told(self, names: Sequence[str] = (), ask: Ask = ASK, **asked: Any) -> list[Any]:
        """What the listener is told: texts, what else comes, and the error if there is one."""
        items: list[Any] = []
        listening = self.stream(names, ask, **asked)
        self._listening += 1
        try:
            while (item := await anext(listening, None)) is not None:
                items.append(item.text if isinstance(item, Delta) else item)
        except errors.ProviderError as error:
            items.append(error)
        self._listening -= 1
        await self.targets.aclose()
        assert self._listening or [player.open for player in self.players] == [0] * len(self.players)
        return items


async def told(*players: Player, names: Sequence[str] = (), limits: Limits = LIMITS) -> list[Any]:
    """What the listener is told by a router that has been asked nothing before."""
    return await Room(*players).told(names, limits=limits)


def answer_text(item: object) -> str:
    assert isinstance(item, Answer)
    return item.text
