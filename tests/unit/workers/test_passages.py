"""Long texts are cut where a reader would cut them, and lose nothing but white space."""

import html
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.destinations.passages import passages

SENTENCE = "The parcel (order 4471) has not come, and nobody answers the phone. "
KOREAN = "주문한 상품이 3주째 도착하지 않았습니다. 환불을 요청드립니다. "


def length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def bare(text: str) -> str:
    """Without white space and code fences, whose number changes."""
    return re.sub(r"\s+|`{3,}", "", text)


def check(text: str, room: int) -> list[str]:
    made = list(passages(text, room))
    for passage in made:
        assert length(passage) <= room
        assert passage.strip()
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", passage)
        assert len(re.findall("`{3,}", passage)) % 2 == 0
    assert bare("".join(html.unescape(passage) for passage in made)) == bare(text)
    return made


def test_a_short_text_stays_as_it_is() -> None:
    assert list(passages("안녕하세요.\n\n네.", 3000)) == ["안녕하세요.\n\n네."]
    assert list(passages("", 3000)) == list(passages(" \n ", 3000)) == []


@pytest.mark.parametrize("sentence", [SENTENCE, KOREAN, "届きません。返金してください。"])
def test_cuts_fall_behind_sentences(sentence: str) -> None:
    made = check(sentence * 60, 250)
    assert len(made) > 3
    assert all(passage[-1] in ".。" for passage in made)


def test_paragraphs_are_kept_together_where_they_fit() -> None:
    made = check("\n\n".join([SENTENCE * 3] * 10), 500)
    assert made == ["\n\n".join([SENTENCE * 3] * 2).strip()] * 5


def test_lines_come_before_sentences() -> None:
    assert all(passage.startswith("- ") for passage in check("\n".join([f"- {SENTENCE}"] * 20), 200))


def test_markup_is_escaped_and_counts_as_what_is_sent() -> None:
    assert list(passages("<!channel> & <@U123> <https://x|y>", 3000)) == [
        "&lt;!channel&gt; &amp; &lt;@U123&gt; &lt;https://x|y&gt;"
    ]
    check("<&>" * 500, 100)


def test_a_code_block_is_closed_and_opened_again() -> None:
    code = "\n".join(f"    print({number})" for number in range(100))
    made = check(f"See:\n\n```\n{code}\n```\n\nDone.", 300)
    inner = [passage for passage in made if "print" in passage]
    assert len(inner) > 3
    assert all(passage.count("```") == 2 for passage in inner)
    for passage in inner:
        lines = passage.split("```")[1].strip("\n").split("\n")
        assert all(re.fullmatch(r"    print\(\d+\)", line) for line in lines)
    assert not any(re.search(r"```\s*```", passage) for passage in made)


def test_the_name_of_the_language_is_not_shown_as_code() -> None:
    assert list(passages("```python\nprint()\n```", 300)) == ["```\nprint()\n```"]


def test_code_in_a_line_is_not_torn_where_that_can_be_helped() -> None:
    made = check("word `some code here` and more words. " * 30, 100)
    assert all(passage.count("`") % 2 == 0 for passage in made)


@pytest.mark.parametrize(
    "character",
    [
        "👩‍👩‍👧‍👦",
        "👍🏽",
        "🇰🇷",
        "é",
        unicodedata.normalize("NFD", "한"),
        "👨🏿‍🚀",
        "⚠️",
        "&",
        "😀",
    ],
)
@pytest.mark.parametrize("before", ["", "a", "ab"])
def test_no_character_is_torn(character: str, before: str) -> None:
    made = check(before + character * 60, 64)
    assert len(made) > 1
    for passage in made:
        plain = html.unescape(passage).removeprefix(before)
        assert plain == character * (len(plain) // len(character))


def test_what_never_ends_is_cut_all_the_same() -> None:
    assert len(check("e" + "\u0301" * 500, 64)) > 5
    assert len(check("`" * 500, 64)) >= 1


PIECES = st.sampled_from(
    [*"ab <&>`\n.。!😀가é\u0301\u200d\u1100\u1161🇰🇷\r", "```", "```\n", "\n\n", "```py\n", "한국어", "word ", "&amp;"]
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(PIECES, max_size=300).map("".join), st.integers(32, 200))
def test_whatever_the_text_every_passage_fits(text: str, room: int) -> None:
    made = list(passages(text, room))
    for passage in made:
        assert length(passage) <= room
        assert passage.strip()
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", passage)
    without_languages = re.sub(r"(?m)^( {0,3}`{3,})[\w+#.-]+[ \t]*$", r"\1", text)
    shown = html.unescape("".join(made))
    keep = re.compile(r"[\s`]+")
    assert keep.sub("", shown) == keep.sub("", without_languages)
