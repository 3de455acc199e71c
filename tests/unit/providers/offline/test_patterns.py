"""The fast search finds what a plain search of all alternatives finds."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.offline import english, korean, lexicon
from providers.offline.patterns import Entry, Rules, first_characters

ENTRIES = [
    entry
    for language, sections in (
        ("ko", ("intensifiers", "swears", "rules", "anywhere", "pronouns", "self", "imperatives")),
        ("en", ("rules",)),
    )
    for section in sections
    for entry in lexicon.entries(language, section)
]


@pytest.mark.parametrize(
    ("pattern", "characters", "empty"),
    [
        ("abc", "a", False),
        ("a|bc|", "ab", True),
        ("(?:a|b)?c", "abc", False),
        ("(?:a*b)+", "ab", False),
        (r"a{0,2}[c-e]", "acde", False),
        (r"(?<=x )(?!y)\$", "$", False),
        (r"^\s?가", " \t가", False),
        (r"\bq", "q", False),
        ("(?:a|(?:b|c)?)d", "abcd", False),
    ],
)
def test_first_characters(pattern: str, characters: str, empty: bool) -> None:
    assert first_characters(pattern) == (frozenset(characters), empty)


@pytest.mark.parametrize("pattern", [".a", r"\wx", r"a?\d", "[^a]b"])
def test_patterns_that_start_with_anything_are_told(pattern: str) -> None:
    assert "" in first_characters(pattern)[0]
    with pytest.raises(ValueError, match="start with anything"):
        Rules([(pattern, "")])


@settings(max_examples=40)
@given(st.data())
def test_every_entry_of_the_lexicon_is_found_by_its_first_character(data: st.DataObject) -> None:
    find, _ = data.draw(st.sampled_from(ENTRIES))
    bare = re.sub(r"\(\?<?[=!][^()]*(?:\([^()]*\)[^()]*)*\)", "", find)  # hypothesis cannot look around
    characters, _ = first_characters(find)
    example = data.draw(st.from_regex(bare, fullmatch=True))
    if re.match(find, example) and (not example[0].isspace() or example[0] in " \t"):
        assert example[0] in characters


@given(st.text(alphabet="가나다 씨발개아이놈야들어!", max_size=30))
def test_finds_the_same_as_re(text: str) -> None:
    entries: list[Entry] = lexicon.entries("ko", "swears") + lexicon.entries("ko", "intensifiers")
    before = r"(?<![가-힣])"

    def slow() -> str:
        united = re.compile(f"{before}(?:{'|'.join(f'(?P<r{i}>{find})' for i, (find, _) in enumerate(entries))})")
        return united.sub(lambda m: entries[int((m.lastgroup or "r0")[1:])][1] if m.group() else "", text)

    assert Rules(entries, before=before).apply(text) == slow()


def test_every_pattern_compiles() -> None:
    for rules in (korean._rules(), english._rules()):
        for made in vars(rules).values():
            if isinstance(made, Rules):
                for character in made._starting:
                    made._at(character)
