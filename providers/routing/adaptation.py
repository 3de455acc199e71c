"""A question made fit for a target: what it cannot take is said in another way, or the target is passed over."""

import msgspec

from providers import errors
from providers.service import Ask, Capabilities, Image, Message, Text, ToolCall, ToolResult


def adapted(ask: Ask, target: str, can: Capabilities) -> Ask:
    """The question for that target (`provider/model`). Raises `errors.Unsupported` if nothing else would do."""
    provider = target.partition("/")[0]
    kinds = {type(part) for message in ask.messages for part in message.parts}
    if not can.images and Image in kinds:
        raise errors.Unsupported(f"{target} takes no images", provider=provider)
    if not can.tools and (ask.tools or kinds & {ToolCall, ToolResult}):
        raise errors.Unsupported(f"{target} calls no tools", provider=provider)
    if not can.prefill and ask.messages and ask.messages[-1].role == "assistant":
        raise errors.Unsupported(f"{target} does not go on with an answer that the request begins", provider=provider)
    changes: dict[str, object] = {}
    if ask.output_schema is not None and not can.json_schema:
        changes["output_schema"] = None  # the prompt says it too
    if ask.system and not can.system:
        changes["system"] = None
        changes["messages"] = _folded(ask.system, ask.messages)
    return msgspec.structs.replace(ask, **changes) if changes else ask


def _folded(system: str, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The instructions as the first thing that the user says."""
    first, *rest = messages
    instructions = Text(f"{system}\n\n")
    if first.role == "user":
        return (msgspec.structs.replace(first, parts=(instructions, *first.parts)), *rest)
    return (Message(role="user", parts=(instructions,)), first, *rest)
