"""What a job type makes of a model's reply: text under a name, or a JSON object that is checked against a schema."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from prompts.problem import Path, Problem, kind_of, pointer
from prompts.schema import Schema, SchemaInvalid
from prompts.turn import ToolCall

_REASONS_LIMIT = 3
_REASON_LENGTH = 300


class ReplyInvalid(Exception):
    """The model's reply is not what the job type promises.

    `reason` is short and safe to log: it names places and rules of the schema, nothing of the reply.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Output(Protocol):
    """The output of a job type."""

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the output, for callers."""
        ...

    def problems(self, value: Mapping[str, Any]) -> list[Problem]:
        """What is wrong with what an input (that fits its schema) asks for."""
        ...

    def reply_schema(self, value: Mapping[str, Any]) -> dict[str, Any] | None:
        """JSON Schema of the reply to ask the model for; `None` for plain text."""
        ...

    def parse(self, reply: str, value: Mapping[str, Any], calls: Sequence[ToolCall] = ()) -> dict[str, Any]:
        """The output from a reply and the tools that it calls; raises `ReplyInvalid`."""
        ...


def _object_of(name: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: content}, "required": [name], "additionalProperties": False}


class PlainText(msgspec.Struct, frozen=True):
    """`{name: reply}`."""

    name: str
    description: str | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """One string."""
        described = {"description": self.description} if self.description else {}
        return _object_of(self.name, {"type": "string", **described})

    def problems(self, value: Mapping[str, Any]) -> list[Problem]:
        """None: no input asks for anything else."""
        return []

    def reply_schema(self, value: Mapping[str, Any]) -> None:
        """Plain text."""

    def parse(self, reply: str, value: Mapping[str, Any], calls: Sequence[ToolCall] = ()) -> dict[str, Any]:
        """The reply as it is, unless it is blank."""
        if not reply.strip():
            raise ReplyInvalid("the reply is empty")
        _check_unicode(reply)
        return {self.name: reply}


class Structured(msgspec.Struct, frozen=True):
    """The reply, a JSON object that fits the file's schema."""

    fit: Schema

    @property
    def schema(self) -> dict[str, Any]:
        """The file's schema."""
        return self.fit.inlined()

    def problems(self, value: Mapping[str, Any]) -> list[Problem]:
        """None: no input asks for anything else."""
        return []

    def reply_schema(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """The file's schema."""
        return self.fit.document

    def parse(self, reply: str, value: Mapping[str, Any], calls: Sequence[ToolCall] = ()) -> dict[str, Any]:
        """The object in the reply."""
        return _fitting(reply, self.fit)


class AsAsked(msgspec.Struct, frozen=True, kw_only=True):
    """`{text: reply}` or, when the input brings a schema, `{data: object}`."""

    text: PlainText
    data: str
    source: str
    """The input field with the schema."""

    @property
    def schema(self) -> dict[str, Any]:
        """Either of the two."""
        return {"oneOf": [self.text.schema, _object_of(self.data, {"type": "object"})]}

    def problems(self, value: Mapping[str, Any]) -> list[Problem]:
        """What is wrong with the caller's schema."""
        document = value.get(self.source)
        if document is None:
            return []
        if document.get("type") != "object":
            return [Problem((self.source, "type"), "must be object: the reply is always a JSON object")]
        try:
            Schema(document)
        except SchemaInvalid as error:
            return [Problem((self.source, *error.problem.path), error.problem.detail)]
        return []

    def reply_schema(self, value: Mapping[str, Any]) -> dict[str, Any] | None:
        """The caller's schema, if there is one."""
        return value.get(self.source)

    def parse(self, reply: str, value: Mapping[str, Any], calls: Sequence[ToolCall] = ()) -> dict[str, Any]:
        """Text or data, as asked for."""
        document = value.get(self.source)
        if document is None:
            return self.text.parse(reply, value)
        return {self.data: _fitting(reply, Schema(document))}


class OrToolCalls(msgspec.Struct, frozen=True, kw_only=True):
    """`{text: reply, name: [{id, name, arguments}, …]}` when the model calls tools, else what `otherwise` says."""

    otherwise: PlainText | AsAsked
    text: str
    name: str
    choice: str | None
    """The input field that may say that the model must, or must not, call one."""

    @property
    def schema(self) -> dict[str, Any]:
        """Any of the forms."""
        plain = self.otherwise.schema
        text = {"type": "string", "description": "What the model said besides; may be empty."}
        called = {"type": "object", "properties": {self.text: text, self.name: _CALLS}}
        forms = plain.get("oneOf", [plain])
        return {"oneOf": [*forms, called | {"required": [self.text, self.name], "additionalProperties": False}]}

    def problems(self, value: Mapping[str, Any]) -> list[Problem]:
        """Those of the other forms."""
        return self.otherwise.problems(value)

    def reply_schema(self, value: Mapping[str, Any]) -> dict[str, Any] | None:
        """That of the other forms."""
        return self.otherwise.reply_schema(value)

    def parse(self, reply: str, value: Mapping[str, Any], calls: Sequence[ToolCall] = ()) -> dict[str, Any]:
        """The calls win over text and data; their arguments are the caller's to check, who knows the tools."""
        choice = value.get(self.choice) if self.choice else None
        if not calls:
            if choice == "required":
                raise ReplyInvalid("a tool must be called, and none was")
            return self.otherwise.parse(reply, value)
        if choice == "none":
            raise ReplyInvalid("no tool may be called, and one was")
        made = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in calls]
        try:
            msgspec.json.encode((reply, made))
        except (UnicodeEncodeError, RecursionError):
            raise ReplyInvalid("the reply is not valid Unicode text, or nested too deeply") from None
        return {self.text: reply, self.name: made}


