"""`AIService`: what every provider can do, and the types that go in and come out. Nothing here knows a vendor."""

from collections.abc import AsyncIterator
from typing import Any, Literal, Protocol

import msgspec

from jobs.model import ModelSettings, Usage


class Text(msgspec.Struct, frozen=True, tag="text"):
    """A piece of text in a message."""

    text: str


class Image(msgspec.Struct, frozen=True, tag="image"):
    """An image in a message."""

    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
    data: bytes


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call"):
    """The model wants a tool called; in a message, that it did so before."""

    id: str
    name: str
    arguments: dict[str, Any]


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result"):
    """What a tool answered to the call with that id."""

    call_id: str
    name: str
    content: str


Part = Text | Image | ToolCall | ToolResult


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of the conversation. Tool results travel in `user` messages."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the model may ask for; `parameters` is a JSON Schema."""

    name: str
    description: str
    parameters: dict[str, Any]


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request to a model."""

    model: str
    """The vendor's name of the model (without our `provider/`)."""
    messages: tuple[Message, ...]
    system: str | None = None
    settings: ModelSettings = ModelSettings()
    tools: tuple[Tool, ...] = ()
    tool_choice: Literal["auto", "none", "required"] = "auto"
    """Whether the model may, must not, or must call one of `tools`."""
    output_schema: dict[str, Any] | None = None
    """JSON Schema that the answer should fit. A hint for providers with a JSON mode: the prompt also says so, and
    the caller checks."""
    task: str = ""
    """The job type this is asked for, e.g. `summarize`; only providers without a real model (offline) look at it."""
    subject: dict[str, Any] = {}
    """The job's validated input, for the same providers."""


GRACE_S = 0.25
"""Seconds for which a stream is still read once the vendor has said why its answer ends: for usage and end mark."""

Finish = Literal["stop", "length", "tool_calls", "content_filter"]


class Delta(msgspec.Struct, frozen=True):
    """More text of the answer; never empty."""

    text: str


class Metered(msgspec.Struct, frozen=True):
    """What the vendor says that the call has used so far, for when it is broken off; an `Answer` has the last word."""

    usage: Usage


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A complete answer."""

    text: str
    finish: Finish
    usage: Usage
    model: str
    """The model that answered, as the vendor names it."""
    tool_calls: tuple[ToolCall, ...] = ()


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider can do with a model."""

    images: bool
    tools: bool
    json_schema: bool
    """Has a mechanism of its own that makes answers fit `output_schema`."""
    system: bool = True
    """Takes a system part."""
    prefill: bool = True
    """Goes on with an answer that the request begins: its last message may be the assistant's."""
    context_tokens: int | None = None
    """How long input and answer may be together; `None`: not known."""


class AIService(Protocol):
    """One provider. Instances are made once per process and shared by all its jobs."""

    name: str
    """The `provider` of `provider/model`."""

    def capabilities(self, model: str) -> Capabilities:
        """What can be asked of `model`, as far as `providers.profiles` knows.

        The router makes questions fit for it, by these and by what the settings overrule. A service itself sends what
        it is asked; it raises `errors.Unsupported`, before any call is made, for what it has no way to send.
        """
        ...

    def region(self, model: str) -> str:
        """Where `model` runs, e.g. `eu-west-1`; empty if the vendor has but one place, or none is configured.

        Cheap: imports and asks nothing.
        """
        ...

    async def generate(self, ask: Ask) -> Answer:
        """The whole answer at once.

        Raises a class of `providers.errors`; cancelling closes the connection to the vendor. Makes exactly one
        attempt: retrying is the caller's business. Has no time limit of its own but for connecting (10 s).
        """
        ...

    def stream(self, ask: Ask) -> AsyncIterator[Delta | Metered | Answer]:
        """The answer as it comes: any number of `Delta`, then exactly one `Answer` with their whole text.

        `Metered` may come anywhere in between, from vendors that tell early; each replaces the one before.

        Errors, cancellation, attempts and limits as for `generate`; an `aclose()` of the iterator closes the
        connection too. What counts as the end is that the vendor says why the answer ends: then there is an answer
        after `GRACE_S` at the latest, whether an end mark comes or not. A stream that ends without such a reason
        raises `errors.StreamInterrupted`.
        """
        ...

    async def warm_up(self) -> None:
        """Does what the first call would otherwise wait for: an SDK takes up to a second to load.

        Raises a class of `providers.errors` if it cannot be used as it is configured.
        """
        ...

    async def aclose(self) -> None:
        """Closes what the service holds open."""
        ...
