"""What every `AIService` must do, whoever is behind it."""

from providers.service import AIService, Answer, Ask, Delta, Message, Text
from ringback.testing.script import Script
from ringback.testing.vendors.server import VendorServer
from tests.contract.case import Case

SCRIPT = Script(deltas=("안녕하세요, ", "주문 4711은 ", "오늘 ", "출발합니다. ", "Thank you! 🙂"), cached_tokens=4)


def ask_of(case: Case, text: str = "주문 4711은 언제 오나요?") -> Ask:
    """A plain question to the model of `case`."""
    return Ask(model=case.model, messages=(Message(role="user", parts=(Text(text),)),))


async def streamed(service: AIService, ask: Ask) -> tuple[list[Delta], list[Answer]]:
    """Everything that a stream yields, its order checked: deltas, then one answer."""
    deltas: list[Delta] = []
    answers: list[Answer] = []
    async for item in service.stream(ask):
        if isinstance(item, Delta):
            assert not answers
            assert item.text
            deltas.append(item)
        else:
            answers.append(item)
    return deltas, answers


async def test_stream_and_whole_are_equal(wired: Case, service: AIService, vendor_server: VendorServer) -> None:
    vendor_server.script(SCRIPT)

    whole = await service.generate(ask_of(wired))
    deltas, answers = await streamed(service, ask_of(wired))

    assert whole.text == SCRIPT.text
    assert "".join(delta.text for delta in deltas) == SCRIPT.text
    assert answers == [whole]
