"""Messages of a chat completion as those of a `generate` job, and where each part of them stood."""

from typing import Any

import msgspec

from jobs import errors

_TEXT_PARTS = ("text", "refusal")
ROLES = ("system", "developer", "user", "assistant", "tool")


class ImageUrl(msgspec.Struct, frozen=True):
    """Where an image is: an https URL, or a data URL with the image itself."""

    url: str


class Part(msgspec.Struct, frozen=True):
    """A part of a message's content."""

    type: str
    """`text`, `image_url` (in messages of the user), or `refusal` (in those of the assistant)."""
    text: str | None = None
    image_url: ImageUrl | None = None
    refusal: str | None = None


class CalledFunction(msgspec.Struct, frozen=True):
    """What a tool call of the assistant calls."""

    name: str
    arguments: str
    """A JSON object."""


class MessageToolCall(msgspec.Struct, frozen=True):
    """A tool call that the assistant made."""

    id: str
    function: CalledFunction | None = None
    type: str = "function"


class Message(msgspec.Struct, frozen=True):
    """One message. Whatever else clients echo of an answer in it is ignored."""

    role: str
    """`system`, `developer` (the same), `user`, `assistant` or `tool`."""
    content: str | tuple[Part, ...] | None = None
    refusal: str | None = None
    tool_calls: tuple[MessageToolCall, ...] | None = None
    tool_call_id: str | None = None
    audio: Any = None
    """Not supported."""
    function_call: Any = None
    """Not supported."""


class Conversation:
    """The messages in the job's form."""

    def __init__(self, messages: tuple[Message, ...]) -> None:
        """Raises `errors.InvalidRequest` for what no job can say."""
        self.messages: list[dict[str, Any]] = []
        self._places: list[tuple[int, list[int]]] = []
        """Of each of them: its own index in the request, and those of its parts."""
        for index, message in enumerate(messages):
            parts: list[int] = []
            translated = _message(message, f"#/messages/{index}", parts)
            # Clients send blank ones without harm elsewhere; nothing is said in them.
            if message.role == "user" or message.role == "tool" or translated.keys() & {"content", "tool_calls"}:
                self.messages.append(translated)
                self._places.append((index, parts))

    def place(self, steps: list[str]) -> list[str]:
        """Where in the request that stood what is at `steps` in the job's messages."""
        if not steps or not steps[0].isdecimal() or int(steps[0]) >= len(self._places):
            return []
        index, parts = self._places[int(steps[0])]
        match steps[1:]:
            case ["content", part, *rest] if part.isdecimal() and int(part) < len(parts):
                name = ["text"] if rest[:1] == ["text"] else ["image_url", "url"] if rest else []
                return [str(index), "content", str(parts[int(part)]), *name]
            case ["tool_calls", call, "id"]:
                return [str(index), "tool_calls", call, "id"]
            case ["tool_calls", call, *rest]:
                return [str(index), "tool_calls", call, "function", *rest]
            case rest:
                return [str(index), *rest]


def _message(message: Message, pointer: str, places: list[int]) -> dict[str, Any]:
    """The message as the job has it, without its content if it is blank; `places` gets the indexes of its parts."""
    if message.role not in ROLES:
        raise errors.InvalidRequest.at(f"{pointer}/role", f"must be one of {', '.join(ROLES)}")
    for name in ("audio", "function_call"):
        if getattr(message, name) is not None:
            raise errors.InvalidRequest.at(f"{pointer}/{name}", "is not supported")
    role = "system" if message.role == "developer" else message.role
    translated: dict[str, Any] = {"role": role}
    content: str | list[dict[str, str]] = message.content if isinstance(message.content, str) else []
    if isinstance(message.content, tuple):
        content = _parts(message.content, role, f"{pointer}/content", places)
    elif message.content is None and role == "assistant":
        content = message.refusal or ""
    if role in ("user", "tool") or (content and (not isinstance(content, str) or content.strip())):
        translated["content"] = content or ""
    if message.tool_calls:
        translated["tool_calls"] = [
            _call(call, f"{pointer}/tool_calls/{index}") for index, call in enumerate(message.tool_calls)
        ]
    if message.tool_call_id is not None:
        translated["tool_call_id"] = message.tool_call_id
    return translated


def _parts(parts: tuple[Part, ...], role: str, pointer: str, places: list[int]) -> list[dict[str, str]]:
    translated: list[dict[str, str]] = []
    for index, part in enumerate(parts):
        found = _part(part, role, f"{pointer}/{index}")
        if found is not None:
            translated.append(found)
            places.append(index)
    return translated


def _part(part: Part, role: str, pointer: str) -> dict[str, str] | None:
    """The part; `None` if it is blank text."""
    match part.type:
        case "text" | "refusal":
            text = part.text if part.type == "text" else part.refusal
            if text is None:
                raise errors.InvalidRequest.at(f"{pointer}/{part.type}", "is required")
            return {"type": "text", "text": text} if text.strip() else None
        case "image_url" if role == "user":
            if part.image_url is None:
                raise errors.InvalidRequest.at(f"{pointer}/image_url", "is required")
            return _image(part.image_url.url, f"{pointer}/image_url/url")
        case _:
            known = ("text", "image_url") if role == "user" else _TEXT_PARTS if role == "assistant" else ("text",)
            raise errors.InvalidRequest.at(f"{pointer}/type", f"must be one of {', '.join(known)} in such a message")


def _image(url: str, pointer: str) -> dict[str, str]:
    scheme, _, rest = url.partition(":")
    if scheme.lower() != "data":
        return {"type": "image", "url": url}
    head, comma, data = rest.partition(",")
    media_type, *parameters = (part.strip() for part in head.split(";"))
    if not comma or not parameters or parameters[-1].lower() != "base64":
        raise errors.InvalidRequest.at(pointer, "a data URL must be data:<media type>;base64,<the image>")
    return {"type": "image", "media_type": media_type.lower(), "base64": data}


def _call(call: MessageToolCall, pointer: str) -> dict[str, Any]:
    if call.type != "function" or call.function is None:
        raise errors.InvalidRequest.at(f"{pointer}/type", "must be function, with a field function")
    place = f"{pointer}/function/arguments"
    try:
        arguments = msgspec.json.decode(call.function.arguments) if call.function.arguments.strip() else {}
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.InvalidRequest.at(place, "must be a JSON object") from error
    if not isinstance(arguments, dict):
        raise errors.InvalidRequest.at(place, "must be a JSON object")
    return {"id": call.id, "name": call.function.name, "arguments": arguments}
