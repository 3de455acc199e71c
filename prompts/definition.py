"""From a prompt file to a job type: what its front matter may say, and every check that stops a start early."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from jobs import errors
from jobs.job import PromptRef
from jobs.model import ModelSettings
from prompts import audio, conversation, document, messages, template
from prompts.conversation import SESSION_FIELDS, Brought, Instructed, Source, Written
from prompts.document import Document
from prompts.jobtype import JobType, Runner, overridden
from prompts.output import AsAsked, OrToolCalls, Output, PlainText, Structured
from prompts.problem import Path
from prompts.schema import Schema, SchemaInvalid, check_keywords
from prompts.template import Field, Template
from prompts.tools import Offered
from prompts.turn import ToolChoice

_NAME = r"^[a-z][a-z0-9_]{0,63}$"
_FROM_INPUT = {"temperature": "number", "max_tokens": "integer", "top_p": "number", "stop": "array"}
"""The settings that an input field may override, and of which type it must be."""
_TAKES: dict[Runner, tuple[str, ...]] = {
    "speak": ("text", "ssml"),
    "transcribe": (audio.FIELD,),
    "turn": ("text", audio.FIELD),
}
"""Of which input fields a runner needs one."""

FRONT_MATTER: dict[str, Any] = {
    "type": "object",
    "required": ["name", "description", "version", "input", "output"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": _NAME},
        "description": {"type": "string", "pattern": r"\S", "maxLength": 2000},
        "version": {"type": "string", "pattern": r"^[0-9A-Za-z][0-9A-Za-z._+-]{0,31}$"},
        "runner": {"enum": list(get_args(Runner))},
        "input": {
            "type": "object",
            "required": ["properties"],
            "properties": {
                "type": {"const": "object"},
                "properties": {"type": "object", "propertyNames": {"pattern": _NAME}},
                "additionalProperties": {"const": False},
            },
        },
        "output": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "text": {"type": "string", "pattern": _NAME},
                "description": {"type": "string"},
                "schema": {"type": "object", "required": ["type"], "properties": {"type": {"const": "object"}}},
                "schema_from": {"type": "string"},
                "data": {"type": "string", "pattern": _NAME},
                "tool_calls": {"type": "string", "pattern": _NAME},
            },
        },
        "conversation": {
            "type": "object",
            "required": ["messages"],
            "additionalProperties": False,
            "properties": {name: {"type": "string"} for name in ("messages", "prompt", "tools", "tool_choice")},
        },
        "model": {"type": "string", "minLength": 1, "maxLength": 256},
        "settings": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "temperature": {"type": "number", "minimum": 0, "maximum": 2},
                "max_tokens": {"type": "integer", "minimum": 1},
                "top_p": {"type": "number", "minimum": 0, "maximum": 1},
                "stop": {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 8},
            },
        },
        "settings_from": {"type": "array", "items": {"enum": list(_FROM_INPUT)}, "uniqueItems": True},
    },
}
"""JSON Schema of the front matter."""

_FRONT_MATTER = Schema(FRONT_MATTER)


def job_type(source: Document, fence: Callable[[], str] = conversation.new_fence) -> JobType:
    """The job type that a prompt file defines; raises `errors.ConfigurationError` with file, line and reason.

    `fence` makes the names of the tags around callers' text.
    """
    return _Definition(source, fence).job_type()


class _Definition:
    """One file on its way to a job type."""

    def __init__(self, source: Document, fence: Callable[[], str]) -> None:
        self._file = source
        self._head = source.head
        self._fence = fence
        for problem in _FRONT_MATTER.problems(self._head):
            raise source.error(problem.path, problem.detail)
        self._properties: dict[str, Any] = self._head["input"]["properties"]
        self._runner: Runner = self._head.get("runner", "answer")

    def job_type(self) -> JobType:
        head = self._head
        accepts = self._input()
        made = JobType(
            name=head["name"],
            description=head["description"].strip(),
            version=head["version"],
            ref=PromptRef(name=head["name"], version=head["version"], sha256=self._file.sha256),
            input_schema=accepts.inlined(),
            output_schema=(output := self._output()).schema,
            model=head.get("model"),
            settings=overridden(ModelSettings(), head.get("settings", {})),
            accepts=accepts,
            source=self._source(),
            output=output,
            settings_from=self._settings_from(),
            runner=self._runner,
            defaults={
                name: part["default"]
                for name, part in self._properties.items()
                if isinstance(part, dict) and "default" in part
            },
        )
        self._try_examples(made)
        return made

    def _schema(self, path: Path, content: Mapping[str, Any]) -> Schema:
        try:
            check_keywords(content)
            return Schema(content)
        except SchemaInvalid as error:
            raise self._file.error((*path, *error.problem.path), error.problem.detail) from error

    def _input(self) -> Schema:
        for name in self._properties:
            if name in template.RESERVED:
                raise self._file.error(("input", "properties", name), "is a word of the template language; rename it")
        accepts = self._schema(("input",), {"type": "object", **self._head["input"], "additionalProperties": False})
        for index, name in enumerate(accepts.document.get("required", ())):
            if name not in self._properties:
                raise self._file.error(("input", "required", index), f"{name!r} is not among the properties")
        for name, part in self._properties.items():
            if isinstance(part, dict):
                self._check_values(name, part)
        return accepts

    def _check_values(self, name: str, part: Mapping[str, Any]) -> None:
        """The default and the examples of one input field must fit it."""
        values: list[tuple[Path, Any]] = [(("examples", i), value) for i, value in enumerate(part.get("examples", ()))]
        if "default" in part:
            values.append((("default",), part["default"]))
        shared = {key: self._head["input"][key] for key in ("$defs", "definitions") if key in self._head["input"]}
        at: Path = ("input", "properties", name)
        schema = self._schema(at, {**shared, **part})
        for place, value in values:
            for problem in schema.problems(value):
                raise self._file.error((*at, *place, *problem.path), problem.detail)

    def _output(self) -> Output:
        said, brought = self._head["output"], self._head.get("conversation", {})
        output = self._answer(said)
        if ("tool_calls" in said) != ("tools" in brought):
            raise self._file.error(("output",), "`tool_calls` and the `tools` of a conversation need each other")
        if "tool_calls" not in said:
            return output
        if isinstance(output, Structured):
            raise self._file.error(("output", "tool_calls"), "needs `text`: what the model says besides its calls")
        return OrToolCalls(
            otherwise=output, text=said["text"], name=said["tool_calls"], choice=brought.get("tool_choice")
        )

    def _answer(self, said: Mapping[str, Any]) -> PlainText | Structured | AsAsked:
        """The output where the model calls no tools."""
        match sorted(said.keys() - {"description", "tool_calls"}):
            case ["text"]:
                return PlainText(said["text"], said.get("description"))
            case ["schema"] if "description" not in said:
                content = {"additionalProperties": False, **said["schema"]}
                return Structured(self._schema(("output", "schema"), content))
            case ["data", "schema_from", "text"]:
                self._field(("output", "schema_from"), said["schema_from"], "object")
                if "conversation" not in self._head or "system" not in self._roles() or self._file.sections:
                    reason = "only a conversation whose system part is the caller's can take its schema from the input"
                    raise self._file.error(("output", "schema_from"), reason)
                text = PlainText(said["text"], said.get("description"))
                return AsAsked(text=text, data=said["data"], source=said["schema_from"])
        raise self._file.error(("output",), "give `text`, or `schema`, or all of `text`, `data` and `schema_from`")

    def _field(self, path: Path, name: str, type_: str) -> Any:
        """The schema of the input field that the front matter names at `path`."""
        part = self._properties.get(name)
        if not isinstance(part, dict) or part.get("type") != type_:
            raise self._file.error(path, f"{name!r} must be an input field of type {type_}")
        return part

    def _settings_from(self) -> tuple[str, ...]:
        names = self._head.get("settings_from", [])
        for index, name in enumerate(names):
            part = self._field(("settings_from", index), name, _FROM_INPUT[name])
            if name == "stop" and not _types(part.get("items"), "string"):
                raise self._file.error(("settings_from", index), "the items of 'stop' must be of type string")
        return tuple(names)

    def _roles(self) -> list[str]:
        """The roles that the messages of a brought conversation may have."""
        at: Path = ("conversation", "messages")
        item = self._item(at, self._head["conversation"]["messages"], role=["string"], content=["string", "array"])
        role = item["properties"]["role"] if item else {}
        roles = role.get("enum", ())
        if not item or not roles or not set(roles) <= set(messages.ROLES) or "role" not in item.get("required", ()):
            reason = (
                f"its items must be objects that require `role` (an enum of {', '.join(messages.ROLES)}) and have "
                "`content` (a string, or a string or an array of parts)"
            )
            raise self._file.error(at, reason)
        if "tool" in roles and "tools" not in self._head["conversation"]:
            raise self._file.error(at, "the role tool needs `tools` in the conversation")
        return list(roles)

    def _item(self, at: Path, array: str, **fields: list[str]) -> dict[str, Any] | None:
        """The items' schema of the field `array`, named at `at`; `None` if they are no objects with those `fields`."""
        item: dict[str, Any] = self._field(at, array, "array").get("items")
        if not _types(item, "object"):
            return None
        known = item.get("properties", {})
        return item if all(_types(known.get(field), *types) for field, types in fields.items()) else None

    def _tools(self, brought: Mapping[str, str]) -> Offered | None:
        """The fields with the tools of a brought conversation."""
        choice = brought.get("tool_choice")
        if "tools" not in brought:
            if choice is not None:
                raise self._file.error(("conversation", "tool_choice"), "means nothing without `tools`")
            return None
        item = self._item(("conversation", "tools"), brought["tools"], name=["string"], parameters=["object"])
        if item is None or not {"name", "parameters"} <= set(item.get("required", ())):
            reason = "its items must be objects that require `name` (a string) and `parameters` (an object)"
            raise self._file.error(("conversation", "tools"), reason)
        if "description" in item["properties"] and not _types(item["properties"]["description"], "string"):
            raise self._file.error(("conversation", "tools"), "`description` must be of type string")
        if choice is not None:
            options = self._field(("conversation", "tool_choice"), choice, "string").get("enum", ())
            if not options or not set(options) <= set(get_args(ToolChoice)):
                reason = f"{choice!r} must be an enum of {', '.join(get_args(ToolChoice))}"
                raise self._file.error(("conversation", "tool_choice"), reason)
        return Offered(tools=brought["tools"], choice=choice)

    def _source(self) -> Source:
        fields = template.fields_of(self._head["input"])
        defaults = {
            name: part.get("default") if isinstance(part, dict) else None for name, part in self._properties.items()
        }
        if self._runner != "answer":
            return self._instructed(fields, defaults)
        brought = self._head.get("conversation")
        if brought is None:
            fields["fence"] = template.FENCE
            user = self._part("user", fields)
            if user is None:
                raise self._file.error((), "the section '# user' is missing or empty")
            return Written(system=self._part("system", fields), user=user, defaults=defaults, fence=self._fence)
        if "user" in self._file.sections:
            reason = "the caller brings the conversation; a section '# user' has no place in it"
            raise document.at_line(self._file.path, self._file.sections["user"].line - 1, reason)
        system = self._part("system", fields)
        if system and "system" in self._roles():
            reason = "with a section '# system', messages must not have the role system"
            raise self._file.error(("conversation", "messages"), reason)
        self._roles()
        if "prompt" in brought:
            self._field(("conversation", "prompt"), brought["prompt"], "string")
        return Brought(
            messages=brought["messages"],
            prompt=brought.get("prompt"),
            tools=self._tools(brought),
            system=system,
            defaults=defaults,
        )

    def _instructed(self, fields: Mapping[str, Field], defaults: Mapping[str, Any]) -> Instructed:
        """The source of a type that does more than ask a model."""
        runner = self._runner
        if not any(name in self._properties for name in _TAKES[runner]):
            raise self._file.error(("runner",), f"{runner} needs an input field {' or '.join(_TAKES[runner])}")
        if "schema" not in self._head["output"]:
            raise self._file.error(("output",), f"with the runner {runner}, give `schema`")
        if "conversation" in self._head:
            raise self._file.error(("conversation",), f"means nothing with the runner {runner}")
        for name, section in self._file.sections.items():
            if name == "user" or runner != "turn":
                reason = f"with the runner {runner}, a section '# {name}' has no place here"
                raise document.at_line(self._file.path, section.line - 1, reason)
        if runner == "turn":
            fields = {**fields, **dict.fromkeys(SESSION_FIELDS, Field(free=False, always=True))}
            defaults = {**defaults, **dict.fromkeys(SESSION_FIELDS, "")}
        return Instructed(
            system=self._part("system", fields),
            defaults=defaults,
            audio=audio.FIELD in self._properties,
            images=runner == "turn" and conversation.IMAGES in self._properties,
        )

    def _part(self, name: str, fields: Mapping[str, Field]) -> Template | None:
        section = self._file.sections.get(name)
        if section is None or not section.text.strip():
            return None
        try:
            return Template(section.text, line=section.line, fields=fields, instructs=name == "system")
        except template.TemplateInvalid as error:
            raise document.at_line(self._file.path, error.line, error.reason) from error

    def _try_examples(self, made: JobType) -> None:
        """The examples of a prompt file are its first callers."""
        for index, example in enumerate(self._head["input"].get("examples", [])):
            try:
                made.validate(example)
                made.render(example)
            except errors.RingbackError as error:
                raise self._file.error(("input", "examples", index), error.detail) from error


def _types(schema: Any, *wanted: str) -> bool:
    """Whether `schema` lets nothing through but values of the types `wanted`."""
    given = schema.get("type", []) if isinstance(schema, dict) else []
    types = [given] if isinstance(given, str) else given
    return bool(types) and set(types) <= set(wanted)
