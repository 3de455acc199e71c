"""Turns whose worker or gateway is killed in the middle: the stream goes on, and the session has each message once."""

import asyncio
import base64
import signal
import time
from itertools import pairwise
from typing import Any

import aiohttp
import msgspec
import pytest

from jobs.event import TERMINAL_NAMES
from ringback.testing.script import Script
from ringback.testing.speech.script import SpeechScript
from ringback.testing.speech.server import SpeechServer
from ringback.testing.vendors.server import VendorServer
from tests.chaos.ground import Ground, asker, prompted, replies
from tests.integration.gateway import eventsource
from tests.integration.gateway.eventsource import Event, EventSource
from tests.integration.speech import talk
from tests.integration.speech.sounds import heard, tone
from tests.stack import Process, eventually, request

SAID = "주문한 게 아직 안 왔어요."
REPLY = ("주문하신 ", "상품은 오늘 ", "출발했습니다. 내일 ", "오후 3시쯤 ", "도착해요! 더 ", "궁금한 점이 있으세요?")
WAV = {"content-type": "audio/wav"}
DRAWLING = SpeechScript(chunk_bytes=2048, chunk_s=8.0)
"""A sentence takes longer than any test waits for a worker's end."""
BREAKS = (aiohttp.ClientError, ConnectionError)


class Case(msgspec.Struct, frozen=True):
    """A turn in mid-flight."""

    name: str
    """Of its model, too."""
    by: str
    first: Script
    """What the model does at the first attempt."""
    reached: tuple[str, int]
    """The event, and the number of messages in the history, at which the worker is killed."""


CASES = (
    Case("voice-heard", "voice", Script(deltas=REPLY, fault="stall", fault_after=4), ("audio", 1)),
    Case("text-heard", "text", Script(deltas=REPLY, fault="stall", fault_after=4), ("audio", 1)),
    Case("unanswered", "voice", Script(fault="hang"), ("transcript.final", 1)),
    Case("written", "text", Script(deltas=REPLY), ("audio", 2)),
)


@pytest.fixture(autouse=True)
def _vendors(vendor_server: VendorServer, speech_server: SpeechServer) -> None:
    vendor_server.script(Script(deltas=REPLY))
    speech_server.script(SpeechScript(heard=(SAID,)), service="transcribe-streaming")
    speech_server.script(DRAWLING, service="polly")


async def spoken(url: str, session: str, by: str) -> talk.Turn:
    """A turn that is spoken, followed to its end."""
    if by == "voice":
        return await talk.take(url, session, by="voice", data=tone(), headers=WAV)
    return await talk.take(url, session, json={"text": SAID, "speech": {}})


async def reached(ground: Ground, session: str, case: Case) -> None:
    """Returns once the turn is where its worker is to be killed."""
    name, count = case.reached

    def there() -> bool:
        return name in ground.told(session) and len(ground.messages(session)) == count

    await asyncio.to_thread(eventually, there, what=case.name)


def one_whole_turn(turn: talk.Turn) -> None:
    """One end, one new beginning, and the sound of the second attempt is all there."""
    assert [name for name in turn.names if name in TERMINAL_NAMES] == ["job.succeeded"]
    assert turn.names[-1] == "job.succeeded"
    assert turn.job["attempt"] == 2
    (reset,) = turn.data("stream.reset")
    assert reset["reason"] == "new_attempt"
    assert "from_index" not in reset
    anew = turn.events[turn.names.index("stream.reset") :]
    parts: dict[int, int] = {}
    for event in anew:
        if event.name == "audio" and not event.data["last"]:
            assert event.data["part"] == parts.get(event.data["index"], 0)
            parts[event.data["index"]] = event.data["part"] + 1
    assert "".join(event.data["text"] for event in anew if event.name == "text.delta") == "".join(REPLY)
    for sentence in turn.job["output"]["sentences"]:
        sound = base64.b64decode(sentence["audio"]["base64"])
        assert heard(turn.events, sentence["index"]) == heard(anew, sentence["index"]) == sound


async def test_turns_of_a_killed_worker_are_taken_again(
    ground: Ground, vendor_server: VendorServer, speech_server: SpeechServer
) -> None:
    victim = await asyncio.to_thread(ground.start_worker)
    sessions = {}
    for case in CASES:
        vendor_server.enqueue(case.first, model=case.name)
        sessions[case.name] = talk.session(ground.url, model=f"openai/{case.name}", language="ko-KR")
    async with asyncio.TaskGroup() as followers:
        turns = [followers.create_task(spoken(ground.url, sessions[case.name], case.by)) for case in CASES]
        for case in CASES:
            await reached(ground, sessions[case.name], case)
        await asyncio.to_thread(ground.start_worker)
        assert all("job.succeeded" not in ground.told(session) for session in sessions.values())
        await asyncio.to_thread(victim.stop, signal.SIGKILL)
        speech_server.script(SpeechScript(), service="polly")

    for case, task in zip(CASES, turns, strict=True):
        turn, session = task.result(), sessions[case.name]
        one_whole_turn(turn)
        said = [("user", SAID), ("assistant", "".join(REPLY))]
        assert talk.history(ground.url, session) == said, case.name
        assert {message["job_id"] for message in ground.messages(session)} == {turn.job_id}
        following = await talk.take(ground.url, session, json={"text": "고마워요"})
        assert following.job["status"] == "succeeded"
        first, again, last = [r for r in vendor_server.received if r.model == case.name]
        assert prompted(first) == prompted(again) == said[:1], case.name
        assert prompted(last) == [*said, ("user", "고마워요")], case.name


