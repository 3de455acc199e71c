"""Our types ↔ Gemini's JSON: requests, and one reader for streamed and whole answers.

Source: ai.google.dev/api/generate-content.
"""

import base64
import re
import uuid
from typing import Any

import msgspec

from jobs.model import Usage
from providers import errors
from providers.service import Answer, Ask, Finish, Image, Message, Text, ToolCall, ToolResult

PROVIDER = "gemini"

_NO_SIGNATURE_CHECK = "skip_thought_signature_validator"
"""What Gemini 3 takes instead of the thought signature of an earlier function call, which our messages do not carry.

Source: ai.google.dev/gemini-api/docs/thought-signatures, FAQ.
"""
_BEFORE_SIGNATURES = re.compile(r"(?:.*/)?gemini-[12]\b")
_NAME = re.compile(r"[\w@-][\w.@-]*(?:/[\w@-][\w.@-]*)*", re.ASCII)

_MODES = {"required": "ANY", "none": "NONE"}
_UNSPECIFIED = "FINISH_REASON_UNSPECIFIED"
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


def resource(ask: Ask, *, vertex: bool) -> str:
    """The path of the model, below the API's version.

    Raises `errors.ModelNotFound` for what cannot be a name.
    """
    if _NAME.fullmatch(ask.model) is None:
        raise errors.ModelNotFound("This is not the name of a model", provider=PROVIDER)
    if ask.model.startswith(("models/", "tunedModels/", "publishers/", "projects/")):
        return ask.model
    return f"publishers/google/models/{ask.model}" if vertex else f"models/{ask.model}"


