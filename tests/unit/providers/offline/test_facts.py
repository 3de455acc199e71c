"""Facts: what counts as one, and that none is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.offline.facts import mask, spans


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("주문 #A-77812 취소", ["#A-77812"]),
        ("39,900원을 두 번", ["39,900원을"]),
        ("벌써 3일째야!!!ㅋㅋ", ["3일째"]),
        ("씨발3일째 기다림", ["3일째"]),
        ("(주문번호:A-123)", ["A-123"]),
        ("왔어요.2개만!3개였는데", ["2개만", "3개였는데"]),
        ("서울 2026. 11. 21.입니다", ["2026", "11", "21"]),
        ("v1.2.3, 3.5kg; 50%야", ["v1.2.3", "3.5kg", "50%"]),
        ("mail kim.cs+a@example.co.kr now", ["kim.cs+a@example.co.kr"]),
        ("보세요 https://a.example/b?c=1&d=나.", ["https://a.example/b?c=1&d=나"]),
        ("www.example.com에서 invoice.pdf 받음", ["www.example.com에서", "invoice.pdf"]),
        ('그가 "정말 3번?"이라고', ['"정말 3번?"']),
        ("don't say 'it works' or “no”", ["'it works'", "“no”"]),
        ("the customers' orders and the drivers' fault", []),
        ("sh1tty 씨1발 b1tch", []),
        ("@handle #해시태그", ["@handle", "#해시태그"]),
        ("늦었어.환불해줘", []),
        ("+1 (415) 555-0134.", ["+1", "415", "555-0134"]),
    ],
)
def test_what_is_a_fact(text: str, facts: list[str]) -> None:
    assert [text[start:end] for start, end in spans(text)] == facts


@given(st.text())
def test_masked_text_comes_back(text: str) -> None:
    masked = mask(text, spans(text))
    assert masked.put_back(masked.text) == text


def test_lost_doubled_and_moved_facts_are_noticed() -> None:
    text = "a 1 b 2"
    masked = mask(text, spans(text))
    first, second = masked.text[2], masked.text[6]
    assert masked.put_back(f"x {first} y {second}") == "x 1 y 2"
    for wrong in (f"{first}", f"{first} {first} {second}", f"{second} {first}", ""):
        assert masked.put_back(wrong) is None
