"""Our types ↔ Converse: requests, and one reader for streamed and whole answers."""

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec

from jobs.model import Usage
from providers import errors
from providers.bedrock import schema
from providers.service import Answer, Ask, Finish, Image, Message, Text, ToolCall, ToolResult

PROVIDER = "bedrock"


def request(ask: Ask) -> dict[str, Any]:
    """The body of Converse and ConverseStream."""
    body: dict[str, Any] = {
        # Bedrock wants the roles to alternate: what one side says in a row is one message there.
        "messages": [
            {"role": role, "content": [block for message in row for block in _content(message)]}
            for role, row in groupby(ask.messages, key=attrgetter("role"))
        ],
    }
    if ask.system and not ask.system.isspace():
        body["system"] = [{"text": ask.system}]
    settings = {
        "temperature": ask.settings.temperature,
        "maxTokens": ask.settings.max_tokens,
        "topP": ask.settings.top_p,
        "stopSequences": list(ask.settings.stop) or None,
    }
    if given := {name: value for name, value in settings.items() if value is not None}:
        body["inferenceConfig"] = given
    # Converse has no choice "none". Tools must be there, though, if the conversation holds calls and results: then the
    # model may still call one.
    if ask.tools and (ask.tool_choice != "none" or _has_tool_parts(ask)):
        specs = [
            {"name": tool.name, "inputSchema": {"json": tool.parameters}}
            | ({"description": tool.description} if tool.description else {})
            for tool in ask.tools
        ]
        body["toolConfig"] = {"tools": [{"toolSpec": spec} for spec in specs]}
        if ask.tool_choice == "required":
            body["toolConfig"]["toolChoice"] = {"any": {}}
    if ask.output_schema is not None and (enforceable := schema.enforceable(ask.output_schema)) is not None:
        definition = {"name": "answer", "schema": msgspec.json.encode(enforceable).decode()}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}
    return body


def _has_tool_parts(ask: Ask) -> bool:
    return any(isinstance(part, ToolCall | ToolResult) for message in ask.messages for part in message.parts)


def _content(message: Message) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for part in message.parts:
        match part:
            case Text(text):
                if text and not text.isspace():  # Bedrock refuses blank ones
                    blocks.append({"text": text})
            case Image(media_type, data):
                blocks.append({"image": {"format": media_type.removeprefix("image/"), "source": {"bytes": data}}})
            case ToolCall(id_, name, arguments):
                blocks.append({"toolUse": {"toolUseId": id_, "name": name, "input": arguments}})
            case ToolResult(call_id, _, content):
                said = "(no output)" if not content or content.isspace() else content
                blocks.append({"toolResult": {"toolUseId": call_id, "content": [{"text": said}]}})
    return blocks


class _ToolUse:
    """A tool call in the making: its arguments come as pieces of JSON."""

    def __init__(self, start: dict[str, Any]) -> None:
        self.id: str = start["toolUseId"]
        self.name: str = start["name"]
        self.json = ""


