"""The body of `POST /v1/chat/completions`, read strictly, and the `generate` job that it asks for."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from gateway.openai.conversation import Conversation, Message
from gateway.submission import decoded
from jobs import errors
from jobs.errors import FieldError
from jobs.job import Callback, JobRequest

JOB_TYPE = "generate"
CALLBACK = "ringback_callback"
"""The key in `metadata` under which a callback is asked for."""
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class UnsupportedParameter(errors.InvalidRequest):
    """This parameter is not supported here."""

    code = "unsupported_parameter"
    status = 400


class StreamOptions(msgspec.Struct, frozen=True):
    """What a stream tells besides the answer. Anything else in it is ignored."""

    include_usage: bool | None = None


class JsonSchema(msgspec.Struct, frozen=True):
    """The schema that the answer has to fit. Its name, and whether it is strict, change nothing: it always fits."""

    schema: dict[str, Any] | None = None


class ResponseFormat(msgspec.Struct, frozen=True):
    """The form of the answer."""

    type: str
    """`text`, `json_object` or `json_schema`."""
    json_schema: JsonSchema | None = None


class Function(msgspec.Struct, frozen=True):
    """A function that the model may ask for."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(msgspec.Struct, frozen=True):
    """A tool; only functions are."""

    function: Function
    type: str = "function"


class FunctionName(msgspec.Struct, frozen=True):
    """The function that is to be called."""

    name: str


