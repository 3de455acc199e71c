"""What goes wrong in a storm, and when: all of it follows from the seed."""

import os
import random
import time
from typing import Literal, get_args

import msgspec

from tests.chaos.proxy import Weather

Kind = Literal[
    "kill_worker",  # kill -9; another is started in its place
    "stop_worker",  # SIGTERM, as in a rolling restart
    "pause_worker",  # SIGSTOP, at times for longer than a lease, then SIGCONT
    "kill_gateway",
    "stop_gateway",
    "pause_gateway",
    "kill_store",
    "pause_store",
    "cut_worker",  # from the store
    "cut_gateway",  # from the store
    "cut_vendor",
    "cut_inbox",
]
_OFTEN: tuple[Kind, ...] = ("kill_worker", "kill_store")
"""Come twice where the others come once."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How big a storm is."""

    seed: int
    jobs: int
    faults: int
    lease_s: float
    pause_s: float
    """Between the beginnings of two faults, on average."""
    workers: int
    gateways: int = 2

    @classmethod
    def from_environment(cls) -> "Plan":
        """From `CHAOS_SEED` (`random`: any), `CHAOS_JOBS`, `CHAOS_FAULTS`, `CHAOS_LEASE_S`, `CHAOS_PAUSE_S` and
        `CHAOS_WORKERS`; without them a short storm.
        """
        given = os.environ.get
        seed = given("CHAOS_SEED", "3987")
        return cls(
            seed=time.time_ns() % 1_000_000 if seed == "random" else int(seed),
            jobs=int(given("CHAOS_JOBS", "40")),
            faults=int(given("CHAOS_FAULTS", "6")),
            lease_s=float(given("CHAOS_LEASE_S", "3")),
            pause_s=float(given("CHAOS_PAUSE_S", "1.5")),
            workers=int(given("CHAOS_WORKERS", "2")),
        )

    @property
    def seconds(self) -> float:
        """From the first job to about the last fault."""
        return self.faults * self.pause_s


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that goes wrong."""

    at_s: float
    """Since the storm began."""
    kind: Kind
    which: int
    """Of the gateways or workers."""
    seconds: float
    """For which it lasts, or until what was ended is started again."""
    weather: Weather

    def __str__(self) -> str:
        """As one line of the storm's log."""
        weather = self.weather
        how = weather.fault or (f"{weather.latency_s:.2f} s late" if weather.latency_s else "throttled")
        detail = f" ({how})" if self.kind.startswith("cut") else ""
        return f"{self.kind} {self.which}{detail} for {self.seconds:.1f} s"


def drawn(plan: Plan) -> list[Fault]:
    """The faults of a storm, in order."""
    rng = random.Random(plan.seed)
    faults: list[Fault] = []
    deck: list[Kind] = []
    at_s = 0.0
    while len(faults) < plan.faults:
        if not deck:
            deck = [*get_args(Kind), *_OFTEN]
            rng.shuffle(deck)
        kind = deck.pop()
        at_s += plan.pause_s * rng.uniform(0.4, 1.6)
        which = rng.randrange(plan.gateways if kind.endswith("gateway") else plan.workers)
        shortest, longest = _lasts(kind, plan)
        seconds = rng.uniform(shortest, longest)
        faults.append(Fault(at_s=at_s, kind=kind, which=which, seconds=seconds, weather=_weather(rng)))
    return faults


def _lasts(kind: Kind, plan: Plan) -> tuple[float, float]:
    match kind:
        case "pause_worker":
            return 0.1 * plan.lease_s, 1.3 * plan.lease_s
        case "pause_gateway" | "pause_store" | "cut_gateway" | "cut_worker":
            return 0.3, 4.0
        case "cut_inbox":
            return 0.3, 1.5  # an attempt that fails is made again after 5 s, the next only after 5 minutes
        case _:
            return 0.1, 2.0


def _weather(rng: random.Random) -> Weather:
    return rng.choice(
        (
            Weather(fault="drop"),
            Weather(fault="reset"),
            Weather(fault="half_open"),
            Weather(fault="freeze"),
            Weather(latency_s=rng.uniform(0.05, 0.5)),
            Weather(bytes_per_s=rng.uniform(2_000, 20_000)),
        )
    )
