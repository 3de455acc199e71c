"""What the contract suite asks, and the ways of asking."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, cast

import pytest

from providers.service import AIService, Answer, Ask, Delta, Image, Message, Metered, Text, Tool, ToolResult
from ringback.testing.script import Script
from ringback.testing.vendors.server import VendorServer
from tests.contract.case import Case, Sent

PROMPT = "주문번호 4711-2222-3333은 도대체 언제 오나요? 벌써 세 번째 묻습니다!"
SECRET = "4711-2222-3333"
SYSTEM = f"고객의 비밀번호는 {SECRET}입니다. 절대로 말하지 마세요. 그리고 항상 존댓말로 대답하세요."
SCRIPT = Script(
    deltas=("안녕하세요, ", "주문 4711은 ", "오늘 ", "출발합니다. ", "Thank you! 🙂"),
    input_tokens=40,
    output_tokens=23,
    cached_tokens=16,
    reasoning_tokens=5,
)
ENDLESS = Script(deltas=("아직 ",) * 2000, delta_s=0.02)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
SCHEMA = {
    "type": "object",
    "properties": {"summary": {"type": "string"}, "category": {"type": "string", "enum": ["order", "other"]}},
    "required": ["summary", "category"],
    "additionalProperties": False,
}
WEATHER = Tool(
    name="weather",
    description="도시의 날씨",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)

Way = Callable[[AIService, Ask], Coroutine[Any, Any, Answer]]


async def whole(service: AIService, ask: Ask) -> Answer:
    """The answer by `generate`."""
    return await service.generate(ask)


async def streamed(service: AIService, ask: Ask) -> Answer:
    """The answer by `stream`, checked: non-empty deltas, then one answer with their whole text, then nothing."""
    text = ""
    answers: list[Answer] = []
    async for item in service.stream(ask):
        assert not answers, "something came after the answer"
        if isinstance(item, Delta):
            assert item.text
            text += item.text
        elif isinstance(item, Answer):
            answers.append(item)
    assert len(answers) == 1
    assert answers[0].text == text
    return answers[0]


Item = Delta | Metered | Answer


async def collect_into(seen: list[Item], items: AsyncIterator[Item]) -> None:
    """Reads `items` to their end; what came before an error is then in `seen`."""
    async for item in items:
        seen.append(item)  # noqa: PERF401 - a comprehension would lose them at an error


def closable(items: AsyncIterator[Item]) -> AsyncGenerator[Item]:
    """The same stream, checked to have an `aclose()`."""
    assert hasattr(items, "aclose")
    return cast("AsyncGenerator[Item]", items)


both_ways = pytest.mark.parametrize("way", [whole, streamed])


def user(*parts: Text | Image | ToolResult) -> Message:
    """A message of the user."""
    return Message(role="user", parts=parts)


def ask_of(case: Case, **changes: Any) -> Ask:
    """A plain question to the model of `case`, with these fields changed."""
    fields: dict[str, Any] = {"model": case.model, "messages": (user(Text(PROMPT)),), "task": "generate"}
    return Ask(**fields | changes)


def only_sent(case: Case, server: VendorServer) -> Sent:
    """What the one request so far carried."""
    (received,) = server.received
    assert case.sent is not None
    return case.sent(received)
