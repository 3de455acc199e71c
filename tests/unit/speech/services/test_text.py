"""Text for voices: pieces that fit and join to the whole, languages, and what Polly is sent."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech import errors, languages
from speech.polly import mapping, voices
from speech.service import Utterance
from speech.text import pieces, sayable, sendable
from speech.transcribe import languages as transcribed
from speech.utterance import settled


@given(st.text(alphabet="ab .,!?\n。、안녕 \U0001f600", max_size=300), st.integers(1, 40))
def test_pieces_fit_and_join(text: str, limit: int) -> None:
    some = list(pieces(text, lambda piece: len(piece) <= limit))
    assert "".join(some) == text
    assert all(0 < len(piece) <= limit for piece in some)


def test_pieces_end_where_a_speaker_would_pause() -> None:
    text = "One sentence is here. Another one, which is longer, follows it! 그리고 한국어도 있어요. 네."
    some = list(pieces(text, lambda piece: len(piece) <= 45))
    assert some == [
        "One sentence is here.",
        " Another one, which is longer, follows it!",
        " 그리고 한국어도 있어요. 네.",
    ]
    by_hook = list(pieces("abcdef", lambda piece: len(piece) <= 4, lambda text: [text[:3], text[3:]]))
    assert by_hook == ["abc", "def"]


def test_sayable_and_sendable() -> None:
    assert sayable("안녕")
    assert sayable("...7")
    assert not sayable("…!? \n🙂")
    assert sendable("a\x00b\ud800c\td") == "a b c\td"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("ko", "ko-KR"),
        ("KO_kr", "ko-KR"),
        ("en", "en-US"),
        ("en-gb", "en-GB"),
        ("zh", "cmn-CN"),
        ("zh-CN", "cmn-CN"),
        ("zh-HK", "yue-CN"),
        ("no", "nb-NO"),
        ("ar", "arb"),
        ("sv", "sv-SE"),
        ("ja-JP", "ja-JP"),
        ("ko-Kore-KR", "ko-KR"),
        ("zh-Hans-CN", "cmn-CN"),
        ("en-US-u-hc-h12", "en-US"),
        ("sv-x-mine", "sv-SE"),
        (" en-GB ", "en-GB"),
        ("cy-GB", "cy-GB"),
        ("zh-TW", None),
        ("zh-Hant-TW", None),
        ("-", None),
        ("x-y", None),
        ("ko-JP", None),
        ("xx", None),
        ("", None),
    ],
)
def test_languages_of_polly(said: str, meant: str | None) -> None:
    assert languages.resolved(said, voices.table()) == meant


def test_languages_of_transcribe() -> None:
    offered = transcribed.STREAMING
    assert [languages.resolved(tag, offered) for tag in ("zh", "cmn-CN", "nb", "ko")] == [
        "zh-CN",
        "zh-CN",
        "no-NO",
        "ko-KR",
    ]


def test_the_tables_are_amazon_s() -> None:
    from botocore.session import Session

    def choices(service: str, shape: str) -> set[str]:
        return set(Session().get_service_model(service).shape_for(shape).enum)

    able = voices.capabilities()
    assert {voice.name for voice in able.voices} <= choices("polly", "VoiceId")
    assert set(able.languages) == choices("polly", "LanguageCode")
    assert {engine for voice in able.voices for engine in voice.engines} == choices("polly", "Engine")
    assert set(able.formats) - {"wav"} <= choices("polly", "OutputFormat"), "which is its pcm behind a header"
    assert set(transcribed.BATCH) <= choices("transcribe", "LanguageCode")
    assert len(set(transcribed.BATCH)) == len(transcribed.BATCH)


def test_a_voice_of_two_languages_is_told_which() -> None:
    hindi = Utterance(text="नमस्ते", language="hi", voice="kajal")
    how = settled(hindi, voices.capabilities(), voices.defaults(), provider="polly")
    (said,) = mapping.requested(hindi)
    assert mapping.arguments(said, hindi, how)["LanguageCode"] == "hi-IN"


@given(st.text(min_size=1, max_size=200).filter(sayable), st.sampled_from([0.5, 1.5]))
def test_ssml_says_the_text_and_nothing_else(text: str, rate: float) -> None:
    (said,) = mapping.requested(Utterance(text=text, rate=rate, pause_before_s=0.25))
    root = ET.fromstring(said.text)  # noqa: S314 - our own
    expected = sendable(text).replace("\r\n", "\n").replace("\r", "\n")  # as XML reads them
    assert "".join(root.itertext()) == expected


def test_pieces_for_polly_are_within_its_limits() -> None:
    for text in ("<&>" * 3_000, "안녕하세요. " * 1_000, "\U0001f600a" * 4_000):
        for rate in (1.0, 1.5):
            some = list(mapping.requested(Utterance(text=text, rate=rate)))
            assert len(some) > 1
            assert all(len(said.text) <= mapping.TOTAL for said in some)


def test_marks_that_cannot_be_read() -> None:
    (said,) = mapping.requested(Utterance(text="one"))
    for line in (b"{", b"{}", b'{"type":"word"}', b"[]"):
        with pytest.raises(errors.MalformedAnswer):
            list(mapping.marks(said, line))