_CALLS = {
    "type": "array",
    "minItems": 1,
    "description": "The tools that the model wants called; their results come back in messages with the role tool.",
    "items": {
        "type": "object",
        "properties": {"id": {"type": "string"}, "name": {"type": "string"}, "arguments": {"type": "object"}},
        "required": ["id", "name", "arguments"],
        "additionalProperties": False,
    },
}


def _fitting(reply: str, schema: Schema) -> dict[str, Any]:
    data = _object_in(reply)
    problems = schema.problems(data)
    if problems:
        reasons = "; ".join(f"{pointer(_declared(p.path, schema))} {p.detail}" for p in problems[:_REASONS_LIMIT])
        raise ReplyInvalid(reasons if len(reasons) <= _REASON_LENGTH else reasons[: _REASON_LENGTH - 1] + "…")
    return data


def _object_in(reply: str) -> dict[str, Any]:
    """The one JSON object in `reply`, which may stand in a code fence or between words of explanation."""
    _check_unicode(reply)
    try:
        data = msgspec.json.decode(reply.strip())
    except (msgspec.DecodeError, RecursionError):
        start, end = reply.find("{"), reply.rfind("}")
        if start < 0:
            raise ReplyInvalid("the reply has no JSON object") from None
        try:
            data = msgspec.json.decode(reply[start : end + 1])
        except (msgspec.DecodeError, RecursionError):
            raise ReplyInvalid("the reply is not one valid JSON object") from None
    if not isinstance(data, dict):
        raise ReplyInvalid(f"the reply must be a JSON object (is {kind_of(data)})")
    return data


def _check_unicode(reply: str) -> None:
    """Refuses lone surrogates, which vendors' escapes can hold and which nothing can store."""
    try:
        reply.encode()
    except UnicodeEncodeError:
        raise ReplyInvalid("the reply is not valid Unicode text") from None


def _declared(path: Path, schema: Schema) -> Path:
    """`path` with `*` for names that do not come from the schema: the model made those up."""
    declared = schema.names
    return tuple(part if isinstance(part, int) or part in declared else "*" for part in path)
