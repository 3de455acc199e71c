"""The messages that a caller brings: from JSON to turns, with everything that is wrong with them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from prompts import image
from prompts.problem import Path, Problem, pointer
from prompts.schema import REPORT_LIMIT
from prompts.turn import Image, ImageUrl, Part, Text, ToolCall, ToolResult, Turn

ROLES = ("system", "user", "assistant", "tool")
_CALL_FIELDS = {"id": str, "name": str, "arguments": dict}


class Messages(msgspec.Struct, frozen=True, kw_only=True):
    """What messages say, as far as nothing is wrong with them."""

    system: str
    """All messages with the role `system`, wherever they stand."""
    turns: tuple[Turn, ...]
    problems: list[Problem]


def read(messages: Sequence[Mapping[str, Any]], at: Path) -> Messages:
    """The messages, which stand at `at` in the input: objects with a `role` out of `ROLES`."""
    reader = _Reader(at)
    for index, message in enumerate(messages):
        if len(reader.problems) >= REPORT_LIMIT or reader.images > image.COUNT_LIMIT:
            break  # whoever sends nonsense by the megabyte gets no more work done for it
        reader.message((*at, index), message)
    reader.end(messages)
    return Messages(system="\n\n".join(reader.system), turns=tuple(reader.turns), problems=reader.problems)


def image_urls(messages: Sequence[Mapping[str, Any]], at: Path) -> Iterator[tuple[Path, str]]:
    """Every URL of an image in valid messages, with its place."""
    for index, message in enumerate(messages):
        content = message.get("content")
        for position, part in enumerate(content if isinstance(content, list) else ()):
            if "url" in part:
                yield (*at, index, "content", position, "url"), part["url"]


def image_problems(given: Sequence[Mapping[str, Any]], at: Path) -> list[Problem]:
    """What is wrong with images that stand by themselves at `at`."""
    reader = _read_images(given)
    return [Problem((*at, *problem.path), problem.detail) for problem in reader.problems]


def images(given: Sequence[Mapping[str, Any]], at: Path) -> tuple[Part, ...]:
    """Valid images that stand by themselves at `at`."""
    parts = _read_images(given).turns
    return tuple(
        ImageUrl(part.url, pointer(("input", *at, index, "url"))) if isinstance(part, ImageUrl) else part
        for turn in parts
        for index, part in enumerate(turn.parts)
    )


def _read_images(given: Sequence[Mapping[str, Any]]) -> "_Reader":
    reader = _Reader(())
    if given:
        parts: list[Part] = []
        for index, item in enumerate(given[: image.COUNT_LIMIT]):
            if (part := reader.image((index,), dict(item))) is not None:
                parts.append(part)
        reader.turns.append(Turn("user", tuple(parts)))
    return reader


class _Reader:
    """Reads one message after the other."""

    def __init__(self, at: Path) -> None:
        self._at = at
        self.problems: list[Problem] = []
        self.system: list[str] = []
        self.turns: list[Turn] = []
        self.images = 0
        self._made: set[str] = set()
        """The ids of all calls so far."""
        self._open: dict[str, str] = {}
        """Calls without a result yet: the tool's name by id."""

    def message(self, path: Path, message: Mapping[str, Any]) -> None:
        role = message["role"]
        if role != "assistant" and "tool_calls" in message:
            self._wrong((*path, "tool_calls"), "only messages of the assistant have tool calls")
        if role != "tool" and "tool_call_id" in message:
            self._wrong((*path, "tool_call_id"), "only messages with the role tool have it")
        match role:
            case "system":
                self.system.append("\n\n".join(part.text for part in self._said(path, message)))
            case "tool":
                self._result(path, message)
            case "user":
                self._results_first(path)
                parts = self._parts(path, message, images=True)
                self._turn(path, message, Turn("user", tuple(parts)))
            case _:
                self._results_first(path)
                calls = self._calls(path, message)
                self._turn(path, message, Turn("assistant", (*self._texts(path, message), *calls)))

    def end(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Checks what only shows in the end."""
        if self.problems:
            return
        at, last = self._at, len(messages) - 1
        if not any(turn.role == "user" for turn in self.turns):
            self._wrong(at, "there must be a message from the user")
        elif self._open:
            self._wrong((*at, last), f"{self._missing()} must follow")
        elif self.turns[-1].role == "assistant":
            if messages[last]["role"] != "assistant":
                self._wrong((*at, last, "role"), "the last message must be the user's, a tool's or the assistant's")
            elif self.turns[-1].text[-1:].isspace():
                self._wrong((*at, last, "content"), "must not end with white space: the model goes on right after it")

    def _wrong(self, path: Path, detail: str) -> None:
        self.problems.append(Problem(path, detail))

    def _turn(self, path: Path, message: Mapping[str, Any], turn: Turn) -> None:
        if turn.parts:
            self.turns.append(turn)
        else:
            self._nothing_said(path, message)

    def _nothing_said(self, path: Path, message: Mapping[str, Any]) -> None:
        place = (*path, "content")
        if any(problem.path[: len(path)] == path for problem in self.problems):
            return  # that is why
        if "content" not in message:
            self._wrong(place, "is required")
        else:
            self._wrong(place, "must not be blank" if isinstance(message["content"], str) else "must not be empty")

    def _said(self, path: Path, message: Mapping[str, Any]) -> list[Text]:
        texts = self._texts(path, message)
        if not texts:
            self._nothing_said(path, message)
        return texts

    def _texts(self, path: Path, message: Mapping[str, Any]) -> list[Text]:
        return [part for part in self._parts(path, message, images=False) if isinstance(part, Text)]

    def _parts(self, path: Path, message: Mapping[str, Any], *, images: bool) -> list[Part]:
        content = message.get("content", "")
        if isinstance(content, str):
            return [Text(content)] if content.strip() else []
        made = (self._part((*path, "content", index), part, images) for index, part in enumerate(content))
        return [part for part in made if part is not None]

    def _part(self, path: Path, part: Any, images: bool) -> Part | None:
        if not isinstance(part, dict) or part.get("type") not in ("text", "image"):
            self._wrong(path, "must be {type: text, text} or {type: image, …}")
            return None
        odd = [name for name, value in part.items() if not isinstance(value, str)]
        for name in odd:
            self._wrong((*path, name), "must be a string")
        if odd:
            return None
        if part["type"] == "text":
            return self._text(path, part)
        if not images:
            self._wrong(path, "only messages of the user can have images")
            return None
        self.images += 1
        if self.images <= image.COUNT_LIMIT:
            return self.image(path, part)
        if self.images == image.COUNT_LIMIT + 1:
            self._wrong(self._at, f"must have at most {image.COUNT_LIMIT} images, all together")
        return None

    def _text(self, path: Path, part: dict[str, str]) -> Text | None:
        foreign = part.keys() - {"type", "text"}
        for name in sorted(foreign):
            self._wrong((*path, name), "has no place in a part of type text")
        if "text" not in part:
            self._wrong((*path, "text"), "is required")
        elif not part["text"].strip():
            self._wrong((*path, "text"), "must not be blank")
        elif not foreign:
            return Text(part["text"])
        return None

    def image(self, path: Path, part: dict[str, str]) -> Image | ImageUrl | None:
        """The image in a part."""
        match part.keys() - {"type"}:
            case names if names == {"url"}:
                return ImageUrl(part["url"], pointer(("input", *path, "url")))
            case names if names == {"media_type", "base64"}:
                media_type, encoded = part["media_type"], part["base64"]
                if media_type not in image.MEDIA_TYPES:
                    self._wrong((*path, "media_type"), f"must be one of: {', '.join(image.MEDIA_TYPES)}")
                elif objection := image.objection(media_type, encoded):
                    self._wrong((*path, "base64"), objection)
                else:
                    return Image(media_type, encoded)
            case names if names == {"base64"}:
                self._wrong((*path, "media_type"), "is required")
            case names if names == {"media_type"}:
                self._wrong((*path, "base64"), "is required")
            case names if "text" in names:
                self._wrong((*path, "text"), "has no place in a part of type image")
            case _:
                self._wrong(path, "give either url, or media_type and base64")
        return None

    def _calls(self, path: Path, message: Mapping[str, Any]) -> list[ToolCall]:
        calls: list[ToolCall] = []
        given = message.get("tool_calls", ())
        for index, call in enumerate(given if isinstance(given, list) else ()):
            place = (*path, "tool_calls", index)
            if not isinstance(call, dict) or any(
                not isinstance(call.get(name), kind) for name, kind in _CALL_FIELDS.items()
            ):
                self._wrong(place, "must be {id, name, arguments}; the arguments are an object")
            elif call["id"] in self._open:
                self._wrong((*place, "id"), "another call of this message has the same id")
            else:
                calls.append(ToolCall(call["id"], call["name"], call["arguments"]))
                self._open[call["id"]] = call["name"]
                self._made.add(call["id"])
        return calls

    def _result(self, path: Path, message: Mapping[str, Any]) -> None:
        place = (*path, "tool_call_id")
        call_id = message.get("tool_call_id")
        if "content" not in message:
            self._wrong((*path, "content"), "is required")
        if call_id is None:
            self._wrong(place, "is required")
        elif call_id not in self._made:
            self._wrong(place, "no earlier message of the assistant has a tool call with this id")
        elif call_id not in self._open:
            self._wrong(place, "this tool call has its result already")
        else:
            text = "\n\n".join(part.text for part in self._texts(path, message))
            self._add_result(ToolResult(call_id, self._open.pop(call_id), text))

    def _add_result(self, result: ToolResult) -> None:
        """Vendors want the results of one message's calls in one turn."""
        if isinstance(self.turns[-1].parts[0], ToolResult):
            self.turns[-1] = Turn("user", (*self.turns[-1].parts, result))
        else:
            self.turns.append(Turn("user", (result,)))

    def _results_first(self, path: Path) -> None:
        if self._open:
            self._wrong((*path, "role"), f"{self._missing()} must come first")
            self._open.clear()

    def _missing(self) -> str:
        count = len(self._open)
        calls = "one tool call has" if count == 1 else f"{count} tool calls have"
        return f"{calls} no result yet; a message with the role tool for each"
