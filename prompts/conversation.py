"""What is said to the model: a prompt written in a file, or a conversation that the caller brings along."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import msgspec

from jobs.model import ModelSettings
from prompts.problem import Problem
from prompts.template import FenceBroken, RenderFailed, Template

ROLES = ("system", "user", "assistant")


class Turn(msgspec.Struct, frozen=True):
    """One message to the model, or an earlier one of its own."""

    role: Literal["user", "assistant"]
    text: str


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt, ready for any model."""

    system: str | None
    messages: tuple[Turn, ...]
    """At least one; the last is the user's."""
    settings: ModelSettings
    reply_schema: dict[str, Any] | None
    """JSON Schema of the reply, where it must be a JSON object; `system` says so too."""


Said = tuple[str | None, tuple[Turn, ...]]
"""The system part and the messages."""


class Source(Protocol):
    """Where a job type's prompt comes from."""

    def problems(self, value: Mapping[str, Any]) -> list[Problem]:
        """What is wrong with an input that fits its schema."""
        ...

    def say(self, value: Mapping[str, Any]) -> Said:
        """The prompt for a valid input; raises `RenderFailed`."""
        ...


def new_fence() -> str:
    """A name for the tag around a caller's text that nobody can guess before."""
    return f"text-{secrets.token_hex(6)}"


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt whose words are the file's; the caller's text stands in it between fences."""

    system: Template | None
    user: Template
    defaults: Mapping[str, Any]
    """A value for every optional field, `None` where the file gives none."""
    fence: Callable[[], str] = new_fence

    def problems(self, value: Mapping[str, Any]) -> list[Problem]:
        """None: the schema says it all."""
        return []

    def say(self, value: Mapping[str, Any]) -> Said:
        """The system part and one message; taken anew with another fence until the text does not contain it."""
        while True:
            values = {**self.defaults, **value, "fence": self.fence()}
            try:
                system = self.system.render(values) if self.system else ""
                user = self.user.render(values)
            except FenceBroken:
                continue
            if not user:
                raise RenderFailed("the user part of the prompt came out empty")
            return system or None, (Turn("user", user),)


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation that the caller brings, passed on word for word.

    The system part is either the file's or, where the file has none, the caller's.
    """

    messages: str
    """The input field with `[{role, content}, …]`."""
    prompt: str | None
    """The input field for a single user message instead."""
    system: Template | None
    defaults: Mapping[str, Any]

    def problems(self, value: Mapping[str, Any]) -> list[Problem]:
        """A model can only answer a user: there must be messages, and the last one must be the user's."""
        names = [name for name in (self.messages, self.prompt) if name]
        if sum(name in value for name in names) != 1:
            one = f"give exactly one of: {', '.join(names)}" if self.prompt else "is required"
            return [Problem((self.messages,), one)]
        messages = value.get(self.messages)
        if messages == []:
            return [Problem((self.messages,), "must not be empty")]
        if messages and messages[-1]["role"] != "user":
            return [Problem((self.messages, len(messages) - 1, "role"), "the last message must be from the user")]
        return []

    def say(self, value: Mapping[str, Any]) -> Said:
        """The caller's messages; those with the role `system`, wherever they stand, make the system part."""
        if self.prompt and self.prompt in value:
            messages = [{"role": "user", "content": value[self.prompt]}]
        else:
            messages = value[self.messages]
        if self.system:
            system = self.system.render({**self.defaults, **value})
        else:
            system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
        turns = (Turn(message["role"], message["content"]) for message in messages if message["role"] != "system")
        return system or None, tuple(turns)
