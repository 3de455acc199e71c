"""Turns by text: streamed in sentences, kept in the session, in order, and consistent when something fails."""

import asyncio
import base64
from typing import Any

import pytest

from ringback.testing.inbox import CallbackInbox
from ringback.testing.script import Script
from ringback.testing.vendors.server import VendorServer
from tests.gallery import JPEG, Gallery
from tests.integration.gateway import eventsource
from tests.integration.speech import talk
from tests.integration.speech.conftest import Talking
from tests.stack import eventually, request

MODEL = "bedrock/anthropic.claude-3-haiku"
REPLY = ("주문하신 ", "상품은 오늘 ", "출발했습니다. 내일 ", "오후 3시쯤 ", "도착해요! 더 ", "궁금한 점이 있으세요?")
SENTENCES = ["주문하신 상품은 오늘 출발했습니다.", "내일 오후 3시쯤 도착해요!", "더 궁금한 점이 있으세요?"]
SAID = "주문한 게 아직 안 왔어요."


def asked(vendor_server: VendorServer, nth: int = -1) -> dict[str, Any]:
    """What a model was asked over Bedrock's wire."""
    body: dict[str, Any] = vendor_server.received[nth].body
    return body


async def test_a_turn_streams_sentences_and_is_remembered(talking: Talking, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=REPLY, delta_s=0.02, input_tokens=90, output_tokens=30))
    context = {"latitude": 37.5, "time_zone": "Asia/Seoul"}
    session = talk.session(
        talking.url, model=MODEL, language="ko-KR", instructions="너는 쇼핑몰 상담원이다.", context=context
    )
    nothing = {"model": None, "priority": None, "fallbacks": None}
    turn = await talk.take(talking.url, session, json={"text": SAID, **nothing})

    assert turn.names[0] == "job.started"
    assert turn.names[-1] == "job.succeeded"
    assert "".join(data["text"] for data in turn.data("text.delta")) == "".join(REPLY)
    assert [data["text"].strip() for data in turn.data("sentence")] == SENTENCES
    assert [data["index"] for data in turn.data("sentence")] == [0, 1, 2]
    # The first sentence is told before the last text.
    assert turn.names.index("sentence") < len(turn.names) - 1 - turn.names[::-1].index("text.delta")
    assert "audio" not in turn.names
    output = turn.job["output"]
    assert output["text"] == "".join(REPLY)
    assert turn.sentences == SENTENCES
    assert "transcript" not in output
    assert (turn.job["type"], turn.job["session_id"], turn.job["model"]) == ("text_turn", session, MODEL)
    timings = turn.job["usage"]["timings"]
    assert 0 < timings["first_token_s"] <= timings["first_sentence_s"]
    assert turn.job["usage"]["output_tokens"] == 30
    assert talk.history(talking.url, session) == [("user", SAID), ("assistant", "".join(REPLY))]
    system = asked(vendor_server)["system"][0]["text"]
    assert system.startswith("너는 쇼핑몰 상담원이다.")
    assert "ko-KR" in system
    assert "latitude: 37.5" in system
    assert "(Asia/Seoul)" in system

    vendor_server.script(Script(deltas=("네.",)))
    await talk.take(talking.url, session, json={"text": "고마워요"})
    messages = asked(vendor_server)["messages"]
    assert [(m["role"], m["content"][0]["text"]) for m in messages] == [
        ("user", SAID),
        ("assistant", "".join(REPLY)),
        ("user", "고마워요"),
    ]


async def test_without_a_stream_it_is_a_job(
    talking: Talking, vendor_server: VendorServer, callback_inbox: CallbackInbox
) -> None:
    vendor_server.script(Script(deltas=REPLY))
    session = talk.session(talking.url, model=MODEL)
    body = {"text": SAID, "callback": {"url": f"{callback_inbox.url}/hook"}, "metadata": {"ticket": 1}}
    reply = request(f"{talking.url}/v1/sessions/{session}/text", method="POST", body=body)
    assert reply.status == 202
    assert reply.headers["location"] == f"/v1/jobs/{reply.json['id']}"
    assert (reply.json["status"], reply.json["session_id"]) == ("queued", session)
    (callback,) = await callback_inbox.wait_for(1)
    assert callback.json["data"]["output"]["text"] == "".join(REPLY)
    assert callback.json["data"]["metadata"] == {"ticket": 1}
    listed = request(f"{talking.url}/v1/jobs?session_id={session}").json["items"]
    assert [job["id"] for job in listed] == [reply.json["id"]]


