"""Where sentences end, and how early that is known."""

import pytest

from speech.segmentation import Segmenter
from speech.segmentation.characters import width
from speech.segmentation.clauses import LONGEST
from tests.unit.speech import cases

KNOWN_MISSES = (
    *('"가자." 그가', "「どこへ", "她笑着说", '기사님이 "걱정', "係の人は「", "モーニング娘。"),
    *("배송이 늦어져서", "Your table", "Va, fick"),  # all that is spoken is right; an emoticon opens the next segment
)
"""Cases that come out otherwise than their writer would part them; docs/speech.md tells why."""


@pytest.mark.parametrize("file", cases.FILES)
def test_the_corpus(file: str) -> None:
    expected = [case for case in cases.load(file) if not case.text.startswith(KNOWN_MISSES)]
    found = {case.text: cases.segments(case.text, case.language) for case in expected}
    parted = {text: [segment.text.strip() for segment in segments] for text, segments in found.items()}
    assert parted == {case.text: case.expected for case in expected}
    spoken = {case.text: case.spoken for case in expected if case.spoken is not None}
    assert {text: [segment.spoken for segment in found[text]] for text in spoken} == spoken


def test_the_corpus_is_large_and_hardly_depends_on_knowing_the_language() -> None:
    corpus = cases.load()
    unknown = sum(cases.exact(case, cases.segments(case.text, None)) for case in corpus)
    assert len(corpus) >= 150
    assert len(cases.load("heldout", "unseen")) >= 240
    assert unknown >= 0.95 * len(corpus)


@pytest.mark.parametrize(
    "text",
    [
        "네, 알겠습니다.",
        "그렇죠.",
        "정말 그래요.",
        "갈까?",
        "정말 그래요!",
        "はい、わかりました。",
        "你好吗？",
        "你好。",
        "Really?",
        "No way!",
        "Title\n",
    ],
)
def test_a_certain_end_is_not_waited_for(text: str) -> None:
    [segment] = Segmenter().feed(text)
    assert (segment.text, segment.spoken, segment.kind) == (text, text.strip(), "sentence")


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("I am here.", " "),
        ("보고서.", " "),
        ("本当？", "私"),
        ('"정말 그래요?"', " 네"),
        ("We meet at 9 a.m.", " Bring "),
        ("It is 2026.", " It"),
        ("「はい。」", "彼"),
        ("It is 3.14.", " It"),
    ],
)
def test_an_end_that_could_be_undone_waits_for_what_decides(text: str, then: str) -> None:
    segmenter = Segmenter("ja" if "本" in text else None)
    assert segmenter.feed(text) == []
    assert [segment.text.strip() for segment in segmenter.feed(then)] == [text]


@pytest.mark.parametrize(
    "text",
    [
        "example.com/a",
        "3.14",
        "보고서.pdf",
        "Dr. Smith",
        "e.g. this",
        "「はい。」と",
        '"네."라고',
        "本当？と",
        "2026. 11. 21. 오후",
    ],
)
def test_what_joins_is_not_parted(text: str) -> None:
    segmenter = Segmenter("ja" if "本" in text else None)
    assert [segment for char in text for segment in segmenter.feed(char)] == []
    assert [segment.text for segment in segmenter.end()] == [text]


def test_what_follows_a_segment_opens_the_next() -> None:
    segmenter = Segmenter("ko")
    found = [*segmenter.feed("글쎄요."), *segmenter.feed(".. 모르겠어요."), *segmenter.feed("!"), *segmenter.end()]
    assert [(segment.index, segment.text, segment.spoken) for segment in found] == [
        (0, "글쎄요.", "글쎄요."),
        (1, ".. 모르겠어요.", "모르겠어요."),
        (2, "!", ""),
    ]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("내일은 비가 오지만, 모레는 맑아요.", "내일은 비가 오지만,"),
        ("내일은 비가 오지만 모레는 맑아요.", "내일은 비가 오지만"),
        ("문을 열고 들어가서 불을 켜세요.", "문을 열고 들어가서"),
        ("Tomorrow it rains, but then it clears.", "Tomorrow it rains,"),
        ("明日は雨が降りますが、明後日は晴れます。", "明日は雨が降りますが、"),
        ("明天会下雨的，不过后天放晴。", "明天会下雨的，"),
    ],
)
def test_the_first_segment_may_be_a_clause(text: str, first: str) -> None:
    for size in (0, 1, 4):
        head, *rest = cases.segments(text, None, size, clause_first=True)
        assert (head.text.strip(), head.kind) == (first, "clause")
        assert [segment.kind for segment in rest] == ["sentence"]
    assert len(cases.segments(text, None)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "네, 알겠습니다.",
        "Sure, I can.",
        "지금 그 일을 하고 있습니다.",
        "내일까지 보내 주시면 됩니다.",
        "그 창고 안에는 아무것도 없어요.",
        "합계는 모두 1,500원입니다.",
        "We meet on November 21, 2026.",
        "我喜欢吃苹果、香蕉和橙子。",
    ],
)
def test_what_is_no_clause_worth_speaking_stays_whole(text: str) -> None:
    assert [segment.kind for segment in cases.segments(text, None, 1, clause_first=True)] == ["sentence"]


