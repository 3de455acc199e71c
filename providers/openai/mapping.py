"""Our types to chat completions and back. Whole answers and chunks of a stream are read by the same code."""

import base64
import re
from typing import Any, assert_never

import msgspec

from jobs.model import Usage
from providers import errors
from providers.openai.errors import PROVIDER, from_event
from providers.service import Answer, Ask, Finish, Image, Message, Text, Tool, ToolCall, ToolResult

_REASONING_MODEL = re.compile(r"(?:.*/)?(?:o[1-9]|gpt-5(?!.*-chat))(?:[-.].*)?")
"""OpenAI's own models that think first: they refuse `max_tokens`, `temperature` and `top_p`."""

# fmt: off
_STRICT_KEYWORDS = frozenset({
    "$defs", "$ref", "additionalProperties", "anyOf", "const", "default", "description", "enum", "exclusiveMaximum",
    "exclusiveMinimum", "format", "items", "maxItems", "maxLength", "maximum", "minItems", "minLength", "minimum",
    "multipleOf", "pattern", "properties", "required", "title", "type",
})
# fmt: on
_FINISHES: dict[str, Finish] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "complete": "stop",
    "completed": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "prohibited_content": "content_filter",
    "recitation": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",
}
"""By the reason in lower case: OpenAI's five, and what servers and proxies pass on of other vendors'.

No other reason is taken for a success: servers also end streams with `error`, `abort`, `network_error` or
`insufficient_system_resource`.
"""
_NO_REASON = frozenset({"", "null", "none"})
"""What some servers send for `null` before the end."""


def request_body(ask: Ask, *, stream: bool, official: bool) -> bytes:
    """The JSON body; `official`: the server is OpenAI's or Azure's own, where `max_tokens` is no longer taken."""
    reasoning = _REASONING_MODEL.fullmatch(ask.model) is not None
    settings = ask.settings
    body: dict[str, Any] = {"model": ask.model, "messages": _messages(ask)}
    if settings.max_tokens is not None:
        body["max_completion_tokens" if official or reasoning else "max_tokens"] = settings.max_tokens
    if settings.temperature is not None and not reasoning:
        body["temperature"] = settings.temperature
    if settings.top_p is not None and not reasoning:
        body["top_p"] = settings.top_p
    if settings.stop:
        body["stop"] = settings.stop
    if ask.tools:
        body["tools"] = [_tool(tool) for tool in ask.tools]
        if ask.tool_choice != "auto":
            body["tool_choice"] = ask.tool_choice
    if ask.output_schema is not None:
        strict = ask.output_schema.get("type") == "object" and _is_strict(ask.output_schema)
        named = {"name": "answer", "schema": ask.output_schema, "strict": strict}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return msgspec.json.encode(body)


def _messages(ask: Ask) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if ask.system is not None:
        messages.append({"role": "system", "content": ask.system})
    for message in ask.messages:
        messages.extend(_message(message))
    return messages


def _message(message: Message) -> list[dict[str, Any]]:
    """One message as the wire's ones: tool results are messages of their own there, before the rest."""
    content: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    wired: list[dict[str, Any]] = []
    for part in message.parts:
        match part:
            case Text(text=text):
                content.append({"type": "text", "text": text})
            case Image(media_type=media_type, data=data):
                url = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
                content.append({"type": "image_url", "image_url": {"url": url}})
            case ToolCall(id=id_, name=name, arguments=arguments):
                function = {"name": name, "arguments": msgspec.json.encode(arguments).decode()}
                calls.append({"id": id_, "type": "function", "function": function})
            case ToolResult(call_id=id_, content=result):
                wired.append({"role": "tool", "tool_call_id": id_, "content": result})
            case _:
                assert_never(part)
    if content or calls:
        # Plain text goes as a string: not every server takes it as a list of parts.
        plain = content[0]["text"] if len(content) == 1 and content[0]["type"] == "text" else content or None
        wired.append({"role": message.role, "content": plain} | ({"tool_calls": calls} if calls else {}))
    return wired