class ToolChoice(msgspec.Struct, frozen=True):
    """The one tool that is to be called."""

    function: FunctionName
    type: str = "function"


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/chat/completions`. `null` is as good as not given."""

    model: Name
    """A route, an alias or `provider/model`."""
    messages: Annotated[tuple[Message, ...], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | tuple[str, ...] | None = None
    response_format: ResponseFormat | None = None
    tools: tuple[Tool, ...] | None = None
    tool_choice: str | ToolChoice | None = None
    metadata: dict[str, msgspec.Raw] | None = None
    """The job's metadata, but for `ringback_callback`: a URL, or the JSON of a `callback` of `POST /v1/jobs`."""

    fallbacks: Annotated[tuple[Name, ...], msgspec.Meta(max_length=8)] | None = None
    """Ringback's own: routes or `provider/model` to ask when those of `model` fail."""
    background: bool | None = None
    """Ringback's own: the job goes on when the client leaves, and lets interactive ones go first."""

    service_tier: Any = None
    """Ignored, as are the following."""
    store: Any = None
    user: Any = None
    seed: Any = None
    parallel_tool_calls: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    prediction: Any = None
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    safety_identifier: Any = None

    n: Any = None
    """Not supported but for its default, as are the following."""
    logprobs: Any = None
    top_logprobs: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    logit_bias: Any = None
    modalities: Any = None
    audio: Any = None
    functions: Any = None
    function_call: Any = None
    web_search_options: Any = None
    moderation: Any = None


IGNORED = (
    *("service_tier", "store", "user", "seed", "parallel_tool_calls", "reasoning_effort", "verbosity", "prediction"),
    *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier"),
)
"""Fields that change nothing about what the answer means."""
DEFAULTS: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "audio": (),
    "functions": ([],),
    "function_call": (),
    "web_search_options": (),
    "moderation": (),
}
"""Fields that would change what the answer means, with the values under which they do not."""
_decoder = msgspec.json.Decoder(ChatRequest)
_input = msgspec.json.Encoder()


class Asked:
    """A chat completion that a caller asks for."""

    def __init__(self, body: bytes) -> None:
        """Raises `errors.InvalidJson` and `errors.InvalidRequest`, whose pointers are into the body."""
        request = decoded(body, _decoder)
        for name, harmless in DEFAULTS.items():
            _refuse(name, getattr(request, name), harmless)
        self.streamed = bool(request.stream)
        self.include_usage = bool(request.stream_options and request.stream_options.include_usage)
        if request.stream_options is not None and not self.streamed:
            raise errors.InvalidRequest.at("#/stream_options", "is only allowed when stream is true")
        self.model = request.model
        self._limit_name = "max_tokens" if request.max_completion_tokens is None else "max_completion_tokens"
        self._conversation = Conversation(request.messages)
        self._tool_indexes: list[int] = []
        metadata = dict(request.metadata or {})
        callback = _callback(metadata.pop(CALLBACK, None))
        self.outlives_client = bool(request.background) or callback is not None
        """The job goes on when the client leaves."""
        told = self._input(request)
        self.structured = "schema" in told
        """The answer is JSON."""
        self.job = JobRequest(
            type=JOB_TYPE,
            input=msgspec.Raw(_input.encode(told)),
            model=request.model,
            fallbacks=request.fallbacks or (),
            callback=callback,
            metadata=msgspec.Raw(msgspec.json.encode(metadata)),
            priority="normal" if request.background else "high",
        )

    def _input(self, request: ChatRequest) -> dict[str, Any]:
        """The job's input."""
        stop = (request.stop,) if isinstance(request.stop, str) else request.stop
        limit = request.max_tokens if request.max_completion_tokens is None else request.max_completion_tokens
        given = {
            "messages": self._conversation.messages,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": limit,
            "stop": stop or None,
            "schema": _schema(request.response_format),
            **self._tools(request),
        }
        return {name: value for name, value in given.items() if value is not None}

    def _tools(self, request: ChatRequest) -> dict[str, Any]:
        tools, choice = request.tools or (), request.tool_choice
        for index, tool in enumerate(tools):
            if tool.type != "function":
                raise errors.InvalidRequest.at(f"#/tools/{index}/type", "must be function")
        self._tool_indexes = list(range(len(tools)))
        if isinstance(choice, ToolChoice):
            # No vendor of ours is told to call a certain tool: it is offered no other, and must call one.
            self._tool_indexes = [
                index for index, tool in enumerate(tools) if tool.function.name == choice.function.name
            ]
            if not self._tool_indexes or choice.type != "function":
                raise errors.InvalidRequest.at("#/tool_choice", "must be auto, none, required, or name one of tools")
            choice = "required"
        elif choice not in (None, "auto", "none", "required"):
            raise errors.InvalidRequest.at("#/tool_choice", "must be auto, none, required, or name one of tools")
        if not tools:
            if choice == "required":
                raise errors.InvalidRequest.at("#/tool_choice", "is only allowed with tools")
            return {}
        return {"tools": [_tool(tools[index].function) for index in self._tool_indexes], "tool_choice": choice}

    def blamed(self, error: errors.RingbackError) -> errors.RingbackError:
        """The same error, found in the job, with pointers to where in the body its cause stands."""
        found = (FieldError(pointer=self._place(field.pointer), detail=field.detail) for field in error.errors)
        return type(error)(error.detail, errors=tuple(found), retry_after=error.retry_after)

    def _place(self, pointer: str) -> str:
        return "#" + "".join(f"/{step}" for step in self._steps(pointer.split("/")[1:]))

    def _steps(self, steps: list[str]) -> list[str]:
        match steps:
            case ["input", "messages", *rest]:
                return ["messages", *self._conversation.place(rest)]
            case ["input", "schema", *rest]:
                return ["response_format", "json_schema", "schema", *rest]
            case ["input", "tools", index, *rest] if index.isdecimal() and int(index) < len(self._tool_indexes):
                return ["tools", str(self._tool_indexes[int(index)]), "function", *rest]
            case ["input", "max_tokens", *_]:
                return [self._limit_name]
            case ["input", *rest]:
                return rest
            case ["callback", *_]:
                return ["metadata", CALLBACK]
            case ["type"]:
                return []
            case _:
                return steps


def _refuse(name: str, value: Any, harmless: tuple[Any, ...]) -> None:
    # `True == 1` in Python, and not here.
    if value is None or any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in harmless):
        return
    but = f"; leave it out or send {msgspec.json.encode(harmless[0]).decode()}" if harmless else "; leave it out"
    raise UnsupportedParameter.at(f"#/{name}", f"is not supported{but}")


def _schema(form: ResponseFormat | None) -> dict[str, Any] | None:
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return {"type": "object"}
    if form.type != "json_schema":
        raise errors.InvalidRequest.at("#/response_format/type", "must be one of text, json_object, json_schema")
    if form.json_schema is None or form.json_schema.schema is None:
        raise errors.InvalidRequest.at("#/response_format/json_schema/schema", "is required")
    return form.json_schema.schema


def _tool(function: Function) -> dict[str, Any]:
    parameters = function.parameters or {"type": "object", "properties": {}}
    described = {} if function.description is None else {"description": function.description}
    return {"name": function.name, **described, "parameters": parameters}


def _callback(raw: msgspec.Raw | None) -> Callback | None:
    """The callback that is asked for: a URL, or a `callback` as an object or, since that is a string too, as JSON."""
    if raw is None:
        return None
    try:
        value = msgspec.json.decode(raw)
        if isinstance(value, str):
            value = msgspec.json.decode(value) if value.lstrip().startswith("{") else {"url": value}
        return msgspec.convert(value, Callback)
    except (msgspec.DecodeError, RecursionError) as error:
        detail = f"must be a URL, or the JSON of a callback of POST /v1/jobs ({error})"
        raise errors.InvalidRequest.at(f"#/metadata/{CALLBACK}", detail) from error