def test_only_the_first_segment_is_cut_at_a_clause() -> None:
    text = "먼저 문을 열어 주시고, 들어오세요. 그런 다음 불을 켜 주시고, 앉으세요."
    assert [segment.kind for segment in cases.segments(text, "ko", clause_first=True)] == [
        "clause",
        "sentence",
        "sentence",
    ]


def test_text_without_punctuation_is_cut_at_words() -> None:
    text = "그래서 우리는 바다를 보러 " * 40
    found = cases.segments(text, "ko", 3)
    assert len(found) > 3
    assert all(width(segment.spoken) <= LONGEST and segment.spoken in text for segment in found)
    assert all(segment.spoken.split()[-1] in {"그래서", "우리는", "바다를", "보러"} for segment in found)
    assert {segment.kind for segment in found[:-1]} == {"clause"}


def test_text_without_spaces_is_cut_anyway_but_no_character_is_torn() -> None:
    for text in (
        "東京は大きい街で人も多い" * 40,
        "가나다라마바사아자차" * 40,
        "x" * 3000,
        "가👨‍👩‍👧" * 100,
        "e\u0301" * 500,
    ):
        found = cases.segments(text, None, 7)
        assert len(found) > 1
        assert "".join(segment.text for segment in found) == text
        assert not any(segment.text[0] in "\u0301\u200d" for segment in found)


def test_japanese_is_cut_behind_a_particle() -> None:
    found = cases.segments("私達家族全員は東京駅前広場で" * 20, "ja")
    assert {segment.text[-1] for segment in found} <= {"は", "で"}


def test_long_code_and_long_drawings_are_not_held_for_ever() -> None:
    segmenter = Segmenter()
    code = segmenter.feed("```\n" + "x = 1.\n" * 2000)
    assert code
    assert not any(segment.spoken for segment in code)
    assert Segmenter().feed("-" * 5000)


def test_a_huge_text_at_once_takes_no_time_to_speak_of() -> None:
    text = "안녕하세요. This is it, e.g. this one. " * 5000
    found = cases.segments(text, None)
    assert len(found) == 10_000
    assert "".join(segment.text for segment in found) == text


@pytest.mark.parametrize("text", ["", " ", "\n\n", "...", "😊", "**", "\ud800", "\x00", "|", "```", "1.", ")", '"'])
def test_odd_ends(text: str) -> None:
    for size in (0, 1):
        assert "".join(segment.text for segment in cases.segments(text, None, size)) == text
    assert Segmenter().feed("") == []
    assert Segmenter().end() == []


def test_indices_may_go_on_from_a_reply_that_broke_off() -> None:
    segmenter = Segmenter("ko", first=4)
    assert [segment.index for segment in [*segmenter.feed("네. 알겠습니다."), *segmenter.end()]] == [4, 5]


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("**굵게** *기울임* ~~취소~~ `코드`", "굵게 기울임 취소 코드"),
        ("[문서](https://example.com/a_(b)?c=d)를 보세요", "문서를 보세요"),
        ("![그림](a.png) 설명[^1]", "그림 설명"),
        ("# 제목", "제목"),
        ("- [x] 할 일", "할 일"),
        ("1. 사과", "1. 사과"),
        ("> 인용", "인용"),
        ("---", ""),
        ("a_b_c and 3 * 4", "a_b_c and 3 * 4"),
        ("좋아요 😊 ^^ ㅎㅎ", "좋아요"),
        ("네<br>아니요", "네 아니요"),
        ("-5도", "-5도"),
        ("| 가 | 나 |", "가, 나"),
        ("Wow 👨‍👩‍👧!", "Wow!"),
        ("<https://example.com>", "https://example.com"),
        (r"2 \* 3 \# 4", "2 * 3 # 4"),
    ],
)
def test_markdown_and_emoji_are_not_spoken(text: str, spoken: str) -> None:
    assert [segment.spoken for segment in cases.segments(text, None) if segment.spoken or not spoken] == [spoken]
