"""What providers without images and tools share."""

from providers import errors
from providers.service import Ask, Image, Text, ToolCall, ToolResult


def require(ask: Ask, provider: str) -> None:
    """Raises `errors.Unsupported` if `ask` holds anything but text."""
    parts = [part for message in ask.messages for part in message.parts]
    if any(isinstance(part, Image) for part in parts):
        raise errors.Unsupported(f"{provider}/{ask.model} takes no images", provider=provider)
    if ask.tools or any(isinstance(part, ToolCall | ToolResult) for part in parts):
        raise errors.Unsupported(f"{provider}/{ask.model} calls no tools", provider=provider)


def last_said(ask: Ask) -> str:
    """The text of the last user message; empty if there is none."""
    for message in reversed(ask.messages):
        if message.role == "user":
            return "\n".join(part.text for part in message.parts if isinstance(part, Text))
    return ""
