"""Nothing is lost, and what is spoken does not depend on how the text was cut into deltas."""

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from speech.segmentation import Segment, Segmenter
from speech.segmentation.clauses import LONGEST
from tests.unit.speech import cases

_PIECES = st.sampled_from(
    [
        *(
            "합니다",
            "요",
            "다",
            "까",
            "니다",
            "정말",
            "그래",
            "라고",
            "가",
            "네",
            "2026",
            "11",
            "3",
            "1",
            "14",
            "는데",
            "하고 ",
            "지만 ",
        ),
        *(
            "Dr",
            "e.g",
            "etc",
            "U.S",
            "a.m",
            "No",
            "word",
            "The",
            "I",
            "A",
            "example",
            "com",
            "https://a.b/c?d",
            "x@y.se",
            "osv",
            "kl",
        ),
        *("です", "本当", "と", "は", "ね", "你好", "他", "问", "了"),
        *(
            ".",
            ".",
            ". ",
            " ",
            " ",
            "\n",
            "!",
            "?",
            "。",
            "！",
            "？",
            "…",
            "...",
            ",",
            "、",
            "，",
            ":",
            ";",
            "—",
            "-",
            "~",
        ),
        *(
            '"',
            "'",
            "“",
            "”",
            "「",
            "」",
            "(",
            ")",
            "[",
            "](",
            "**",
            "*",
            "_",
            "`",
            "```",
            "|",
            "# ",
            "- ",
            "> ",
            "1. ",
            "2. ",
        ),
        *(
            "😊",
            "🎉",
            "❤️",
            ":)",
            "ㅠㅠ",
            "^^",
            "👨‍👩‍👧",
            "\t",
            "　",
            "\u200b",
            "\ufeff",
            "가" * 60,
            "word " * 30,
            "x" * 130,
        ),
    ]
)
_TEXTS = st.lists(_PIECES, max_size=24).map("".join) | st.text(max_size=60)
_LANGUAGES = st.sampled_from([None, "ko", "ja", "zh", "en", "sv", "de-DE"])


def _cut(text: str, cuts: list[int], language: str | None, clause_first: bool) -> list[Segment]:
    segmenter = Segmenter(language, clause_first)
    found: list[Segment] = []
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    for begin, end in itertools.pairwise(edges):
        found += segmenter.feed(text[begin:end])
    return found + segmenter.end()


def _said(segments: list[Segment]) -> list[tuple[str, str]]:
    return [(segment.spoken, segment.kind) for segment in segments if segment.spoken]


@given(text=_TEXTS, cuts=st.lists(st.integers(0, 10_000), max_size=20), language=_LANGUAGES, clause_first=st.booleans())
@example(text="글쎄요... 네.", cuts=[4], language="ko", clause_first=False)
@settings(max_examples=400, deadline=None)
def test_the_cuts_change_nothing_that_is_spoken(
    text: str, cuts: list[int], language: str | None, clause_first: bool
) -> None:
    whole = _cut(text, [], language, clause_first)
    cut = _cut(text, cuts, language, clause_first)
    letters = _cut(text, list(range(len(text))), language, clause_first)
    for segments in (whole, cut, letters):
        assert "".join(segment.text for segment in segments) == text
        assert [segment.index for segment in segments] == list(range(len(segments)))
        assert all(segment.text for segment in segments)
        assert all(segment.spoken == segment.spoken.strip() for segment in segments)
        assert all(len(segment.spoken) <= 2 * LONGEST for segment in segments)
    assert _said(whole) == _said(cut) == _said(letters)


@pytest.mark.parametrize("file", cases.FILES)
@pytest.mark.parametrize("clause_first", [False, True], ids=["sentences", "clause first"])
def test_cases_are_spoken_alike_in_deltas_of_any_size(file: str, clause_first: bool) -> None:
    for case in cases.load(file):
        whole = cases.segments(case.text, case.language, clause_first=clause_first)
        for size in (1, 2, 3, 4, 7):
            found = cases.segments(case.text, case.language, size, clause_first=clause_first)
            assert "".join(segment.text for segment in found) == case.text
            assert _said(found) == _said(whole), case.text
