"""Voices of turns: those that are not there, and those that do not speak the language of what is to be said."""

from typing import Any

import pytest

from ringback.testing.script import Script
from ringback.testing.speech.script import SpeechScript
from ringback.testing.speech.server import SpeechServer
from ringback.testing.vendors.server import VendorServer
from tests.integration.speech import talk
from tests.integration.speech.conftest import Talking
from workers.turns.situation import written_in

MODEL = "bedrock/anthropic.claude-3-haiku"
ENGLISH = "Your parcel left the warehouse this morning. "
KOREAN = "내일 오후에 도착해요!"


def spoken(speech_server: SpeechServer) -> list[tuple[str, str]]:
    """Whose voice said what."""
    asked = [request.body for request in speech_server.received if request.service == "polly"]
    return [(body["VoiceId"], body["Text"]) for body in asked]


async def said(stack: Talking, session: str, text: str, **speech: Any) -> talk.Turn:
    return await talk.take(stack.url, session, json={"text": text, "speech": {"format": "mp3", **speech}})


@pytest.mark.parametrize("language", [None, "ko-KR"])
async def test_a_sessions_voice_gives_way_to_one_of_the_language(
    talking: Talking, vendor_server: VendorServer, speech_server: SpeechServer, language: str | None
) -> None:
    """Of a session that does not say its language, the turns do; and a reply may be in another one."""
    session = talk.session(talking.url, model=MODEL, language=language, voice="Seoyeon")
    vendor_server.script(Script(deltas=(KOREAN,)))
    turn = await said(talking, session, "주문한 게 어디 있어요?")
    assert turn.job["output"]["sentences"][0]["audio"]["voice"] == "Seoyeon"
    vendor_server.script(Script(deltas=(ENGLISH,)))
    turn = await said(talking, session, "Where is my order?")
    (sentence,) = turn.job["output"]["sentences"]
    assert "error" not in sentence
    assert (sentence["audio"]["voice"], sentence["audio"]["language"]) == ("Joanna", "en-US")
    assert [voice for voice, _ in spoken(speech_server)] == ["Seoyeon", "Joanna"]


async def test_each_sentence_is_spoken_in_its_own_language(
    talking: Talking, vendor_server: VendorServer, speech_server: SpeechServer
) -> None:
    session = talk.session(talking.url, model=MODEL, language="ko-KR")
    vendor_server.script(Script(deltas=(ENGLISH, "이렇게 말해 보세요. ", "OK? ", KOREAN)))
    turn = await said(talking, session, "영어로 어떻게 말해요?", voice="Jihye")
    assert turn.job["status"] == "succeeded"
    assert {text.strip(): voice for voice, text in spoken(speech_server)} == {
        ENGLISH.strip(): "Joanna",
        "이렇게 말해 보세요.": "Jihye",
        "오케이?": "Jihye",
        KOREAN: "Jihye",
    }


@pytest.mark.parametrize(
    ("speech", "told"),
    [
        ({"voice": "Nobody"}, "voice: there is no 'Nobody' here; leave it out, or name one that speaks ko-KR: Seoyeon"),
        ({"format": "pcm", "sample_rate": 44100}, "sample_rate: pcm has 8000, 16000 Hz, not 44100"),
    ],
)
async def test_what_a_request_asks_for_itself_must_be_there(
    talking: Talking, vendor_server: VendorServer, speech_server: SpeechServer, speech: dict[str, Any], told: str
) -> None:
    speech_server.script(SpeechScript(heard=("안녕하세요.",)), service="transcribe-streaming")
    session = talk.session(talking.url, model=MODEL, language="ko-KR")
    body = {"text": "안녕하세요.", "language": "ko-KR", "speech": speech}
    turn = await talk.take(talking.url, session, json=body)
    assert (turn.job["status"], turn.job["error"]["code"]) == ("failed", "unsupported")
    assert told in turn.job["error"]["message"]
    assert not vendor_server.received, "no model was asked, and paid"
    assert not talk.history(talking.url, session)


@pytest.mark.parametrize(
    ("text", "told", "expected"),
    [
        ("Your parcel left the warehouse.", "ko-KR", "en"),
        ("OK!", "ko-KR", "ko-KR"),
        ("iPhone 15 Pro Max 256GB", "ko-KR", "ko-KR"),
        ("iPhone 15 Pro Max가 왔습니다.", "ko-KR", "ko-KR"),
        ("2026. 11. 21.", "ko-KR", "ko-KR"),
        ("주문이 왔어요.", "en-US", "ko"),
        ("はい、そうです。", "ko-KR", "ja"),
        ("了解。", "ja-JP", "ja-JP"),
        ("你好。", "cmn-CN", "cmn-CN"),
        ("你好。", "en-US", "zh"),
        ("Hej, hur mår du i dag?", "sv-SE", "sv-SE"),
    ],
)
def test_the_language_that_a_sentence_is_in(text: str, told: str, expected: str) -> None:
    assert written_in(text, told) == expected
