"""Where a model's name leads: routes, aliases, and what is special about single targets; all from ringback.toml."""

import math
from collections.abc import Mapping

import msgspec

from jobs import errors
from jobs.model import PROVIDERS


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars for a million tokens, in place of the price list's."""

    input: float
    output: float
    cached: float | None = None
    """Input that was read from the cache; `None`: as any other."""


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `[targets."provider/model"]` in ringback.toml: what is special about it here."""

    concurrency: int = 0
    """Calls under way at once, from all workers together; 0: as many as come."""
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
        _check_target("targets", name)
        _check_special(f'targets."{name}"', special)


def _check_target(place: str, target: str) -> None:
    if target.partition("/")[0] not in PROVIDERS or not target.partition("/")[2]:
        raise errors.ConfigurationError(f"{place}: {target!r} is not `provider/model`")


def _check_special(place: str, target: Target) -> None:
    if target.concurrency < 0:
        raise errors.ConfigurationError(f"{place}.concurrency: 0 (as many as come) or more")
    for field in ("first_token_s", "stall_s", "context_tokens"):
        value = getattr(target, field)
        if value is not None and not 0 < value < math.inf:
            raise errors.ConfigurationError(f"{place}.{field}: must be greater than 0, and a number")
    if target.price is not None:
        for field in target.price.__struct_fields__:
            value = getattr(target.price, field)
            if value is not None and not 0 <= value < math.inf:
                raise errors.ConfigurationError(f"{place}.price.{field}: 0 or more, in US dollars for a million tokens")
