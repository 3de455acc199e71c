"""Our types to Anthropic's messages and back. Whole answers and streams are read by the same code."""

import base64
from typing import TYPE_CHECKING, Any, Final, assert_never

import msgspec

from jobs.model import Usage
from providers import errors
from providers.service import Answer, Ask, Finish, Image, Message, Text, Tool, ToolCall, ToolResult

if TYPE_CHECKING:
    from anthropic import types

PROVIDER: Final = "anthropic"
DEFAULT_MAX_TOKENS: Final = 4096
"""Where the caller gives none; Anthropic demands one."""

_FINISHES: dict[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""No other reason is taken for a success.

`pause_turn` says that the answer is not complete; it belongs to tools that run at Anthropic, which are never asked for.
"""


def request(ask: Ask, model: str) -> dict[str, Any]:
    """The arguments of `messages.create`.

    `temperature` and `top_p` are left out: API version 2026-10-21, which the SDK speaks, refuses them with any model.
    """
    arguments: dict[str, Any] = {
        "model": model,
        "max_tokens": ask.settings.max_tokens or DEFAULT_MAX_TOKENS,
        "messages": [wired for message in ask.messages if (wired := _message(message))["content"]],
    }
    if ask.system is not None and ask.system.strip():
        arguments["system"] = ask.system
    if ask.settings.stop:
        arguments["stop_sequences"] = list(ask.settings.stop)
    if ask.tools:
        arguments["tools"] = [_tool(tool) for tool in ask.tools]
        if ask.tool_choice != "auto":
            arguments["tool_choice"] = {"type": "any" if ask.tool_choice == "required" else "none"}
    if ask.output_schema is not None and (schema := _schema(ask.output_schema)) is not None:
        arguments["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return arguments


def _message(message: Message) -> dict[str, Any]:
    """One message; tool results come first, as the API demands, and blank texts, which it refuses, are dropped."""
    blocks: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for part in message.parts:
        match part:
            case Text(text=text):
                if text.strip():
                    blocks.append({"type": "text", "text": text})
            case Image(media_type=media_type, data=data):
                source = {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}
                blocks.append({"type": "image", "source": source})
            case ToolCall(id=id_, name=name, arguments=arguments):
                blocks.append({"type": "tool_use", "id": id_, "name": name, "input": arguments})
            case ToolResult(call_id=id_, content=content):
                results.append({"type": "tool_result", "tool_use_id": id_, "content": content})
            case _:
                assert_never(part)
    return {"role": message.role, "content": results + blocks}


def _tool(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}


def _schema(schema: dict[str, Any]) -> dict[str, Any] | None:
    """The schema in the subset that Anthropic takes; `None` if it cannot be said in it."""
    import anthropic

    try:
        return anthropic.transform_schema(schema)
    except (AssertionError, AttributeError, TypeError, ValueError):  # its ways of refusing, by construct
        return None


class _PendingCall(msgspec.Struct):
    id: str
    name: str
    arguments: dict[str, Any] | None
    """As the whole answer has them."""
    json: str = ""
    """As a stream brings them, piece by piece."""


class Assembly:
    """An answer that is being put together from one whole message or from the events of a stream."""

    def __init__(self, ask: Ask) -> None:
        self._model = ask.model
        self._texts: list[str] = []
        self._calls: dict[int, _PendingCall] = {}
        self._counts: dict[str, int] = {}
        self._stop_reason: str | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing more of the answer can come: it comes with the last event but `message_stop`."""
        return self._stop_reason is not None

    def add_message(self, message: "types.Message") -> None:
        """Takes in a whole answer. Raises `errors.MalformedAnswer` for what is none."""
        try:
            self._start(message)
            for index, block in enumerate(message.content):
                self._block(index, block)
            self._stop_reason = message.stop_reason
        except (AttributeError, TypeError) as error:
            raise _malformed() from error

    def add_event(self, event: "types.RawMessageStreamEvent") -> str:
        """Takes in one event and returns the text it adds; empty if none. Raises `errors.MalformedAnswer`."""
        try:
            return self._event(event)
        except (AttributeError, KeyError, TypeError) as error:  # the SDK checks nothing of what it decodes
            raise _malformed() from error

    def answer(self) -> Answer:
        """The whole answer.

        Raises `errors.StreamInterrupted` if Anthropic did not say that it is complete, `errors.ContentFiltered` if the
        model refused before any of it came, `errors.MalformedAnswer` if it ends for a reason that is none.
        """
        if self._stop_reason is None:
            raise errors.StreamInterrupted("The answer ended without a stop reason", provider=PROVIDER)
        text = "".join(self._texts)
        finish = _FINISHES.get(self._stop_reason)
        if finish is None:
            raise errors.MalformedAnswer(f"The model gave up on its answer: {self._stop_reason}", provider=PROVIDER)
        calls = self._tool_calls(truncated=finish == "length")
        if finish == "tool_calls" and not calls:
            raise errors.MalformedAnswer("The answer is said to call tools, but calls none", provider=PROVIDER)
        if finish == "content_filter" and not text and not calls:
            raise errors.ContentFiltered("the model refused to answer", provider=PROVIDER)
        return Answer(text=text, finish=finish, usage=self.usage(), model=self._model, tool_calls=calls)

    def _event(self, event: "types.RawMessageStreamEvent") -> str:
        match event.type:
            case "content_block_delta":
                delta = event.delta
                if delta.type == "text_delta":
                    self._texts.append(delta.text)
                    return delta.text
                if delta.type == "input_json_delta":
                    self._calls[event.index].json += delta.partial_json
            case "content_block_start":
                return self._block(event.index, event.content_block)
            case "message_start":
                self._start(event.message)
            case "message_delta":
                self._stop_reason = event.delta.stop_reason or self._stop_reason
                self._count(event.usage)
            case _:
                pass  # content_block_stop, message_stop, and events yet to be invented
        return ""

    def _start(self, message: "types.Message") -> None:
        self._model = message.model or self._model
        self._count(message.usage)

    def _block(self, index: int, block: "types.ContentBlock") -> str:
        if block.type == "text":
            self._texts.append(block.text)
            return block.text
        if block.type == "tool_use":
            self._calls[index] = _PendingCall(block.id, block.name, block.input)
        return ""

    def _count(self, usage: "types.Usage | types.MessageDeltaUsage") -> None:
        """Notes the counts; those of later events are totals, and replace earlier ones."""
        details = usage.output_tokens_details
        counts = {
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "cache_read": usage.cache_read_input_tokens,
            "cache_creation": usage.cache_creation_input_tokens,
            "thinking": details.thinking_tokens if details else None,
        }
        self._counts |= {name: count for name, count in counts.items() if count is not None}

    def usage(self) -> Usage:
        """What has been counted so far."""
        count = self._counts.get
        return Usage(
            input_tokens=count("input", 0) + count("cache_read", 0) + count("cache_creation", 0),
            output_tokens=count("output", 0),
            cached_tokens=count("cache_read", 0),
            reasoning_tokens=count("thinking", 0),
        )

    def _tool_calls(self, *, truncated: bool) -> tuple[ToolCall, ...]:
        calls: list[ToolCall] = []
        for pending in self._calls.values():
            arguments = pending.arguments or {}
            if pending.json:
                try:
                    arguments = msgspec.json.decode(pending.json, type=dict[str, Any])
                except msgspec.DecodeError as error:
                    if truncated:  # the limit fell into the last call
                        break
                    detail = f"the arguments of the tool call {pending.name!r} are not a JSON object"
                    raise errors.MalformedAnswer(detail, provider=PROVIDER) from error
            calls.append(ToolCall(pending.id, pending.name, arguments))
        return tuple(calls)


def _malformed() -> errors.MalformedAnswer:
    return errors.MalformedAnswer("not a message of Anthropic's API", provider=PROVIDER)