async def test_turns_of_one_session_come_one_after_the_other(talking: Talking, vendor_server: VendorServer) -> None:
    vendor_server.enqueue(*(Script(deltas=(f"Answer {n}.",), first_s=0.2) for n in range(3)))
    session = talk.session(talking.url, model=MODEL)
    ids = []
    for n in range(3):
        reply = request(f"{talking.url}/v1/sessions/{session}/text", method="POST", body={"text": f"Question {n}?"})
        ids.append(reply.json["id"])
    for job_id in ids:
        await eventsource.read(f"{talking.url}/v1/jobs/{job_id}/events")
    said = [f"{role} {text}" for role, text in talk.history(talking.url, session)]
    assert said == [line for n in range(3) for line in (f"user Question {n}?", f"assistant Answer {n}.")]


async def test_a_busy_session_can_be_left_alone(talking: Talking, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=REPLY, first_s=1.0))
    session = talk.session(talking.url, model=MODEL)
    path = f"{talking.url}/v1/sessions/{session}/text"
    first = request(path, method="POST", body={"text": SAID})
    second = request(path, method="POST", body={"text": SAID, "busy": "refuse"})
    assert (second.status, second.json["code"]) == (409, "session_busy")
    await eventsource.read(f"{talking.url}/v1/jobs/{first.json['id']}/events")
    third = request(path, method="POST", body={"text": SAID, "busy": "refuse"})
    assert third.status == 202


async def test_the_same_request_again_is_the_same_turn(talking: Talking, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=REPLY))
    session = talk.session(talking.url, model=MODEL)
    headers = {"idempotency-key": f"turn-{session}"}
    turns = [await talk.take(talking.url, session, json={"text": SAID}, headers=headers) for _ in range(2)]
    assert turns[0].job_id == turns[1].job_id
    assert turns[0].names == turns[1].names
    assert len(talk.history(talking.url, session)) == 2


async def test_a_text_turn_can_be_spoken(talking: Talking, vendor_server: VendorServer, speech_server: Any) -> None:
    vendor_server.script(Script(deltas=REPLY))
    session = talk.session(talking.url, model=MODEL, language="ko-KR", voice="Jihye")
    turn = await talk.take(talking.url, session, json={"text": SAID, "speech": {"delivery": "url", "format": "pcm"}})
    sentences = turn.job["output"]["sentences"]
    assert all(sentence["audio"]["voice"] == "Jihye" for sentence in sentences)
    for sentence in sentences:
        reply = request(talking.url + sentence["audio"]["url"])
        assert len(reply.body) / 2 / sentence["audio"]["sample_rate"] == pytest.approx(
            sentence["audio"]["duration_s"], abs=0.01
        )


async def test_what_is_shown_goes_along(talking: Talking, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=REPLY))
    session = talk.session(talking.url, model="openai/gpt-4o")
    with Gallery() as gallery:
        shown = {"media_type": "image/jpeg", "base64": base64.b64encode(JPEG).decode()}
        body = {"text": SAID, "images": [{"url": f"{gallery.url}/png"}, shown]}
        turn = await talk.take(talking.url, session, json=body)
        assert turn.job["status"] == "succeeded"
        parts = asked(vendor_server)["messages"][-1]["content"]
        assert [part["type"] for part in parts] == ["text", "image_url", "image_url"]
        body = {"text": SAID, "images": [{"url": f"{gallery.url}/html"}]}
        turn = await talk.take(talking.url, session, json=body)
        assert turn.job["error"]["code"] == "image_unavailable"
        assert turn.job["error"]["message"].startswith("#/input/images/0/url")