def request(ask: Ask) -> dict[str, Any]:
    """The body of a request."""
    signed = _BEFORE_SIGNATURES.match(ask.model) is None
    body: dict[str, Any] = {
        "contents": [
            {"role": "user" if message.role == "user" else "model", "parts": _parts(message, signed=signed)}
            for message in ask.messages
        ]
    }
    if ask.system:
        body["systemInstruction"] = {"parts": [{"text": ask.system}]}
    settings: dict[str, Any] = {
        "temperature": ask.settings.temperature,
        "topP": ask.settings.top_p,
        "maxOutputTokens": ask.settings.max_tokens,
        "stopSequences": list(ask.settings.stop) or None,
    }
    if ask.tools:
        functions = [
            {"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters}
            for tool in ask.tools
        ]
        body["tools"] = [{"functionDeclarations": functions}]
        if ask.tool_choice != "auto":
            body["toolConfig"] = {"functionCallingConfig": {"mode": _MODES[ask.tool_choice]}}
    elif ask.output_schema is not None:
        # Not together with tools: models before Gemini 3 refuse the combination.
        settings |= {"responseMimeType": "application/json", "responseJsonSchema": ask.output_schema}
    if given := {name: value for name, value in settings.items() if value is not None}:
        body["generationConfig"] = given
    return body


def _parts(message: Message, *, signed: bool) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for part in message.parts:
        match part:
            case Text(text):
                parts.append({"text": text})
            case Image(media_type, data):
                parts.append({"inlineData": {"mimeType": media_type, "data": base64.b64encode(data).decode()}})
            case ToolCall(id_, name, arguments):
                call: dict[str, Any] = {"functionCall": {"id": id_, "name": name, "args": arguments}}
                parts.append(call | ({"thoughtSignature": _NO_SIGNATURE_CHECK} if signed else {}))
            case ToolResult(call_id, name, content):
                response = {"id": call_id, "name": name, "response": {"output": content}}
                parts.append({"functionResponse": response})
    return parts


class _FunctionCall(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    id: str = ""
    args: dict[str, Any] = {}


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    text: str = ""
    thought: bool = False
    function_call: _FunctionCall | None = None


class _Content(msgspec.Struct, frozen=True, kw_only=True):
    parts: list[_Part] = []


class _Candidate(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    content: _Content = _Content()
    finish_reason: str | None = None


class _PromptFeedback(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    block_reason: str | None = None


class _UsageMetadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    prompt_token_count: int = 0
    tool_use_prompt_token_count: int = 0
    cached_content_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int = 0


class Response(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A whole answer, or one piece of a stream: what of it we read."""

    error: dict[str, Any] | None = None
    """In a stream only: a `google.rpc.Status`."""
    candidates: list[_Candidate] = []
    prompt_feedback: _PromptFeedback = _PromptFeedback()
    usage_metadata: _UsageMetadata | None = None
    model_version: str = ""
    response_id: str = ""


_decoder = msgspec.json.Decoder(Response)


def decoded(document: bytes | str) -> Response:
    """The response that is `document`. Raises `errors.MalformedAnswer`."""
    try:
        return _decoder.decode(document)
    except msgspec.DecodeError:
        raise errors.MalformedAnswer(provider=PROVIDER) from None


class AnswerReader:
    """Gathers an answer from responses: the chunks of a stream, or a single whole one."""

    def __init__(self, ask: Ask) -> None:
        self._text: list[str] = []
        self._calls: list[ToolCall] = []
        self._finish: str | None = None
        self._usage = _UsageMetadata()
        self._model = ask.model
        self._id = ""
        self._began = False
        self._premature = False
        self.metered: Usage | None = None
        """Usage that was told before the end, for who takes it away."""

    @property
    def complete(self) -> bool:
        """Whether nothing more of the answer can come.

        The reason alone does not say so: earlier models and some proxies put `STOP` into every chunk. So it counts
        only after a part of the answer that came without it, and if none came after it.
        """
        return self._finish is not None and self._began and not self._premature

    def read(self, response: Response) -> str:
        """Takes in one response and returns its text, which may be empty.

        Raises `errors.ContentFiltered` if the prompt was blocked.
        """
        if (blocked := response.prompt_feedback.block_reason) is not None:
            raise errors.ContentFiltered(f"Gemini blocked the prompt: {blocked}", provider=PROVIDER)
        self._model = response.model_version or self._model
        self._id = response.response_id or self._id
        text = ""
        finish = None
        calls = len(self._calls)
        for candidate in response.candidates[:1]:
            if candidate.finish_reason != _UNSPECIFIED:
                finish = candidate.finish_reason
            for part in candidate.content.parts:
                if part.function_call is not None:
                    self._calls.append(self._call(part.function_call))
                elif not part.thought:
                    text += part.text
        if text or len(self._calls) > calls:
            self._premature = self._premature or self._finish is not None
            self._began = self._began or finish is None
        self._finish = finish or self._finish
        if (usage := response.usage_metadata) is not None and usage != self._usage:
            self._usage = usage
            if self._finish is None:
                self.metered = self._counted()
        if text:
            self._text.append(text)
        return text

    def _counted(self) -> Usage:
        """Gemini counts thoughts beside the candidates, and cached tokens within the prompt."""
        return Usage(
            input_tokens=self._usage.prompt_token_count + self._usage.tool_use_prompt_token_count,
            output_tokens=self._usage.candidates_token_count + self._usage.thoughts_token_count,
            cached_tokens=self._usage.cached_content_token_count,
            reasoning_tokens=self._usage.thoughts_token_count,
        )

    def _call(self, call: _FunctionCall) -> ToolCall:
        self._id = self._id or uuid.uuid4().hex
        # Most models send no ids. Ours are unique beyond this answer, for histories that hold many.
        return ToolCall(call.id or f"call_{self._id[:48]}_{len(self._calls)}", call.name, call.args)

    def answer(self) -> Answer:
        """The whole answer, when there is nothing more to read.

        Raises `errors.StreamInterrupted` if Gemini did not say that it is complete, `errors.ContentFiltered` if
        nothing was left of it, `errors.MalformedAnswer` if the model itself failed.
        """
        text = "".join(self._text)
        finish = self._finished()
        if finish == "content_filter" and not text:
            raise errors.ContentFiltered(f"Gemini withheld the answer: {self._finish}", provider=PROVIDER)
        calls = tuple(self._calls)
        return Answer(text=text, finish=finish, usage=self._counted(), model=self._model, tool_calls=calls)

    def _finished(self) -> Finish:
        match self._finish:
            case None:
                raise errors.StreamInterrupted("Gemini's answer ended without a finish reason", provider=PROVIDER)
            case "STOP":
                return "tool_calls" if self._calls else "stop"
            case reason if reason in _LENGTH:
                return "length"
            case reason if reason in _FILTERED:
                return "content_filter"
            case reason:
                raise errors.MalformedAnswer(f"The model gave up on its answer: {reason}", provider=PROVIDER)
