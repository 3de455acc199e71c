"""From a rendered prompt to what is asked, and what keeps account of it."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, assert_never

from jobs.job import JobSpec
from jobs.model import ModelCall, Usage
from jobs.settings import Timeouts
from prompts import image, turn
from prompts.conversation import Rendered
from providers.routing.router import Limits, Question
from providers.service import Ask, Image, Message, Part, Text, Tool, ToolCall, ToolResult
from workers.narrator import Narrator
from workers.progress import Progress

_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
"""Ids of tool calls that every vendor takes: OpenAI no longer ones, Anthropic and Bedrock no other characters."""


def question_of(spec: JobSpec, ask: Ask, targets: Sequence[str], timeouts: Timeouts, progress: Progress) -> Question:
    """What the router is asked for a job; `timeouts` hold where the job's own deadline says nothing."""
    deadline = spec.deadline
    return Question(
        ask=ask,
        targets=tuple(targets),
        limits=Limits(
            first_token_s=deadline.first_token_s or timeouts.first_token_s,
            stall_s=deadline.stall_s or timeouts.stall_s,
        ),
        deadline=progress.deadline,
        holder=progress.holder,
        priority=spec.priority,
        hedge=spec.hedge,
    )


def recorder(stage: str, narrator: Narrator, progress: Progress) -> Callable[[ModelCall], None]:
    """What keeps every call of a stage, and tells those that were answered or used something."""

    def record(call: ModelCall) -> None:
        call = progress.record(call)
        if call.outcome == "answered" or call.usage != Usage():
            narrator.usage(stage, call)

    return record


def images_named(rendered: Rendered) -> Iterator[turn.ImageUrl]:
    """The images in the prompt that must be fetched."""
    return (part for said in rendered.messages for part in said.parts if isinstance(part, turn.ImageUrl))


def ask_of(rendered: Rendered, fetched: Mapping[str, bytes], *, task: str, subject: dict[str, Any]) -> Ask:
    """The prompt as an `Ask` without a model; `fetched` holds the images that it names, by URL."""
    return Ask(
        model="",
        system=rendered.system,
        messages=tuple(
            Message(role=said.role, parts=tuple(_part(part, fetched) for part in said.parts))
            for said in rendered.messages
        ),
        settings=rendered.settings,
        tools=tuple(
            Tool(name=tool.name, description=tool.description, parameters=tool.parameters) for tool in rendered.tools
        ),
        tool_choice=rendered.tool_choice,
        output_schema=rendered.reply_schema,
        task=task,
        subject=subject,
    )


def _part(part: turn.Part, fetched: Mapping[str, bytes]) -> Part:
    match part:
        case turn.Text(text):
            return Text(text)
        case turn.Image(base64=encoded):
            return _image(base64.b64decode(encoded))
        case turn.ImageUrl(url):
            return _image(fetched[url])
        case turn.ToolCall(id_, name, arguments):
            return ToolCall(_id(id_), name, arguments)
        case turn.ToolResult(call_id, name, content):
            return ToolResult(_id(call_id), name, content)
        case _:
            assert_never(part)


def _image(data: bytes) -> Image:
    media_type = image.media_type_of(data)
    assert media_type is not None  # noqa: S101 - checked when the input was, or when it was fetched
    return Image(media_type, data)


def _id(given: str) -> str:
    """The id, or another one in its place: a conversation goes on with any vendor, wherever its calls came from."""
    return given if _ID.fullmatch(given) else f"call_{hashlib.sha256(given.encode()).hexdigest()[:32]}"
