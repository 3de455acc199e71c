"""The ledger: what is pinned, in whose words, and what goes when it overflows."""

import time

import pytest

from conversations.memory.facts import LONGEST, MOST_FACTS, found, merged, noted
from conversations.memory.summary import Fact
from tests.unit.conversations.sample import said, talk


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("My name is Haneul.", "name"),
        ("제 이름은 김하늘이에요", "name"),
        ("저는 민수라고 해요.", "name"),
        ("Jag heter Åsa.", "name"),
        ("私の名前は田中です。", "name"),
        ("I'm allergic to nuts.", "promise"),
        ("땅콩 알레르기가 있어요.", "promise"),
        ("내일 꼭 전화할게요.", "promise"),
        ("We will send it.", "promise"),
        ("It is on March 14.", "date"),
        ("상담은 12월 9일이에요.", "date"),
        ("See you at 15:40", "date"),
        ("월요일이 좋겠어요", "date"),
        ("Order QX-48213", "number"),
        ("주문번호 20261103-771", "number"),
        ("write to a.b@example.org", "number"),
        ("It costs $5", "number"),
        ("we met in Busan", "proper"),
    ],
)
def test_what_is_pinned(text: str, kind: str) -> None:
    (fact,) = found([said(text)])
    assert (fact.kind, fact.text) == (kind, text)


@pytest.mark.parametrize("text", ["", "안녕하세요", "I like rain.", "음… 글쎄요.", "Hello there!", "🙂", "  \n "])
def test_small_talk_is_not(text: str) -> None:
    assert found([said(text)]) == []


@pytest.mark.parametrize("repeated", ["1", "저는", "a.", "a", "jan ", "1-", "1 "])
def test_a_message_of_one_thing_over_and_over_is_searched_in_linear_time(repeated: str) -> None:
    def seconds(length: int) -> float:
        message = said((repeated * length)[:length])
        began = time.process_time()
        found([message])
        return time.process_time() - began

    # Where the time is the square of the length, this would be 256 times as long.
    assert seconds(16_000) < 0.05 + 80 * seconds(1_000)


def test_a_fact_is_the_sentence_word_for_word() -> None:
    message = said("오늘 좋네요. 제 번호는 010-2953-7741이에요! 그럼 이만.\nThe date is 2026. 11. 21. as agreed")
    assert [fact.text for fact in found([message])] == [
        "제 번호는 010-2953-7741이에요!",
        "The date is 2026. 11. 21. as agreed",
    ]
    assert {fact.message_id for fact in found([message])} == {message.id}


def test_a_long_sentence_is_cut_around_what_matters() -> None:
    (fact,) = found([said("word " * 200 + "order 4711-22 " + "word " * 200)])
    assert len(fact.text) <= LONGEST
    assert "4711-22" in fact.text


def test_what_the_user_says_weighs_more_than_answers_and_questions() -> None:
    statement, answer, question = (
        found([message])[0].weight
        for message in (said("It is 4711."), said("It is 4711.", "assistant"), said("Is it 4711?"))
    )
    assert statement > question > answer


def test_a_models_facts_count_only_if_they_were_said() -> None:
    messages = talk("우리 강아지 이름이 초코라서 다들 웃어요", "귀엽네요, 3살이죠?")
    lines = ["강아지 이름은 초코", "3살", "The user owns 999 cats.", "강아지는 4살", "", "Paris is far away", "…"]
    assert [fact.text for fact in noted(lines, messages)] == ["강아지 이름은 초코", "3살"]


def test_nothing_is_in_the_ledger_twice() -> None:
    facts = found([said("My name is Kim.")])
    same = found([said("my NAME is   kim")])
    longer = found([said("Yes, my name is Kim, from Busan.")])
    assert merged(facts, same, token_limit=500) == tuple(facts)
    (merged_one,) = merged(facts, longer, token_limit=500)
    assert merged_one.text == "Yes, my name is Kim, from Busan."
    assert merged([merged_one], facts, token_limit=500) == (merged_one,)


def test_corrections_stand_behind_what_they_correct() -> None:
    facts = merged([], found(talk("My number is 1111.", "ok", "No, my number is 2222.")), token_limit=500)
    assert [fact.text for fact in facts] == ["My number is 1111.", "No, my number is 2222."]


def test_an_overflow_takes_the_lightest_and_of_those_the_oldest() -> None:
    names = found([said("My name is Haneul.")])
    chatter = [
        Fact(text=f"room {n} it is", kind="number", weight=1, message_id=f"msg_{n}") for n in range(1000, 1000 + 300)
    ]
    facts = merged(names, chatter, token_limit=10**6)
    assert len(facts) == MOST_FACTS
    assert facts[0] == names[0]
    assert facts[1:] == tuple(chatter[-(MOST_FACTS - 1) :])
    few = merged(facts, [], token_limit=40)
    assert names[0] in few
    assert 1 < len(few) < 10
