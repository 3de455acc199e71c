"""What speech costs: in the Job, and in the sums, exactly once."""

import base64
import math
from typing import Any

import pytest

from ringback.testing.speech.script import SpeechScript
from ringback.testing.speech.server import SpeechServer
from speech.audio import encoding
from speech.audio.pcm import Pcm
from tests.contract.speech.case import tone
from tests.integration.speech.conftest import Talking
from tests.integration.speech.talk import session, take
from tests.stack import request

KOREAN = "주문하신 상품은 오늘 출고됩니다."
NEURAL = 16.0 / 1_000_000
"""US dollars a character."""
SECOND = 0.024 / 60
LEAST = 15
"""Seconds of Transcribe that are billed at least."""


def run(talking: Talking, job_type: str, **given: Any) -> dict[str, Any]:
    """A job that has ended."""
    reply = request(
        f"{talking.url}/v1/jobs",
        method="POST",
        body={"type": job_type, "input": given},
        headers={"prefer": "wait=30"},
    )
    assert reply.status == 200, reply.body
    found: dict[str, Any] = reply.json
    return found


def used(talking: Talking) -> dict[str, dict[str, Any]]:
    """The sums of today, by model."""
    return {item["model"]: item for item in request(f"{talking.url}/v1/usage?group_by=model").json["items"]}


def more(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]], model: str) -> tuple[int, int, float]:
    """How many calls and failed calls there are since, and what they cost."""
    nothing = {"calls": 0, "failed_calls": 0, "cost": {"usd": 0.0}}
    was, now = before.get(model, nothing), after[model]
    usd = now["cost"]["usd"] - was["cost"]["usd"]
    return now["calls"] - was["calls"], now["failed_calls"] - was["failed_calls"], round(usd, 9)


async def test_what_is_spoken_costs_by_its_characters(talking: Talking, speech_server: SpeechServer) -> None:
    before = used(talking)
    job = run(talking, "speak", text=KOREAN, language="ko-KR")
    usd = round(len(KOREAN) * NEURAL, 9)
    assert (job["model"], job["cost"]) == ("polly/neural", {"usd": usd, "complete": True})
    assert more(before, used(talking), "polly/neural") == (1, 0, usd)
    job = run(talking, "speak", text=KOREAN, language="ko-KR", engine="standard")
    assert job["cost"] == {"usd": pytest.approx(usd / 4), "complete": True}


async def test_what_was_refused_costs_nothing_and_what_broke_off_costs_all(
    talking: Talking, speech_server: SpeechServer
) -> None:
    before = used(talking)
    speech_server.enqueue(SpeechScript(fault="rate_limited"), SpeechScript(fault="cut", fault_after=3))
    job = run(talking, "speak", text=KOREAN, language="ko-KR")
    usd = round(len(KOREAN) * NEURAL, 9)
    assert [call["cost_usd"] for call in job["calls"]] == [0.0, usd, usd]
    assert [call["estimated"] for call in job["calls"]] == [False, True, False]
    assert job["cost"] == {"usd": pytest.approx(2 * usd), "complete": True}
    assert more(before, used(talking), "polly/neural") == (3, 2, round(2 * usd, 9))


@pytest.mark.parametrize(("seconds", "billed"), [(3, LEAST), (20, 20)])
async def test_what_is_understood_costs_by_the_second(
    talking: Talking, speech_server: SpeechServer, seconds: int, billed: int
) -> None:
    before = used(talking)
    job = _transcribed(talking, tone(seconds))
    usd = round(billed * SECOND, 9)
    assert job["usage"]["audio_s"] == pytest.approx(seconds, abs=0.1)
    assert math.ceil(job["usage"]["audio_s"]) <= max(seconds, LEAST)
    assert (job["model"], job["cost"]) == ("transcribe/streaming", {"usd": usd, "complete": True})
    assert more(before, used(talking), "transcribe/streaming") == (1, 0, usd)


async def test_silence_costs_nothing(talking: Talking, speech_server: SpeechServer) -> None:
    job = _transcribed(talking, _silence())
    assert (job["output"]["text"], speech_server.received) == ("", [])
    assert job["cost"] == {"usd": 0.0, "complete": True}


async def test_a_turn_costs_what_all_its_stages_do(talking: Talking, speech_server: SpeechServer) -> None:
    made = session(talking.url, language="ko-KR", model="fake/x?text=네.+내일+갑니다.")
    turn = await take(talking.url, made, by="voice", data=tone(2), headers={"content-type": "audio/wav"})
    by_model = {call["model"]: call["cost_usd"] for call in turn.job["calls"]}
    assert by_model["transcribe/streaming"] == pytest.approx(LEAST * SECOND)
    assert by_model["polly/neural"] > 0
    total = sum(call["cost_usd"] for call in turn.job["calls"])
    assert turn.job["cost"] == {"usd": pytest.approx(total), "complete": True}


def _transcribed(talking: Talking, audio: bytes) -> dict[str, Any]:
    return run(talking, "transcribe", audio={"base64": base64.b64encode(audio).decode()}, language="en-US")


def _silence() -> bytes:
    return encoding.encoded(Pcm(bytes(32_000), 16_000), "wav")
