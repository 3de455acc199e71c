"""What is said to the model: a prompt written in a file, or a conversation that the caller brings along."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from jobs.model import ModelSettings
from prompts import audio, messages
from prompts.problem import Path, Problem
from prompts.template import FenceBroken, RenderFailed, Template
from prompts.tools import Offered
from prompts.turn import Tool, ToolChoice, Turn


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt, ready for any model."""

    system: str | None
    messages: tuple[Turn, ...]
    """The last is the user's, or the assistant's: then the model goes on with it. None where there is nothing to ask a
    model, or where a session has the messages."""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    settings: ModelSettings
    reply_schema: dict[str, Any] | None
    """JSON Schema of the reply, where it must be a JSON object; `system` says so too."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a source makes of an input: the parts of a `Rendered` that have its name."""

    system: str | None
    messages: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"


class Source(Protocol):
    """Where a job type's prompt comes from."""

    def problems(self, value: Mapping[str, Any]) -> list[Problem]:
        """What is wrong with an input that fits its schema."""
        ...

    def prefill(self, value: Mapping[str, Any]) -> Path | None:
        """Where in a valid input the beginning of an answer stands that the model is to go on with, if it has one."""
        ...

    def urls(self, value: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
        """Every URL in a valid input that a worker will fetch, with its place."""
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

    def prefill(self, value: Mapping[str, Any]) -> None:
        """None: the last word is the file's."""

    def urls(self, value: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
        """None: a URL in a caller's text is only text."""
        return iter(())

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
            return Said(system=system or None, messages=(Turn.of("user", user),))


class Instructed(msgspec.Struct, frozen=True, kw_only=True):
    """The input of a type that speaks, listens or takes turns; of a prompt there is at most the system part.

    What the model of a turn is told besides is not in the input: the conversation is its session's.
    """

    system: Template | None
    defaults: Mapping[str, Any]
    """As of `Written`, and of what the session gives (`SESSION_FIELDS`)."""
    audio: bool
    """Whether the input has a field with audio."""
    images: bool = False
    """Whether the input has a field with images."""

    def problems(self, value: Mapping[str, Any]) -> list[Problem]:
        """What is wrong with the audio and the images."""
        found: list[Problem] = []
        wrong = audio.problem(value[audio.FIELD]) if self.audio and audio.FIELD in value else None
        if wrong is not None:
            field, detail = wrong
            found.append(Problem((audio.FIELD, field) if field else (audio.FIELD,), detail))
        return [*found, *messages.image_problems(self._images(value), (IMAGES,))]

    def prefill(self, value: Mapping[str, Any]) -> None:
        """None: the last word is the user's."""

    def urls(self, value: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
        """Those of the audio and of the images."""
        given = value.get(audio.FIELD) if self.audio else None
        if given and given.get("url"):
            yield (audio.FIELD, "url"), given["url"]
        for index, item in enumerate(self._images(value)):
            if "url" in item:
                yield (IMAGES, index, "url"), item["url"]

    def say(self, value: Mapping[str, Any]) -> Said:
        """The system part, and what is said besides words; `value` may hold the session's fields."""
        system = self.system.render({**self.defaults, **value}) if self.system else ""
        shown = messages.images(self._images(value), (IMAGES,))
        return Said(system=system or None, messages=(Turn("user", shown),) if shown else ())

    def _images(self, value: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = value.get(IMAGES, ()) if self.images else ()
        return found


IMAGES = "images"
"""The input field with `[{url} or {media_type, base64}, …]`."""
SESSION_FIELDS = ("instructions", "language", "context", "now")
"""What the system part of a turn may speak of besides the input: the session's persona; the tag of its language; its
attributes, one `name: value` to a line; date and time. Each is a text, which may be empty."""


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation that the caller brings, passed on word for word.

    The system part is either the file's or, where the file has none, the caller's.
    """

    messages: str
    """The input field with `[{role, content}, …]`."""
    prompt: str | None
    """The input field for a single user message instead."""
    tools: Offered | None
    system: Template | None
    defaults: Mapping[str, Any]

    def problems(self, value: Mapping[str, Any]) -> list[Problem]:
        """What is wrong with the messages and the tools."""
        names = [name for name in (self.messages, self.prompt) if name]
        if sum(name in value for name in names) != 1:
            one = f"give exactly one of: {', '.join(names)}" if self.prompt else "is required"
            return [Problem((self.messages,), one)]
        if value.get(self.messages) == []:
            return [Problem((self.messages,), "must not be empty")]
        offered = self.tools.problems(value) if self.tools else []
        if self.messages not in value:
            return offered
        return [*messages.read(value[self.messages], (self.messages,)).problems, *offered]

    def prefill(self, value: Mapping[str, Any]) -> Path | None:
        """The last message, if it is the assistant's."""
        brought = self._brought(value)
        return (self.messages, len(brought) - 1) if brought and brought[-1]["role"] == "assistant" else None

    def urls(self, value: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
        """Those of the images."""
        return messages.image_urls(self._brought(value), (self.messages,))

    def say(self, value: Mapping[str, Any]) -> Said:
        """The caller's messages; those with the role `system`, wherever they stand, make the system part."""
        if self.prompt and self.prompt in value:
            said = Said(system=None, messages=(Turn.of("user", value[self.prompt]),))
        else:
            read = messages.read(value[self.messages], (self.messages,))
            said = Said(system=read.system or None, messages=read.turns)
        if self.system:
            said = msgspec.structs.replace(said, system=self.system.render({**self.defaults, **value}) or None)
        if self.tools:
            tools, choice = self.tools.of(value)
            said = msgspec.structs.replace(said, tools=tools, tool_choice=choice)
        return said

    def _brought(self, value: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = value.get(self.messages, ())
        return found
