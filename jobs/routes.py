"""Where a model's name leads: routes, aliases, and what is special about single targets; all from ringback.toml."""

import math
from collections.abc import Mapping

import msgspec

from jobs import errors
from jobs.model import PROVIDERS, SPEECH, split_model


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars, in place of the price list's: `input` and `output` of a model, or one of the two of speech."""

    input: float | None = None
    """For a million tokens,"""
    output: float | None = None
    """likewise."""
    cached: float | None = None
    """Input that was read from the cache, likewise; `None`: as any other."""
    characters: float | None = None
    """For a million characters spoken."""
    audio_s: float | None = None
    """For a second of audio understood; each that was begun counts,"""
    minimum_s: float | None = None
    """and so many seconds for each call at the least."""


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """How many calls a target takes."""

    concurrency: int = 0
    """Under way at once; 0: as many as come."""
    per_second: float = 0.0
    """Begun in a second; 0: as many as come."""
    burst: int = 0
    """That many may begin at once after a while without any; 0: those of a second."""

    @property
    def limits(self) -> bool:
        """Whether it does."""
        return bool(self.concurrency or self.per_second)

    @property
    def at_once(self) -> int:
        """The burst, at least one."""
        return self.burst or max(1, math.ceil(self.per_second))


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `[targets."provider/model"]` in ringback.toml: what is special about it here."""

    concurrency: int = 0
    """This and the next two: a `Quota` for all workers together."""
    per_second: float = 0.0
    burst: int = 0
    first_token_s: float | None = None
    """A tighter limit than the job's or the default one."""
    stall_s: float | None = None
    """Likewise."""
    images: bool | None = None
    """This and the following override what is known of the model."""
    tools: bool | None = None
    json_schema: bool | None = None
    system: bool | None = None
    prefill: bool | None = None
    context_tokens: int | None = None
    price: Price | None = None

    @property
    def quota(self) -> Quota:
        """Of calls, from all workers together."""
        return Quota(concurrency=self.concurrency, per_second=self.per_second, burst=self.burst)


class Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `[routes.NAME]` in ringback.toml; a list of targets is short for one with nothing else."""

    targets: tuple[str, ...]
    """`provider/model`, in the order in which they are asked."""
    weights: tuple[float, ...] = ()
    """As many as targets: which comes first is drawn for each job, in these proportions."""
    hedge: bool = False
    """Ask the next target too when the first has been silent for longer than 95 % of its answers take to begin."""

    @classmethod
    def of(cls, listed: "Listed") -> "Route":
        """The route that stands in ringback.toml as `listed`."""
        return listed if isinstance(listed, Route) else cls(targets=listed)


Listed = Route | tuple[str, ...]
"""A route as it may be written."""


_TOKENS = "in US dollars for a million tokens"
_UNITS = {
    "input": _TOKENS,
    "output": _TOKENS,
    "cached": _TOKENS,
    "characters": "in US dollars for a million characters",
    "audio_s": "in US dollars for a second",
    "minimum_s": "in seconds",
}


def check(routes: Mapping[str, Listed], aliases: Mapping[str, str], targets: Mapping[str, Target]) -> None:
    """Raises `errors.ConfigurationError` naming the place in ringback.toml and what is allowed."""
    for name, listed in routes.items():
        route = Route.of(listed)
        if "/" in name or not route.targets:
            raise errors.ConfigurationError(
                f"routes.{name}: a route is a name without slash for a list of at least one provider/model"
            )
        for target in route.targets:
            _check_target(f"routes.{name}", target)
        if route.weights and (
            len(route.weights) != len(route.targets) or not all(0 < weight < math.inf for weight in route.weights)
        ):
            raise errors.ConfigurationError(f"routes.{name}.weights: one number greater than 0 for each target")
    for alias, meant in aliases.items():
        if alias in routes:
            raise errors.ConfigurationError(f"aliases.{alias}: this is the name of a route")
        if meant not in routes:
            _check_target(f"aliases.{alias}", meant)
    for name, special in targets.items():
        place = f'targets."{name}"'
        provider, model = split_model(name)
        if provider in SPEECH:
            _check_speech(place, provider, model, special)
        else:
            _check_target("targets", name)
            if special.price is not None:
                _check_price(place, special.price, needed=("input", "output"), other=("cached",))
        _check_numbers(place, special)


def _check_target(place: str, target: str) -> None:
    if target.partition("/")[0] not in PROVIDERS or not target.partition("/")[2]:
        raise errors.ConfigurationError(f"{place}: {target!r} is not `provider/model`")


def _check_speech(place: str, provider: str, model: str, special: Target) -> None:
    if model not in SPEECH[provider]:
        known = ", ".join(f"{provider}/{each}" for each in SPEECH[provider])
        raise errors.ConfigurationError(f"{place}: one of {known}")
    fields = ("price",) if model == "batch" else (*Quota.__struct_fields__, "price")
    default = Target()
    for field in Target.__struct_fields__:
        if field not in fields and getattr(special, field) != getattr(default, field):
            raise errors.ConfigurationError(f"{place}.{field}: means nothing here; {', '.join(fields)} do")
    if special.price is not None:
        needed, other = (("characters",), ()) if provider == "polly" else (("audio_s",), ("minimum_s",))
        _check_price(place, special.price, needed=needed, other=other)


def _check_price(place: str, price: Price, *, needed: tuple[str, ...], other: tuple[str, ...]) -> None:
    for field in price.__struct_fields__:
        value = getattr(price, field)
        if value is None and field in needed:
            raise errors.ConfigurationError(f"{place}.price.{field}: is needed; {_UNITS[field]}")
        if value is not None and field not in (*needed, *other):
            raise errors.ConfigurationError(f"{place}.price.{field}: means nothing here; {', '.join(needed)} do")
        if value is not None and not 0 <= value < math.inf:
            raise errors.ConfigurationError(f"{place}.price.{field}: 0 or more, {_UNITS[field]}")


def _check_numbers(place: str, target: Target) -> None:
    for field in Quota.__struct_fields__:
        if not 0 <= getattr(target, field) < math.inf:
            raise errors.ConfigurationError(f"{place}.{field}: 0 (as many as come) or more, and a number")
    if target.burst and not target.per_second:
        raise errors.ConfigurationError(f"{place}.burst: means nothing without per_second")
    for field in ("first_token_s", "stall_s", "context_tokens"):
        value = getattr(target, field)
        if value is not None and not 0 < value < math.inf:
            raise errors.ConfigurationError(f"{place}.{field}: must be greater than 0, and a number")