class AnswerReader:
    """Gathers an answer from the events of a stream. A whole answer is read as the events that it would have been."""

    def __init__(self, ask: Ask) -> None:
        self._model = ask.model
        self._text: list[str] = []
        self._calls: dict[int, _ToolUse] = {}
        self._stop_reason: str | None = None
        self._usage = Usage()

    @property
    def complete(self) -> bool:
        """Whether nothing more of the answer can come; its usage still may."""
        return self._stop_reason is not None

    def read(self, event: dict[str, Any]) -> str:
        """Takes in one event of a stream and returns its text, which may be empty.

        Raises `errors.MalformedAnswer`.
        """
        try:
            if (delta := event.get("contentBlockDelta")) is not None:
                return self._delta(delta["contentBlockIndex"], delta["delta"])
            if (start := event.get("contentBlockStart")) is not None:
                if (tool := start["start"].get("toolUse")) is not None:
                    self._calls[start["contentBlockIndex"]] = _ToolUse(tool)
            elif (stop := event.get("messageStop")) is not None:
                self._stop_reason = stop["stopReason"]
            elif (metadata := event.get("metadata")) is not None:
                self._usage = _usage(metadata["usage"])
                router = metadata.get("trace", {}).get("promptRouter", {})
                self._model = router.get("invokedModelId", self._model)
        except (KeyError, TypeError):
            # botocore passes on what it could not parse as an event without its fields.
            raise errors.MalformedAnswer(provider=PROVIDER) from None
        return ""

    def _delta(self, index: int, delta: dict[str, Any]) -> str:
        text: str = delta.get("text", "")
        if text:
            self._text.append(text)
        elif (tool := delta.get("toolUse")) is not None:
            self._calls[index].json += tool["input"]
        return text

    def read_whole(self, response: dict[str, Any]) -> None:
        """Takes in the response of `converse`. Raises `errors.MalformedAnswer`."""
        for event in _events(response):
            self.read(event)

    def answer(self) -> Answer:
        """The whole answer, when there is nothing more to read.

        Raises `errors.StreamInterrupted` if Bedrock did not say that it is complete, `errors.ContentFiltered` if
        nothing was left of it, `errors.MalformedAnswer` if the model itself failed.
        """
        text = "".join(self._text)
        finish = _finish(self._stop_reason)
        if finish == "content_filter" and not text:
            raise errors.ContentFiltered(f"Bedrock withheld the answer: {self._stop_reason}", provider=PROVIDER)
        calls = tuple(call for tool in self._calls.values() if (call := _tool_call(tool)) is not None)
        if len(calls) < len(self._calls) and finish != "length":
            raise errors.MalformedAnswer("The arguments of a tool call are not a JSON object", provider=PROVIDER)
        if finish == "tool_calls" and not calls:
            raise errors.MalformedAnswer("The answer is said to call tools, but calls none", provider=PROVIDER)
        return Answer(text=text, finish=finish, usage=self._usage, model=self._model, tool_calls=calls)


def _events(response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    try:
        for index, block in enumerate(response["output"]["message"]["content"]):
            delta = block
            if (tool := block.get("toolUse")) is not None:
                yield {"contentBlockStart": {"contentBlockIndex": index, "start": {"toolUse": tool}}}
                delta = {"toolUse": {"input": msgspec.json.encode(tool["input"]).decode()}}
            yield {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}}
        yield {"messageStop": {"stopReason": response["stopReason"]}}
        yield {"metadata": response}
    except (KeyError, TypeError):
        raise errors.MalformedAnswer(provider=PROVIDER) from None


def _finish(stop_reason: str | None) -> Finish:
    match stop_reason:
        case None:
            raise errors.StreamInterrupted("Bedrock's answer ended without a stop reason", provider=PROVIDER)
        case "end_turn" | "stop_sequence":
            return "stop"
        case "tool_use":
            return "tool_calls"
        case "max_tokens" | "model_context_window_exceeded":
            return "length"
        case "guardrail_intervened" | "content_filtered" | "refusal":
            return "content_filter"
        case _:
            raise errors.MalformedAnswer(f"The model gave up on its answer: {stop_reason}", provider=PROVIDER)


def _tool_call(tool: _ToolUse) -> ToolCall | None:
    """`None` if its arguments are not a JSON object: the answer was cut off, or the model failed."""
    try:
        return ToolCall(tool.id, tool.name, msgspec.json.decode(tool.json or "{}", type=dict[str, Any]))
    except msgspec.DecodeError:
        return None


def _usage(usage: dict[str, int]) -> Usage:
    """Bedrock counts cached tokens beside the input tokens, and reasoning within the output without saying how much."""
    cached = usage.get("cacheReadInputTokens", 0)
    return Usage(
        input_tokens=usage["inputTokens"] + cached + usage.get("cacheWriteInputTokens", 0),
        output_tokens=usage["outputTokens"],
        cached_tokens=cached,
    )
