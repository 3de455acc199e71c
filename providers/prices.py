"""What a call costs: by the prices in ringback.toml, else by the price list of `genai-prices`, else unknown.

The list is data inside that package, which is loaded when the first price is looked up and never asks the network. It
knows the vendors' public prices for on-demand calls, which a contract of yours, a batch or a reserved capacity changes.
Speech services have a list of their own, which is given to us.
"""

import math
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from jobs.model import Usage, split_model
from jobs.routes import Price, Target

if TYPE_CHECKING:
    from decimal import Decimal

    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

FREE = frozenset({"offline", "fake"})
"""Providers that run inside Ringback."""
DIGITS = 9
"""Costs are told to a billionth of a dollar, so that sums of them are the same wherever they are made."""
_MILLION = 1_000_000
_KNOWN_TARGETS = 4096
"""Found prices that are remembered; callers may name any model."""
_ARN = re.compile(r"arn:[^/]*:(?:inference-profile|foundation-model)/(.+)")
"""Names a model. Other ARNs (application inference profiles, provisioned or imported models) do not tell which."""
_WHERE = re.compile(r"(?:us|us-gov|eu|apac|jp|au|ca|in|sa)\.(.+)")
"""An inference profile that keeps within a geography; calls cost what they do in the region that they are sent from."""
_GEMINI = re.compile(r"(?:publishers/google/)?models/(.+)")


class _Rates(msgspec.Struct, frozen=True):
    """US dollars for a million tokens or characters, and for a second."""

    input: float
    output: float
    cached: float
    reasoning: float
    characters: float = 0.0
    audio_s: float = 0.0
    minimum_s: float = 0.0

    def cost(self, usage: Usage) -> float:
        cached = min(usage.cached_tokens, usage.input_tokens)
        reasoning = min(usage.reasoning_tokens, usage.output_tokens)
        dollars = (
            (usage.input_tokens - cached) * self.input
            + cached * self.cached
            + (usage.output_tokens - reasoning) * self.output
            + reasoning * self.reasoning
            + (usage.characters or 0) * self.characters
        )
        seconds = max(self.minimum_s, math.ceil(usage.audio_s)) if usage.audio_s else 0.0
        return round(dollars / _MILLION + seconds * self.audio_s, DIGITS)


class Prices:
    """The prices that hold for one process."""

    def __init__(self, targets: Mapping[str, Target], speech: Mapping[str, Price] | None = None) -> None:
        """`targets` as in the settings: a `price` there wins over the lists. `speech`: that of speech services.

        Reads `OPENAI_BASE_URL`: what another server than OpenAI's takes for a model is not known.
        """
        own = {name: target.price for name, target in targets.items() if target.price is not None}
        self._own = {name: _own(price) for name, price in {**(speech or {}), **own}.items()}
        self._loaded = False
        host = urlsplit(os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com").hostname or ""
        self._openai = host == "api.openai.com" or host.endswith(".api.openai.com")

    def cost(self, target: str, usage: Usage) -> float | None:
        """What a call to `target` (`provider/model`) that used so much costs, in US dollars; `None`: nobody knows."""
        provider, model = split_model(target)
        own = self._own.get(target)
        if own is None and provider == "bedrock":
            own = self._own.get(target.partition("@")[0])
        if own is not None:
            return own.cost(usage)
        if provider in FREE:
            return 0.0
        if provider == "openai" and not self._openai:
            return None
        entry = _entry(provider, model)
        rates = None if entry is None else _listed(entry.get_prices(datetime.now(UTC)), usage.input_tokens)
        return None if rates is None else rates.cost(usage)

    def looks_up(self, target: str) -> bool:
        """Whether the cost of that target is looked up in the list, which is not loaded yet."""
        provider, model = split_model(target)
        return not self._loaded and bool(model) and target not in self._own and provider not in FREE

    def load(self) -> None:
        """Loads the list, for which the first price would have to wait (40 ms). For a thread."""
        self._loaded = True
        _entry("openai", "")


def _own(price: Price) -> _Rates:
    rate_in, rate_out = price.input or 0.0, price.output or 0.0
    cached = rate_in if price.cached is None else price.cached
    speech = (price.characters or 0.0, price.audio_s or 0.0, price.minimum_s or 0.0)
    return _Rates(rate_in, rate_out, cached, rate_out, *speech)


def _listed(price: "ModelPrice", input_tokens: int) -> _Rates | None:
    """The rates for a call with so long an input; the same as `ModelPrice.calc_price`, which takes 0.3 ms.

    `None` where the price is not one for tokens.
    """
    rate_in, rate_out = _at(price.input_mtok, input_tokens), _at(price.output_mtok, input_tokens)
    if rate_in is None or rate_out is None:
        return None
    cached = _at(price.cache_read_mtok, input_tokens)
    reasoning = _at(price.output_reasoning_mtok, input_tokens)
    return _Rates(
        rate_in, rate_out, rate_in if cached is None else cached, rate_out if reasoning is None else reasoning
    )


def _at(price: "Decimal | TieredPrices | None", input_tokens: int) -> float | None:
    from genai_prices.types import TieredPrices

    if isinstance(price, TieredPrices):
        # A longer input than a tier's start puts the whole call into that tier.
        return float(next((tier.price for tier in reversed(price.tiers) if input_tokens > tier.start), price.base))
    return None if price is None else float(price)


@lru_cache(_KNOWN_TARGETS)
def _entry(provider: str, model: str) -> "ModelInfo | None":
    """What the list knows of a model."""
    from genai_prices.data_snapshot import get_snapshot

    # Not through the snapshot's own look-up, which remembers every name that it was ever asked for.
    providers = get_snapshot().providers
    for vendor, name in _names(provider, model):
        listed = next(each for each in providers if each.id == vendor)
        if (found := listed.find_model(name, all_providers=providers)) is not None:
            return found
    return None


def _names(provider: str, model: str) -> Iterator[tuple[str, str]]:
    """The list's names of the vendor and of the model, the likeliest first."""
    match provider:
        case "openai":
            yield "openai", model
        case "gemini":
            inner = _GEMINI.fullmatch(model)
            yield "google", inner[1] if inner else model
        case "anthropic" if model.startswith("bedrock/"):
            yield from _on_bedrock(model.removeprefix("bedrock/"))
        case "anthropic":
            yield "anthropic", model
        case "bedrock":
            yield from _on_bedrock(model)


def _on_bedrock(model: str) -> Iterator[tuple[str, str]]:
    name = model.partition("@")[0]
    if name.startswith("arn:"):
        inner = _ARN.fullmatch(name)
        if inner is None:
            return
        name = inner[1]
    yield "aws", name
    if bare := _WHERE.fullmatch(name):
        yield "aws", bare[1]
