"""A job type: what it takes, what it asks a model, and what it makes of the reply."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from jobs import errors
from jobs.job import PromptRef
from jobs.model import ModelSettings
from prompts.conversation import Rendered, Source
from prompts.output import Output
from prompts.problem import Problem, pointer
from prompts.schema import REPORT_LIMIT, Schema
from prompts.turn import ToolCall, Turn

_JSON_ONLY = (
    "Reply with exactly one JSON object and nothing else: no explanation, no code fence. "
    "It must be valid JSON that fits this JSON Schema:\n"
)
_REPAIR = (
    "Your reply cannot be used: {reason}.\n"
    "Give the corrected reply to the request above. Output only the reply itself, in the form that was asked for, "
    "without apology or comment."
)


Runner = Literal["answer", "speak", "transcribe", "turn"]
"""How a job is run: by asking a model, by speaking, by listening, or as a turn of a session."""


class JobType(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt file, ready to use. Immutable; its methods do no I/O."""

    name: str
    description: str
    version: str
    ref: PromptRef
    input_schema: dict[str, Any]
    """JSON Schema of the job's `input`, without references: it may stand anywhere in another document."""
    output_schema: dict[str, Any]
    """JSON Schema of the job's `output`, likewise."""
    model: str | None
    """Route or `provider/model` that the prompt asks for."""
    settings: ModelSettings

    accepts: Schema
    source: Source
    output: Output
    settings_from: tuple[str, ...]
    """Input fields that override the settings of the same name."""
    runner: Runner = "answer"
    defaults: Mapping[str, Any] = {}
    """The values of those input fields that the file gives one."""

    def filled(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """A valid input with the file's defaults."""
        return {**self.defaults, **value}

    def validate(self, value: Any) -> None:
        """Raises `errors.InvalidRequest` with one entry for each of up to 20 problems of `value`, the job's input."""
        problems = self.accepts.problems(value)
        if not problems:
            problems = [*self.source.problems(value), *self.output.problems(value)][:REPORT_LIMIT]
        if not problems and self.output.reply_schema(value) is not None and (at := self.source.prefill(value)):
            problems = [Problem((*at, "role"), "must not be assistant: an answer that fits a schema has no beginning")]
        if not problems:
            return
        found = tuple(errors.FieldError(pointer=pointer(("input", *p.path)), detail=p.detail) for p in problems)
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise errors.InvalidRequest(f"{found[0].pointer}: {found[0].detail}{more}", errors=found)

    def render(self, value: Mapping[str, Any]) -> Rendered:
        """The prompt for a valid input.

        Raises `prompts.template.RenderFailed` when the prompt file's own expressions fail on it.
        """
        said = self.source.say(value)
        system = said.system
        schema = self.output.reply_schema(value) if self.runner == "answer" else None
        if schema is not None:
            form = _JSON_ONLY + msgspec.json.encode(schema).decode()
            system = f"{system}\n\n{form}" if system else form
        return Rendered(
            system=system,
            messages=said.messages,
            tools=said.tools,
            tool_choice=said.tool_choice,
            settings=self._settings(value),
            reply_schema=schema,
        )

    def urls(self, value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Every URL in a valid input that a worker will fetch, each with a pointer to it."""
        return ((pointer(("input", *path)), url) for path, url in self.source.urls(value))

    def _settings(self, value: Mapping[str, Any]) -> ModelSettings:
        given = {name: value[name] for name in self.settings_from if value.get(name) is not None}
        return overridden(self.settings, given) if given else self.settings

    def parse(self, reply: str, value: Mapping[str, Any], calls: Sequence[ToolCall] = ()) -> dict[str, Any]:
        """The job's output from the model's whole reply to `value`, and the tools that it calls in it.

        Raises `prompts.output.ReplyInvalid`.
        """
        return self.output.parse(reply, value, calls)

    def repair(self, rendered: Rendered, reply: str, reason: str) -> Rendered:
        """The conversation continued, so that the model corrects its `reply`; `reason` is `ReplyInvalid`'s."""
        if rendered.messages[-1].role == "assistant":
            return rendered  # it goes on with a given beginning: nothing that can be talked about, only tried again
        # Vendors refuse empty messages.
        said = Turn.of("assistant", reply if reply.strip() else "(no reply)")
        correction = Turn.of("user", _REPAIR.format(reason=reason))
        return msgspec.structs.replace(rendered, messages=(*rendered.messages, said, correction))


def overridden(settings: ModelSettings, values: Mapping[str, Any]) -> ModelSettings:
    """`settings` with some fields replaced; whole numbers such as `1024.0` count as integers."""
    return msgspec.convert(msgspec.structs.asdict(settings) | dict(values), ModelSettings, strict=False)
