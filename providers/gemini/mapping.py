"""Our types ↔ the SDK's: requests, and one reader for streamed and whole answers."""

import re
import uuid
from typing import TYPE_CHECKING, Any, cast

from jobs.model import Usage
from providers import errors
from providers.service import Answer, Ask, Capabilities, Finish, Image, Message, Text, ToolCall, ToolResult

if TYPE_CHECKING:
    from google.genai import types

PROVIDER = "gemini"

_NO_SIGNATURE_CHECK = "skip_thought_signature_validator"
"""What Gemini 3 takes instead of the thought signature of a function call, which our history does not keep.

Source: ai.google.dev/gemini-api/docs/thought-signatures, FAQ.
"""
_BEFORE_SIGNATURES = re.compile(r"(?:.*/)?gemini-[12]\b")
_WITHOUT_TOOLS = re.compile(r"(?:.*/)?gemma-")

_LENGTH = frozenset({"MAX_TOKENS", "CONTINUATION"})
_FILTERED = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "ESCALATION",
        "MODEL_ARMOR",
    }
)


def capabilities(model: str) -> Capabilities:
    """See `AIService.capabilities`."""
    hosted_gemma = _WITHOUT_TOOLS.match(model) is not None
    return Capabilities(images=True, tools=not hosted_gemma, json_schema=not hosted_gemma)


def require(ask: Ask) -> None:
    """Raises `errors.Unsupported` if `ask` holds what its model cannot take."""
    can = capabilities(ask.model)
    parts = [part for message in ask.messages for part in message.parts]
    if not can.tools and (ask.tools or any(isinstance(part, ToolCall | ToolResult) for part in parts)):
        raise errors.Unsupported(f"{PROVIDER}/{ask.model} calls no tools", provider=PROVIDER)


def contents(ask: Ask) -> "list[types.Content]":
    """The messages of `ask` as the SDK takes them."""
    from google.genai import types

    signed = _BEFORE_SIGNATURES.match(ask.model) is None
    return [
        types.Content(role="user" if message.role == "user" else "model", parts=_parts(message, signed=signed))
        for message in ask.messages
    ]


def config(ask: Ask) -> "types.GenerateContentConfig":
    """Everything else of `ask` as the SDK takes it."""
    from google.genai import types

    options = types.GenerateContentConfig(
        system_instruction=ask.system,
        temperature=ask.settings.temperature,
        top_p=ask.settings.top_p,
        max_output_tokens=ask.settings.max_tokens,
        stop_sequences=list(ask.settings.stop) or None,
        # Both make calls of their own: the one runs functions, the other resumes broken streams.
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        automatic_continuation=False,
    )
    if ask.tools:
        options.tools = [
            types.Tool(
                function_declarations=[
                    types.FunctionDeclaration(
                        name=tool.name, description=tool.description, parameters_json_schema=tool.parameters
                    )
                    for tool in ask.tools
                ]
            )
        ]
    elif ask.output_schema is not None and capabilities(ask.model).json_schema:
        # Not together with tools: models before Gemini 3 refuse the combination.
        options.response_mime_type = "application/json"
        options.response_json_schema = ask.output_schema
    return options


def _parts(message: Message, *, signed: bool) -> "list[types.Part]":
    from google.genai import types

    parts: list[types.Part] = []
    for part in message.parts:
        match part:
            case Text(text):
                parts.append(types.Part(text=text))
            case Image(media_type, data):
                parts.append(types.Part(inline_data=types.Blob(data=data, mime_type=media_type)))
            case ToolCall(id_, name, arguments):
                call = types.Part(function_call=types.FunctionCall(id=id_, name=name, args=arguments))
                if signed:
                    # As a str, set afterwards: bytes would be sent as base64, and that is not accepted.
                    call.thought_signature = cast("bytes", _NO_SIGNATURE_CHECK)
                parts.append(call)
            case ToolResult(call_id, name, content):
                response = types.FunctionResponse(id=call_id, name=name, response={"output": content})
                parts.append(types.Part(function_response=response))
    return parts


class AnswerReader:
    """Gathers an answer from the SDK's responses: the chunks of a stream, or a single whole one."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._text: list[str] = []
        self._calls: list[ToolCall] = []
        self._finish: str | None = None
        self._usage = Usage()
        self._model = ask.model
        self._id = ""

    def read(self, response: "types.GenerateContentResponse") -> str:
        """Takes in one response and returns its text, which may be empty.

        Raises `errors.ContentFiltered` if the prompt was blocked.
        """
        feedback = response.prompt_feedback
        if feedback is not None and feedback.block_reason is not None:
            raise errors.ContentFiltered(
                f"Gemini blocked the prompt: {_name(feedback.block_reason)}", provider=PROVIDER
            )
        self._model = response.model_version or self._model
        self._id = response.response_id or self._id
        if response.usage_metadata is not None:
            self._usage = _usage(response.usage_metadata)
        if not response.candidates:
            return ""
        candidate = response.candidates[0]
        if candidate.finish_reason is not None:
            self._finish = _name(candidate.finish_reason)
        if candidate.content is None or not candidate.content.parts:
            return ""
        text = ""
        for part in candidate.content.parts:
            if part.text and not part.thought:
                text += part.text
            elif part.function_call is not None:
                self._calls.append(self._call(part.function_call))
        if text:
            self._text.append(text)
        return text

    def answer(self) -> Answer:
        """The whole answer, when there is nothing more to read.

        Raises `errors.StreamInterrupted` if Gemini did not say that it is complete, `errors.ContentFiltered` if
        nothing was left of it, `errors.MalformedAnswer` if the model itself failed.
        """
        text = "".join(self._text)
        finish = self._finish_of()
        if finish == "content_filter" and not text:
            raise errors.ContentFiltered(f"Gemini withheld the answer: {self._finish}", provider=PROVIDER)
        return Answer(text=text, finish=finish, usage=self._usage, model=self._model, tool_calls=tuple(self._calls))

    def _finish_of(self) -> Finish:
        match self._finish:
            case None | "FINISH_REASON_UNSPECIFIED":
                raise errors.StreamInterrupted("Gemini's answer ended without a finish reason", provider=PROVIDER)
            case "STOP":
                return "tool_calls" if self._calls else "stop"
            case reason if reason in _LENGTH:
                return "length"
            case reason if reason in _FILTERED:
                return "content_filter"
            case reason:
                raise errors.MalformedAnswer(f"Gemini gave up on the answer: {reason}", provider=PROVIDER)

    def _call(self, call: "types.FunctionCall") -> ToolCall:
        if not self._id:
            self._id = uuid.uuid4().hex
        # Most models send no ids. Ours are unique beyond this answer, for histories that hold many.
        id_ = call.id or f"call_{self._id[:48]}_{len(self._calls)}"
        return ToolCall(id_, call.name or "", call.args or {})


def _usage(usage: "types.GenerateContentResponseUsageMetadata") -> Usage:
    """Gemini counts thoughts beside the candidates, and cached tokens within the prompt."""
    thoughts = usage.thoughts_token_count or 0
    return Usage(
        input_tokens=(usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0),
        output_tokens=(usage.candidates_token_count or 0) + thoughts,
        cached_tokens=usage.cached_content_token_count or 0,
        reasoning_tokens=thoughts,
    )


def _name(value: Any) -> str:
    """The wire name of one of the SDK's enums, also of a value newer than the SDK."""
    return str(getattr(value, "value", value))
