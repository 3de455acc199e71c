"""Extractive summaries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.offline.summary import summarize

KO = (
    "안녕하세요. 지난 11월 3일에 무선 이어폰(주문번호 20261103-771)을 주문했습니다. 날씨가 참 좋네요. "
    "이어폰이 2주가 지나도록 오지 않았습니다. 고객센터에 세 번 전화했지만 연결되지 않았습니다. "
    "주문한 이어폰 대금 89,000원의 환불을 요청합니다. 점심은 김밥을 먹었습니다. 감사합니다."
)
EN = (
    "Hi team, the supplier's audit runs two days late. The meeting about the audit moved from Monday to Wednesday. "
    "I had pasta for lunch. Everyone who needs the audit documents must request them by Tuesday. The parking lot is "
    "grey. The supplier will send the audit report after the meeting. Best regards"
)


def test_korean() -> None:
    assert summarize(KO, max_sentences=2) == (
        "지난 11월 3일에 무선 이어폰(주문번호 20261103-771)을 주문했습니다. "
        "주문한 이어폰 대금 89,000원의 환불을 요청합니다."
    )


def test_english() -> None:
    summary = summarize(EN)
    assert "pasta" not in summary
    assert "parking" not in summary
    assert "Hi team" not in summary
    assert "must request them by Tuesday." in summary


def test_sentences_stay_in_their_order_and_as_they_are() -> None:
    for text in (KO, EN):
        for count in range(1, 9):
            sentences = summarize(text, max_sentences=count, bullets=True).splitlines()
            assert len(sentences) <= count
            flowing = summarize(text, max_sentences=count)
            places = [text.index(sentence.removeprefix("- ").rstrip(".")) for sentence in sentences]
            in_order = [sentences[i].removeprefix("- ") for i in sorted(range(len(places)), key=places.__getitem__)]
            assert flowing.replace(".", "") == " ".join(in_order).replace(".", "")


def test_the_most_important_point_comes_first_in_a_list() -> None:
    assert summarize(KO, max_sentences=1) in summarize(KO, bullets=True).splitlines()[0]


@pytest.mark.parametrize(
    "text",
    [
        "배송이 2주째 안 와요",
        "A single sentence",
        "환불해 주세요.",
        "荷物が届きません。",
        "请退款。",
        "왔어요. 깨졌어요.",
    ],
)
def test_one_or_two_sentences_come_back_as_they_are(text: str) -> None:
    assert summarize(text) == text


@pytest.mark.parametrize("text", ["안녕하세요", "Thanks!", "감사합니다.", "Hello there!"])
def test_only_a_greeting_comes_back(text: str) -> None:
    assert summarize(text) == text


def test_without_punctuation() -> None:
    text = "어제 노트북을 주문했습니다 근데 노트북이 아직 안 왔어요 노트북 언제 오나요 오늘 비가 오네요 빨리 보내주세요"
    assert summarize(text, max_sentences=2).count(".") == 2


def test_says_nothing_twice() -> None:
    text = "The kettle is broken. The kettle is broken! The kettle is broken. Please send a new lid."
    assert summarize(text, max_sentences=3).count("broken") == 1


def test_japanese_and_chinese_run_on_without_spaces() -> None:
    japanese = "注文した商品が届きません。今日は晴れです。商品の返金をお願いします。昼は蕎麦でした。"
    assert summarize(japanese) == "注文した商品が届きません。商品の返金をお願いします。"


@given(st.text(), st.none() | st.integers(1, 5), st.booleans())
def test_any_text(text: str, count: int | None, bullets: bool) -> None:
    summary = summarize(text, max_sentences=count, bullets=bullets)
    assert bool(summary) == bool(text.strip())