async def test_who_followed_a_killed_gateway_goes_on_at_another(ground: Ground, speech_server: SpeechServer) -> None:
    speech_server.script(SpeechScript(chunk_bytes=512, chunk_s=0.05), service="polly")
    ground.begin_worker()
    doomed = await asyncio.to_thread(ground.gateway)
    await asyncio.to_thread(ground.wait_workers, 1)
    session = talk.session(ground.url, model="openai/gpt-4o", language="ko-KR")
    headers = {"accept": "text/event-stream", "idempotency-key": "once"}
    body = {"text": SAID, "speech": {}}
    events: list[Event] = []
    async with (
        aiohttp.ClientSession(read_bufsize=2**24) as client,
        client.post(f"{doomed}/v1/sessions/{session}/text", json=body, headers=headers) as answer,
    ):
        job_id = answer.headers["ringback-job-id"]
        with pytest.raises(BREAKS):
            await until_it_breaks(answer, events, ground.gateways[doomed])
    assert events[-1].name not in TERMINAL_NAMES
    # One that does not know whether it was accepted asks again elsewhere, and is told of the same turn.
    again = await talk.take(ground.url, session, json=body, headers=headers)
    rest = await eventsource.read(f"{ground.second}/v1/jobs/{job_id}/events", events[-1].id)
    turn = talk.Turn([*events, *rest], job_id)
    assert again.job_id == job_id
    assert again.events == turn.events
    assert turn.job["attempt"] == 1
    assert [name for name in turn.names if name in TERMINAL_NAMES] == ["job.succeeded"]
    for sentence in turn.job["output"]["sentences"]:
        assert heard(turn.events, sentence["index"]) == base64.b64decode(sentence["audio"]["base64"])
    assert talk.history(ground.url, session) == [("user", SAID), ("assistant", "".join(REPLY))]


async def test_two_gateways_and_two_workers_have_one_order(ground: Ground, vendor_server: VendorServer) -> None:
    doomed, _ = ground.begin_named("doomed"), ground.begin_named("other")
    session = talk.session(ground.url, model="openai/gpt-4o")
    vendor_server.script(Script(deltas=("네, ", "그래요."), first_s=0.03, delta_s=0.05))
    vendor_server.enqueue(Script(deltas=("네, ", "그래요."), first_s=2.0))
    await asyncio.to_thread(ground.wait_workers, 2)

    accepted = await asyncio.gather(*(ask(ground.urls[n % 2], session, f"질문 {n}") for n in range(20)))
    assert {status for status, _ in accepted} == {202}
    order = ground.line(session)
    assert sorted(order) == sorted(job["id"] for _, job in accepted)
    await refused(ground, session)

    def killed_in_mid_turn() -> bool:
        for received in replies(vendor_server.received)[6:]:
            young = received.ended is None and time.monotonic() - received.at < 0.03
            if young and asker(received) == "doomed":
                doomed.send(signal.SIGKILL)
                return True
        return False

    await asyncio.to_thread(eventually, killed_in_mid_turn, what="the doomed worker has its turn")
    await refused(ground, session)
    jobs = [await asyncio.to_thread(ground.ended, job_id) for job_id in order]

    assert {job["status"] for job in jobs} == {"succeeded"}
    assert {asker(received) for received in replies(vendor_server.received)} == {"doomed", "other"}
    assert max(job["attempt"] for job in jobs) == 2
    messages = ground.messages(session)
    said = [(job["id"], role) for job in jobs for role in ("user", "assistant")]
    assert [(message["job_id"], message["role"]) for message in messages] == said
    texts = {job["id"]: job["input"]["text"] for _, job in accepted}
    assert [message["text"] for message in messages[::2]] == [texts[job_id] for job_id in order]
    for earlier, later in pairwise(replies(vendor_server.received)):
        assert earlier.ended is not None
        assert earlier.ended <= later.at, "two turns of one session at once"
    assert (await ask(ground.url, session, "또 하나", busy="refuse"))[0] == 202


async def until_it_breaks(answer: aiohttp.ClientResponse, events: list[Event], gateway: Process) -> None:
    """Notes the events of a stream whose gateway is killed in mid-sound."""
    async for event in EventSource(answer):
        events.append(event)
        if event.name == "audio" and event.data["part"] == 2:
            gateway.send(signal.SIGKILL)


async def ask(url: str, session: str, text: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    """Submits a turn; status and document."""
    reply = await asyncio.to_thread(
        request, f"{url}/v1/sessions/{session}/text", method="POST", body={"text": text, **fields}
    )
    return reply.status, reply.json


async def refused(ground: Ground, session: str) -> None:
    """Whoever does not want to wait is told that the session is busy, by each gateway."""
    for url in ground.urls:
        status, problem = await ask(url, session, "나도", busy="refuse")
        assert (status, problem["code"]) == (409, "session_busy")