def _tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _is_strict(schema: Any) -> bool:
    """Whether OpenAI's strict mode takes the schema: closed objects with all fields required, known keywords only."""
    if not isinstance(schema, dict) or not schema.keys() <= _STRICT_KEYWORDS:
        return False
    fields = schema.get("properties", {})
    if schema.get("type") == "object" and (
        schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(fields)
    ):
        return False
    inner = [*fields.values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", ())]
    return all(_is_strict(part) for part in inner) and ("items" not in schema or _is_strict(schema["items"]))


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class _Message(msgspec.Struct):
    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    index: int | None = 0
    delta: _Message | None = None
    message: _Message | None = None
    finish_reason: str | None = None


class Completion(msgspec.Struct):
    """A `chat.completion` or a `chat.completion.chunk`, as far as we read it."""

    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(Completion)


class _PendingCall(msgspec.Struct):
    index: int | None
    id: str | None
    name: str = ""
    arguments: str = ""


class Assembly:
    """An answer that is being put together from one whole completion or from many chunks."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._model = ask.model
        self._texts: list[str] = []
        self._calls: list[_PendingCall] = []
        self._usage = Usage()
        self._refused = False
        self._reason = ""
        self._began = False
        self._premature = False
        self.metered: Usage | None = None
        """Usage that was told before the end, for who takes it away."""

    @property
    def complete(self) -> bool:
        """Whether nothing more of the answer can come.

        The reason alone does not say so: some proxies put one into every chunk, also before the first text. So it
        counts only after a part of the answer that came without it, and if none came after it.
        """
        return self._reason != "" and self._began and not self._premature

    def add(self, document: bytes) -> str:
        """Takes in one completion or chunk and returns the text it adds; empty if none.

        Raises `errors.MalformedAnswer` for what is not one, and the error that it reports if it reports one.
        """
        try:
            completion = _decoder.decode(document)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if self.complete:  # so it held no part of the answer
                return ""
            raise errors.MalformedAnswer(f"not a chat completion: {error}", provider=PROVIDER) from error
        if completion.error and completion.error != b"null":
            raise from_event(completion.error, self._ask)
        if completion.model:
            self._model = completion.model
        if completion.usage is not None:
            self._count(_usage(completion.usage))
        added = ""
        for choice in completion.choices or ():
            if choice.index:
                continue
            message = choice.delta or choice.message
            if message is not None:
                added = self._add_message(message)
            reason = (choice.finish_reason or "").lower()
            if reason not in _NO_REASON:
                self._reason = reason
            elif message is not None and (added or message.tool_calls):
                self._began = True
        return added

    def answer(self) -> Answer:
        """The whole answer.

        Raises `errors.StreamInterrupted` if the server did not say why it ends, `errors.ContentFiltered` if it was
        blocked before any of it came, `errors.MalformedAnswer` if it ends for a reason that is none.
        """
        if not self._reason:
            raise errors.StreamInterrupted("The answer ended without a finish reason", provider=PROVIDER)
        text = "".join(self._texts)
        finish = _FINISHES.get(self._reason)
        if finish is None:
            raise errors.MalformedAnswer(f"The server gave up on its answer: {self._reason[:40]}", provider=PROVIDER)
        calls = self._tool_calls(truncated=finish == "length")
        if self._refused and finish == "stop":
            finish = "content_filter"
        if not text and not calls and finish == "content_filter":
            raise errors.ContentFiltered(provider=PROVIDER)
        if calls and finish == "stop":
            finish = "tool_calls"
        if finish == "tool_calls" and not calls:
            raise errors.MalformedAnswer("The answer is said to call tools, but calls none", provider=PROVIDER)
        return Answer(text=text, finish=finish, usage=self._usage, model=self._model, tool_calls=calls)

    def _count(self, usage: Usage) -> None:
        if usage != self._usage:
            self._usage = usage
            if not self._reason:
                self.metered = usage

    def _add_message(self, message: _Message) -> str:
        if self._reason and (message.content or message.tool_calls):
            self._premature = True
        if message.tool_calls:
            for call in message.tool_calls:
                self._add_call(call)
        if message.refusal:
            self._refused = True
        content = message.content
        if not content:
            return ""
        if not isinstance(content, str):
            content = "".join(str(part.get("text", "")) for part in content if part.get("type") == "text")
        self._texts.append(content)
        return content

    def _add_call(self, part: _Call) -> None:
        """Joins the pieces of a call by its index; servers that leave the index out send whole calls, with ids."""
        pending = next((call for call in reversed(self._calls) if call.index == part.index), None)
        if pending is None or (part.id and pending.id and part.id != pending.id):
            pending = _PendingCall(part.index, part.id)
            self._calls.append(pending)
        pending.id = pending.id or part.id
        pending.name = pending.name or part.function.name or ""
        arguments = part.function.arguments
        if arguments:
            pending.arguments += arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()

    def _tool_calls(self, *, truncated: bool) -> tuple[ToolCall, ...]:
        calls: list[ToolCall] = []
        for n, pending in enumerate(self._calls):
            try:
                arguments = msgspec.json.decode(pending.arguments or "{}", type=dict[str, Any])
            except msgspec.DecodeError as error:
                if truncated and n == len(self._calls) - 1:
                    break
                detail = f"the arguments of the tool call {pending.name!r} are not a JSON object"
                raise errors.MalformedAnswer(detail, provider=PROVIDER) from error
            calls.append(ToolCall(pending.id or f"call_{n}", pending.name, arguments))
        return tuple(calls)


def _usage(usage: _Usage) -> Usage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        input_tokens=usage.prompt_tokens or 0,
        output_tokens=usage.completion_tokens or 0,
        cached_tokens=(prompt.cached_tokens or 0) if prompt else 0,
        reasoning_tokens=(completion.reasoning_tokens or 0) if completion else 0,
    )
