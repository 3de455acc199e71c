"""What a conversation with a model is made of: turns of parts, and the tools that the model may ask for."""

from typing import Any, Literal, Self

import msgspec


class Text(msgspec.Struct, frozen=True, tag="text"):
    """A piece of text; never blank."""

    text: str


class Image(msgspec.Struct, frozen=True, tag="image"):
    """An image that the caller brought along; checked."""

    media_type: str
    """One of `prompts.image.MEDIA_TYPES`."""
    base64: str


class ImageUrl(msgspec.Struct, frozen=True, tag="image_url"):
    """An image that must be fetched first."""

    url: str
    pointer: str
    """Where it stands in the request, for errors: `#/input/messages/0/content/1/url`."""


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call"):
    """The model wants a tool called, or wanted it earlier."""

    id: str
    name: str
    arguments: dict[str, Any]


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result"):
    """What the tool answered to that call; the text may be empty."""

    call_id: str
    name: str
    """The tool's."""
    content: str


Part = Text | Image | ImageUrl | ToolCall | ToolResult


class Turn(msgspec.Struct, frozen=True):
    """One message to the model, or an earlier one of its own. Tool results travel in turns of the user."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]
    """At least one."""

    @classmethod
    def of(cls, role: Literal["user", "assistant"], text: str) -> Self:
        """A turn of one text."""
        return cls(role, (Text(text),))

    @property
    def text(self) -> str:
        """All its text, one piece to a paragraph."""
        return "\n\n".join(part.text for part in self.parts if isinstance(part, Text))


ToolChoice = Literal["auto", "none", "required"]
"""Whether the model may, must not, or must call a tool."""


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the model may ask for."""

    name: str
    description: str = ""
    parameters: dict[str, Any]
    """JSON Schema of its arguments, of type object."""
