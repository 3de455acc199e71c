"""What a model is given: instructions, memory, messages, in that order and each by itself."""

from conversations.memory import context
from conversations.memory.summary import Fact, Summary
from jobs.session import MemorySettings
from providers.service import Text
from tests.unit.conversations.sample import recalled, said, talk

INSTRUCTIONS = "한두 문장으로 답하세요. 절대로 반말하지 마세요."
NAME = Fact(text="제 이름은 김하늘이에요.", kind="name", weight=6, message_id="msg_1")


def told(found: context.Context) -> list[tuple[str, list[str]]]:
    return [
        (message.role, [part.text for part in message.parts if isinstance(part, Text)]) for message in found.messages
    ]


def test_a_new_session_has_its_instructions_and_nothing_else() -> None:
    found = context.of(recalled(instructions=INSTRUCTIONS), [said("안녕하세요")])
    assert found.system == INSTRUCTIONS
    assert told(found) == [("user", ["안녕하세요"])]
    assert context.of(recalled()).system is None
    assert context.of(recalled()).messages == ()


def test_memory_is_a_part_of_its_own_before_what_was_said() -> None:
    summary = Summary(text="주문을 물어봤다.", facts=(NAME,), first="msg_1", last="msg_2", covered=2)
    found = context.of(recalled(summary, recent=talk("몇 시예요?", "세 시예요"), instructions=INSTRUCTIONS))
    assert found.system == INSTRUCTIONS, "the instructions are as they were given, whatever is summarized"
    (first, (memory, question)), second = told(found)
    assert (first, question, second) == ("user", "몇 시예요?", ("assistant", ["세 시예요"]))
    assert memory.startswith("<memory>")
    assert memory.endswith("</memory>")
    assert "주문을 물어봤다." in memory
    assert NAME.text in memory
    assert INSTRUCTIONS not in memory


def test_roles_alternate_and_the_user_comes_first() -> None:
    messages = [
        *(said("혼잣말", "assistant"), said("a"), said("b"), said("  ", "assistant"), said("c")),
        *(said("d", "assistant"), said("e", "assistant")),
    ]
    assert told(context.of(recalled(recent=messages))) == [("user", ["a", "b", "c"]), ("assistant", ["d", "e"])]
    summary = Summary(text="x", first="msg_1", last="msg_2", covered=1)
    roles = [role for role, _ in told(context.of(recalled(summary, recent=messages)))]
    assert roles == ["user", "assistant", "user", "assistant"]


def test_earlier_sessions_come_before_this_one_until_they_are_covered() -> None:
    earlier, recent = talk("지난번 얘기", "네"), talk("이번 얘기", "네")
    assert told(context.of(recalled(earlier=earlier, recent=recent)))[0] == ("user", ["지난번 얘기"])
    half = Summary(text="x", first=earlier[0].id, last=earlier[0].id, covered=1)
    texts = [text for _, parts in told(context.of(recalled(half, earlier=earlier, recent=recent))) for text in parts]
    assert texts[1:] == ["네", "이번 얘기", "네"]
    gone = Summary(text="x", first=earlier[0].id, last="msg_of_this_session", covered=3)
    texts = [text for _, parts in told(context.of(recalled(gone, earlier=earlier, recent=recent))) for text in parts]
    assert texts[1:] == ["이번 얘기", "네"]


def test_what_was_just_said_comes_last_and_once() -> None:
    recent = talk("하나", "둘")
    now = said("셋")
    found = context.of(recalled(recent=recent), [recent[-1], now])
    assert told(found) == [("user", ["하나"]), ("assistant", ["둘"]), ("user", ["셋"])]


def test_without_refinement_the_oldest_are_left_out_and_counted() -> None:
    messages = [said("가" * 400) for _ in range(60)]
    found = context.of(recalled(recent=messages, memory=MemorySettings(token_limit=1000)))
    assert found.left_out > 0
    assert found.tokens <= 1000 * context.AT_MOST
    huge = [said("가" * 9000) for _ in range(6)]
    kept = context.of(recalled(recent=huge, memory=MemorySettings(token_limit=1000, keep=2)))
    assert kept.left_out == 4
