"""What a job came to as a chat completion."""

from datetime import datetime
from typing import Literal

import msgspec

from gateway.openai import problems
from jobs.job import JobError, Status
from jobs.model import Usage

Finish = Literal["stop", "length", "tool_calls", "content_filter"]


class Call(msgspec.Struct, frozen=True):
    """A tool call in a job's output."""

    id: str
    name: str
    arguments: msgspec.Raw


class Output(msgspec.Struct, frozen=True):
    """A job's output: text, or data that fits a schema, and tool calls."""

    text: str | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    tool_calls: tuple[Call, ...] = ()

    @property
    def content(self) -> str:
        """The answer as text."""
        return (self.text or "") if self.data is msgspec.UNSET else bytes(self.data).decode()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a Job."""

    id: str
    status: Status
    created_at: datetime
    model: str
    output: Output | None
    error: JobError | None
    usage: Usage

    @property
    def completion_id(self) -> str:
        """The id of the completion, which tells the job's."""
        return f"chatcmpl-{self.id}"

    @property
    def created(self) -> int:
        """Unix time, seconds."""
        return int(self.created_at.timestamp())

    @property
    def finish(self) -> Finish | None:
        """Why the answer ends; `None`: there is none."""
        if self.status == "succeeded":
            return "tool_calls" if self.output and self.output.tool_calls else "stop"
        if self.error and self.error.code == "output_truncated":
            return "length"
        return None

    @property
    def fault(self) -> problems.Fault:
        """Why there is no answer."""
        return problems.of_job(self.status, self.error)


class CompletionFunction(msgspec.Struct, frozen=True):
    """What is to be called."""

    name: str
    arguments: str
    """JSON."""


class CompletionToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that the model wants called."""

    id: str
    type: Literal["function"] = "function"
    function: CompletionFunction


class CompletionMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None
    tool_calls: tuple[CompletionToolCall, ...] | msgspec.UnsetType = msgspec.UNSET


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The one answer."""

    index: int = 0
    message: CompletionMessage
    logprobs: None = None
    finish_reason: Finish


class PromptDetails(msgspec.Struct, frozen=True):
    """Of the input tokens: read from a provider's cache."""

    cached_tokens: int


class CompletionDetails(msgspec.Struct, frozen=True):
    """Of the output tokens: not part of the visible answer."""

    reasoning_tokens: int


class CompletionUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What the job consumed, in all its calls to models."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails

    @classmethod
    def of(cls, usage: Usage) -> "CompletionUsage":
        """In OpenAI's words."""
        return cls(
            prompt_tokens=usage.input_tokens,
            completion_tokens=usage.output_tokens,
            total_tokens=usage.input_tokens + usage.output_tokens,
            prompt_tokens_details=PromptDetails(usage.cached_tokens),
            completion_tokens_details=CompletionDetails(usage.reasoning_tokens),
        )


class ChatCompletion(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `POST /v1/chat/completions`, not streamed."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    """`provider/model` that answered."""
    choices: tuple[Choice, ...]
    usage: CompletionUsage


_outcome = msgspec.json.Decoder(Outcome)
encode = msgspec.json.Encoder().encode
"""What is made here as JSON."""


def outcome(job: bytes) -> Outcome:
    """What is told of the Job in that JSON."""
    return _outcome.decode(job)


def called(calls: tuple[Call, ...]) -> tuple[CompletionToolCall, ...]:
    """The tool calls in OpenAI's words."""
    return tuple(
        CompletionToolCall(id=call.id, function=CompletionFunction(call.name, bytes(call.arguments).decode()))
        for call in calls
    )


def completion(ended: Outcome, finish: Finish) -> ChatCompletion:
    """The whole answer of a job that has one."""
    output = ended.output or Output()
    calls = called(output.tool_calls)
    message = CompletionMessage(content=output.content or (None if calls else ""), tool_calls=calls or msgspec.UNSET)
    return ChatCompletion(
        id=ended.completion_id,
        created=ended.created,
        model=ended.model,
        choices=(Choice(message=message, finish_reason=finish),),
        usage=CompletionUsage.of(ended.usage),
    )