async def test_a_model_that_breaks_off_is_replaced(talking: Talking, vendor_server: VendorServer) -> None:
    vendor_server.enqueue(Script(deltas=REPLY, fault="cut", fault_after=4))
    vendor_server.script(Script(deltas=("다시 ", "말씀드릴게요. ", "내일 도착합니다.")))
    session = talk.session(talking.url, model=MODEL)
    body = {"text": SAID, "fallbacks": ["openai/gpt-4o"]}
    turn = await talk.take(talking.url, session, json=body)
    (reset,) = turn.data("stream.reset")
    assert (reset["from_index"], reset["model"]) == (0, "openai/gpt-4o")
    assert turn.sentences == ["다시 말씀드릴게요.", "내일 도착합니다."]
    assert talk.history(talking.url, session)[1:] == [("assistant", "다시 말씀드릴게요. 내일 도착합니다.")]


async def test_a_turn_that_fails_keeps_what_was_said(talking: Talking, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=REPLY, fault="error_in_stream", fault_after=4))
    session = talk.session(talking.url, model=MODEL)
    turn = await talk.take(talking.url, session, json={"text": SAID})
    assert turn.names[-1] == "job.failed"
    (user, assistant) = request(f"{talking.url}/v1/sessions/{session}/history").json["items"]
    assert user["text"] == SAID
    assert "".join(REPLY).startswith(assistant["text"])
    assert assistant["extra"]["incomplete"] == turn.job["error"]["code"]


async def test_a_cancelled_turn_keeps_what_was_said(talking: Talking, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=REPLY, fault="stall", fault_after=4))
    session = talk.session(talking.url, model=MODEL)
    reply = request(f"{talking.url}/v1/sessions/{session}/text", method="POST", body={"text": SAID})
    async with eventsource.opened(f"{talking.url}/v1/jobs/{reply.json['id']}/events") as stream:
        async for event in stream:
            if event.name == "sentence":
                assert request(f"{talking.url}/v1/jobs/{reply.json['id']}/cancel", method="POST").status == 202
        assert event.name == "job.cancelled"
    items = request(f"{talking.url}/v1/sessions/{session}/history").json["items"]
    assert [(item["role"], item["extra"].get("incomplete")) for item in items] == [
        ("user", None),
        ("assistant", "cancelled"),
    ]


async def test_a_session_that_is_deleted_takes_its_turns_along(talking: Talking, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=REPLY, fault="stall", fault_after=4))
    session = f"{talking.url}/v1/sessions/{talk.session(talking.url, model=MODEL)}"
    jobs = [request(f"{session}/text", method="POST", body={"text": SAID}).json["id"] for _ in range(2)]
    for job in jobs:
        async with eventsource.opened(f"{talking.url}/v1/jobs/{job}/events") as stream:
            async for event in stream:
                if event.name == "sentence":
                    assert request(session, method="DELETE").status == 204
        assert event.name == "job.cancelled"
    assert [item["role"] for item in request(f"{session}/history").json["items"]] == ["user"]


async def test_the_memory_is_refined_after_turns_that_are_broken_off(
    talking: Talking, vendor_server: VendorServer
) -> None:
    vendor_server.reset()
    session = talk.session(talking.url, model=MODEL, memory={"max_messages": 2, "keep": 1})
    for _ in range(2):
        vendor_server.script(Script(deltas=REPLY, fault="stall", fault_after=4))
        reply = request(f"{talking.url}/v1/sessions/{session}/text", method="POST", body={"text": SAID})
        async with eventsource.opened(f"{talking.url}/v1/jobs/{reply.json['id']}/events") as stream:
            async for event in stream:
                if event.name == "sentence":
                    vendor_server.script(Script(deltas=("<summary>An order is late.</summary>",)))
                    request(f"{talking.url}/v1/jobs/{reply.json['id']}/cancel", method="POST")
    await asyncio.to_thread(eventually, lambda: any("new notes" in str(r.body) for r in vendor_server.received))


