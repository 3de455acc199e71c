"""Where sentences end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.offline.sentences import LONGEST, split


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("왔어요. 좋아요! 언제 와요?", ["왔어요.", "좋아요!", "언제 와요?"]),
        ("2026. 11. 21.입니다. 네.", ["2026. 11. 21.입니다.", "네."]),
        ('"정말 그래요? 네."라고 했어요. 끝.', ['"정말 그래요? 네."라고 했어요.', "끝."]),
        ("안녕하세요 저는 어제 주문했습니다 그런데 아직 안 왔어요 빨리 보내주세요", [
            "안녕하세요", "저는 어제 주문했습니다", "그런데 아직 안 왔어요", "빨리 보내주세요"]),
        ("왔다 갔다 했어 근데 안 와요ㅠㅠ 왜죠", ["왔다 갔다 했어", "근데 안 와요ㅠㅠ", "왜죠"]),
        ("늦어요.환불해 주세요", ["늦어요.", "환불해 주세요"]),
        ("비가 오니까 늦어요", ["비가 오니까 늦어요"]),
        ("당장 환불해 안 그러면 신고한다", ["당장 환불해", "안 그러면 신고한다"]),
        ("그게... 안 왔습니다... 환불요", ["그게... 안 왔습니다...", "환불요"]),
        ("Dr. Smith paid $3.14 on p. 5. It broke. why?", ["Dr. Smith paid $3.14 on p. 5.", "It broke.", "why?"]),
        ("See https://a.com/b.c?x=1. Thanks.", ["See https://a.com/b.c?x=1.", "Thanks."]),
        ("I waited\nfor weeks.\nNothing came", ["I waited\nfor weeks.", "Nothing came"]),
        ("1. one\n2. two", ["1. one", "2. two"]),
        ("届きません！「なぜ？」と聞きました。はい", ["届きません！", "「なぜ？」と聞きました。", "はい"]),
        ("坏了！请退款。", ["坏了！", "请退款。"]),
    ],
)  # fmt: skip
def test_boundaries(text: str, sentences: list[str]) -> None:
    assert [text[start:end].strip() for start, end in split(text)] == sentences


@given(st.text(alphabet=st.sampled_from("가나다요. !?\n\"'a1ㅋ。")) | st.text())
def test_nothing_is_lost(text: str) -> None:
    assert "".join(text[start:end] for start, end in split(text)) == text
    assert all(start < end for start, end in split(text))


def test_long_parts_are_cut_between_words() -> None:
    text = "word " * 5_000
    assert max(end - start for start, end in split(text)) <= LONGEST
    assert all(text[start:end].endswith("word ") for start, end in split(text))
