"""What is asked of a model, or of a speech service, and what that consumed: target names, settings, usage, cost."""

from collections.abc import Sequence
from typing import Literal

import msgspec

PROVIDERS = ("bedrock", "gemini", "anthropic", "openai", "offline", "fake")
SPEECH: dict[str, tuple[str, ...]] = {
    "polly": ("standard", "neural", "long-form", "generative"),
    "transcribe": ("streaming", "batch"),
}
"""Of speech services: what they call an engine or a mode, and limit and price by itself, in place of a model."""


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the model should answer; what is `None` is left to the vendor."""

    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a job consumed. `input_tokens` includes cached ones; `output_tokens` includes reasoning."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Of the input tokens: read from the vendor's prompt cache."""
    reasoning_tokens: int = 0
    """Of the output tokens: not part of the visible answer."""
    characters: int | msgspec.UnsetType = msgspec.UNSET
    """Spoken, as the speech service bills them; unset where nothing was."""
    audio_s: float | msgspec.UnsetType = msgspec.UNSET
    """Seconds of audio, understood or spoken; unset where there was none."""
    timings: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    """Of a whole job: when it came to its stages, in seconds from its start; unset where it has none."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            characters=(self.characters or 0) + (other.characters or 0) or msgspec.UNSET,
            audio_s=round((self.audio_s or 0.0) + (other.audio_s or 0.0), 3) or msgspec.UNSET,
        )


Outcome = Literal["answered", "failed", "cancelled", "superseded"]
"""Of a call: its answer was taken; it failed; its job was cancelled or ran out of time; another call was faster."""


class ModelCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call to a model or a speech service, whatever became of it."""

    model: str
    """`provider/model` that was asked; of a speech service `polly/neural`, `transcribe/streaming` and the like."""
    outcome: Outcome
    error: str | None = None
    """The error's code, if it failed."""
    usage: Usage = Usage()
    estimated: bool = False
    """The usage is our estimate: the provider did not tell, for the call was broken off."""
    cost_usd: float | None = None
    """`None`: nobody knows the price."""
    first_token_s: float | None = None
    """From the call to its first token, in seconds; `None`: none came."""
    duration_s: float = 0.0


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What calls cost together."""

    usd: float
    complete: bool = True
    """False: the price of some call is not known, and it is not in the sum."""

    @classmethod
    def of(cls, calls: Sequence[ModelCall]) -> "Cost | None":
        """What these calls cost; `None` if the price of none of them is known."""
        known = [call.cost_usd for call in calls if call.cost_usd is not None]
        # A billionth of a dollar, as each call's cost is rounded to: sums do not depend on their order.
        return cls(usd=round(sum(known), 9), complete=len(known) == len(calls)) if known else None


def usage_of(calls: Sequence[ModelCall]) -> Usage:
    """What these calls used together."""
    return sum((call.usage for call in calls), Usage())


def split_model(target: str) -> tuple[str, str]:
    """`provider/model` as its two parts; the model may itself contain slashes. Empty model when there is no slash."""
    provider, _, model = target.partition("/")
    return provider, model


KNOWN_MODELS: dict[str, tuple[str, ...]] = {"offline": ("rules",)}
"""Of providers whose models are all known, so that a wrong name can be refused at once."""