async def test_the_memory_is_refined_after_the_reply(talking: Talking, vendor_server: VendorServer) -> None:
    notes = "<summary>The customer Mina waits for order 4711.</summary><facts>- Mina</facts>"
    session = talk.session(talking.url, model=MODEL, memory={"max_messages": 4, "keep": 2})
    for n in range(3):
        vendor_server.script(Script(deltas=(f"Answer {n}.",)))
        await talk.take(talking.url, session, json={"text": f"I am Mina, question {n}?"})
        vendor_server.script(Script(deltas=(notes,)))
    await asyncio.to_thread(
        eventually, lambda: any("Notes" in str(r.body) or "notes" in str(r.body) for r in vendor_server.received)
    )
    vendor_server.script(Script(deltas=("Yes.",)))

    def remembered() -> bool:
        before = len(vendor_server.received)
        reply = request(f"{talking.url}/v1/sessions/{session}/text", method="POST", body={"text": "And now?"})
        eventually(
            lambda: request(f"{talking.url}/v1/jobs/{reply.json['id']}").json["status"] == "succeeded",
        )
        return "4711" in str([r.body["messages"] for r in vendor_server.received[before:]])

    await asyncio.to_thread(eventually, remembered)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/text"),
        ({"text": " "}, "#/text"),
        ({"text": "x", "speech": {"format": "aiff"}}, "#/speech/format"),
        ({"text": "x", "nonsense": 1}, "#/nonsense"),
        ({"text": "x", "busy": "no"}, "#/busy"),
        ({"text": "x", "language": "한국어"}, "#/language"),
        ({"text": "x", "model": "nobody/x"}, "#/model"),
        ({"text": "x", "priority": "now"}, "#/priority"),
        ({"text": "x", "metadata": []}, "#/metadata"),
        ({"text": "x", "images": [{}]}, "#/images/0"),
        ({"text": "x", "images": [{"url": "http://10.0.0.1/x"}]}, "#/images/0/url"),
        ({"text": "x", "images": [{"media_type": "image/png", "base64": "AAAA"}]}, "#/images/0/base64"),
    ],
)
def test_what_is_refused_at_once(talking: Talking, body: dict[str, Any], pointer: str) -> None:
    session = talk.session(talking.url)
    reply = request(f"{talking.url}/v1/sessions/{session}/text", method="POST", body=body)
    assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, pointer), reply.body
    assert "#/input" not in reply.json["detail"]


def test_a_session_that_is_not_there(talking: Talking) -> None:
    gone = talk.session(talking.url)
    request(f"{talking.url}/v1/sessions/{gone}", method="DELETE")
    for session in (gone, "ses_nonsense", "job_1"):
        reply = request(f"{talking.url}/v1/sessions/{session}/text", method="POST", body={"text": "x"})
        assert reply.status == 404


async def test_korean_without_any_vendor_is_text_only(offline: Talking) -> None:
    session = talk.session(offline.url, language="ko-KR")
    turn = await talk.take(offline.url, session, json={"text": "안녕하세요", "speech": {}})
    assert turn.names[-1] == "job.succeeded"
    sentences = turn.job["output"]["sentences"]
    assert len(sentences) > 1
    assert {sentence["error"]["code"] for sentence in sentences} == {"unsupported"}
    plain = await talk.take(offline.url, session, json={"text": "안녕하세요"})
    assert not any("error" in sentence for sentence in plain.job["output"]["sentences"])


async def test_a_turn_without_a_session(talking: Talking, vendor_server: VendorServer, speech_server: Any) -> None:
    vendor_server.script(Script(deltas=REPLY))
    given = {"text": SAID, "speech": {}, "instructions": "Answer in Korean."}
    body = {"type": "text_turn", "input": given, "model": MODEL}
    reply = request(f"{talking.url}/v1/jobs", method="POST", body=body)
    events = await eventsource.read(talking.url + reply.json["links"]["events"])
    job = events[-1].data
    assert (job["status"], job["session_id"]) == ("succeeded", None)
    # Nobody said which language it is: the script of what was said does.
    assert {sentence["audio"]["voice"] for sentence in job["output"]["sentences"]} == {"Seoyeon"}
    assert asked(vendor_server)["system"][0]["text"].startswith("Answer in Korean.")
    assert len(asked(vendor_server)["messages"]) == 1
