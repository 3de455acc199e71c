"""Streamed completions in bad weather: answers that start again, outages, draining, clients that leave. Run by hand."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import openai
import pytest
from redis import Redis

from jobs import event
from jobs.job import JobError
from jobs.model import Usage
from jobs.store import keys
from tests.integration.gateway.chat import MESSAGES, Listener, client, ended, finishes, job, post
from tests.integration.gateway.conftest import Breakable, Gateways, Hand, until
from tests.stack import eventually, request

AGAIN = event.stream_reset("stream_interrupted", "fake/other")


@pytest.fixture(scope="module")
def hurried(gateways: Gateways) -> str:
    """A gateway on the same store that soon looks whether anything has been missed."""
    hurry = "hub.HEARTBEAT_S=0.2 hub._TICK_S=0.05"
    return gateways.gateway(module="tests.integration.gateway.hurry", HURRY=hurry)


def check_unfinished(listener: Listener, job_id: str, code: str) -> None:
    """Asserts that the stream has ended in an error that leads to the job."""
    assert listener.error is not None
    assert listener.error.code == code
    assert f"/v1/jobs/{job_id}" in listener.error.message
    assert finishes(listener.chunks) == []


async def test_text_comes_as_it_is_written_and_the_answer_ends_with_its_job(gateways: Gateways, hand: Hand) -> None:
    listener = Listener(gateways.url)
    running = await listener.run_by(hand)
    for so_far, piece in (("안", "안"), ("안녕\n\n", "녕\n\n"), ('안녕\n\n"하', '"하')):
        await running.say(piece)
        await listener.until_text(so_far)
    await running.end(output={"text": '안녕\n\n"하세요"'}, usage=Usage(input_tokens=1, output_tokens=2))
    await listener.end()
    assert (listener.text, finishes(listener.chunks), listener.error) == ('안녕\n\n"하세요"', ["stop"], None)


@pytest.mark.parametrize(
    "pieces", [["하나 둘 셋 넷"], ["하나", " 둘", " 셋 넷"], ["하", "나 둘 ", "셋 넷"], list("하나 둘 셋 넷")]
)
async def test_an_answer_that_starts_again_and_agrees_goes_on(
    gateways: Gateways, hand: Hand, pieces: list[str]
) -> None:
    listener = Listener(gateways.url)
    running = await listener.run_by(hand)
    await running.say("하나 ", "둘 ")
    await listener.until_text("하나 둘 ")
    await running.append(AGAIN)
    await running.say(*pieces)
    await listener.until_text("하나 둘 셋 넷")
    await running.end(output={"text": "하나 둘 셋 넷"}, target="fake/other")
    await listener.end()
    assert (finishes(listener.chunks), listener.error) == (["stop"], None)
    assert listener.chunks[-1].model == "fake/other"


async def test_an_answer_that_starts_again_more_than_once(gateways: Gateways, hand: Hand) -> None:
    listener = Listener(gateways.url)
    running = await listener.run_by(hand)
    for so_far, piece in (
        ("가나", "가나"),
        ("가나", "가"),
        ("가나다", "가나다"),
        ("가나다", "가나"),
        ("가나다라", "가나다라"),
    ):
        await running.append(AGAIN)
        await running.say(piece)
        await listener.until_text(so_far)
    await running.end(output={"text": "가나다라"})
    await listener.end()
    assert (listener.text, finishes(listener.chunks), listener.error) == ("가나다라", ["stop"], None)


@pytest.mark.parametrize("other", ["하나 셋", "전혀 다른 답"])
async def test_an_answer_that_starts_again_and_differs_ends_in_an_error(
    gateways: Gateways, hand: Hand, other: str
) -> None:
    listener = Listener(gateways.url)
    running = await listener.run_by(hand)
    await running.say("하나 ", "둘 ")
    await listener.until_text("하나 둘 ")
    await running.append(AGAIN)
    await running.say(other)
    await listener.end()
    check_unfinished(listener, running.id, "stream_reset")
    assert listener.text == "하나 둘 "
    await running.end(output={"text": other})
    assert job(gateways.url, running.id)["output"] == {"text": other}, "where it can be read, whole"


async def test_an_answer_that_starts_again_and_ends_sooner_ends_in_an_error(gateways: Gateways, hand: Hand) -> None:
    listener = Listener(gateways.url)
    running = await listener.run_by(hand)
    await running.say("하나 둘 셋")
    await listener.until_text("하나 둘 셋")
    await running.append(AGAIN)
    await running.say("하나 둘")
    await running.end(output={"text": "하나 둘"})
    await listener.end()
    check_unfinished(listener, running.id, "stream_reset")


async def test_what_was_not_sent_yet_can_be_taken_back(gateways: Gateways, hand: Hand) -> None:
    listener = Listener(gateways.url)
    running = await listener.run_by(hand)
    await running.append(event.text_delta("틀린 "), AGAIN, event.text_delta("맞는 "))
    await running.say("답")
    await running.end(output={"text": "맞는 답"})
    await listener.end()
    # Each event is pushed by itself: whether the first was on its way already is a matter of luck, a lie never is.
    if listener.error is None:
        assert (listener.text, finishes(listener.chunks)) == ("맞는 답", ["stop"])
    else:
        check_unfinished(listener, running.id, "stream_reset")


@pytest.mark.parametrize(
    ("code", "expected"), [("stream_interrupted", "stream_interrupted"), ("deadline_exceeded", "deadline_exceeded")]
)
async def test_a_job_that_fails_midway_ends_the_stream_in_an_error(
    gateways: Gateways, hand: Hand, code: str, expected: str
) -> None:
    listener = Listener(gateways.url)
    running = await listener.run_by(hand)
    await running.say("하나 ")
    await listener.until_text("하나 ")
    await running.end("failed", error=JobError(code=code, message="It broke."))
    await listener.end()
    check_unfinished(listener, running.id, expected)
    assert listener.error is not None
    assert "It broke." in listener.error.message


async def test_a_filter_that_strikes_midway_is_a_reason_to_finish(gateways: Gateways, hand: Hand) -> None:
    listener = Listener(gateways.url)
    running = await listener.run_by(hand)
    await running.say("하나 ")
    await listener.until_text("하나 ")
    await running.end("failed", error=JobError(code="content_filtered", message="No."))
    await listener.end()
    assert (listener.text, finishes(listener.chunks), listener.error) == ("하나 ", ["content_filter"], None)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_job_that_is_cancelled_elsewhere(gateways: Gateways, streamed: bool) -> None:
    listener = Listener(gateways.url, stream=streamed)
    job_id = await listener.job_id()
    assert request(f"{gateways.other}/v1/jobs/{job_id}/cancel", method="POST").status == 202
    await listener.end()
    assert isinstance(listener.error, openai.ConflictError)
    assert listener.error.code == "job_cancelled"
    assert listener.error.response.headers["ringback-job-id"] == job_id


@pytest.mark.parametrize("streamed", [False, True])
async def test_who_leaves_before_the_start_ends_the_job_at_once(gateways: Gateways, streamed: bool) -> None:
    listener = Listener(gateways.url, stream=streamed)
    job_id = await listener.job_id()
    await listener.leave()
    assert (await ended(gateways.url, job_id))["status"] == "cancelled"
    assert job(gateways.url, job_id)["attempt"] == 0


async def test_who_leaves_a_background_job_that_waits_leaves_it_waiting(gateways: Gateways, hand: Hand) -> None:
    listener = Listener(gateways.url, extra_body={"background": True})
    other = Listener(gateways.url)
    job_id, other_id = await listener.job_id(), await other.job_id()
    await listener.leave()
    await other.leave()
    await ended(gateways.url, other_id)
    running = await hand.claim(job_id)
    assert job(gateways.url, job_id)["status"] == "running"
    await running.end(output={"text": "끝"})


async def test_a_lost_wire_costs_nothing(gateways: Gateways, hand: Hand) -> None:
    listener = Listener(gateways.url)
    running = await listener.run_by(hand)
    await running.say("하나 ")
    await listener.until_text("하나 ")
    with Redis.from_url(gateways.store_spec.url) as redis:
        assert redis.client_kill_filter(_type="pubsub")
    await running.say("둘 ", "셋 ")
    await listener.until_text("하나 둘 셋 ")
    await running.end(output={"text": "하나 둘 셋 "})
    await listener.end()
    assert (finishes(listener.chunks), listener.error) == (["stop"], None)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_job_that_is_lost_is_not_waited_for(
    gateways: Gateways, hurried: str, hand: Hand, streamed: bool
) -> None:
    """A store that failed over may have forgotten it."""
    listener = Listener(hurried, stream=streamed)
    job_id = await listener.job_id()
    await hand.connection.redis.delete(keys.job(job_id))
    await listener.end()
    assert listener.error is not None
    assert listener.error.code == "job_not_found"


async def test_an_idle_stream_is_kept_alive(hurried: str, hand: Hand) -> None:
    reply = asyncio.create_task(
        asyncio.to_thread(
            post, hurried, {"model": "fake/echo", "messages": MESSAGES, "stream": True, "metadata": {"tag": "idle"}}
        )
    )

    async def accepted() -> Any:
        return request(f"{hurried}/v1/jobs?metadata.tag=idle").json["items"]

    (found,) = await until(accepted)
    await asyncio.sleep(1)
    running = await hand.claim(found["id"])
    await running.end(output={"text": "늦었죠"})
    body = (await reply).body
    assert body.count(b": keep-alive\n\n") >= 2
    assert body.index(b": keep-alive") < body.index(b'"role":"assistant"')


async def test_a_gateway_that_drains_lets_answers_end(gateways: Gateways, hand: Hand) -> None:
    url = gateways.gateway()
    listener = Listener(url)
    running = await listener.run_by(hand)
    await running.say("하나 ")
    await listener.until_text("하나 ")
    gateways.gateways[url].send(signal.SIGTERM)
    await running.say("둘")
    await running.end(output={"text": "하나 둘"})
    await listener.end()
    assert (listener.text, finishes(listener.chunks), listener.error) == ("하나 둘", ["stop"], None)
    assert gateways.gateways[url].stop() == 0


async def test_a_gateway_that_drains_tells_those_whose_answers_do_not_end(gateways: Gateways, hand: Hand) -> None:
    url = gateways.gateway(RINGBACK_DRAIN_S="3")
    listener, whole = Listener(url), Listener(url, stream=False)
    running = await listener.run_by(hand)
    job_id = await whole.job_id()
    await running.say("하나 ")
    await listener.until_text("하나 ")
    assert gateways.gateways[url].stop() == 0
    await listener.end()
    await whole.end()
    check_unfinished(listener, running.id, "shutting_down")
    assert isinstance(whole.error, openai.InternalServerError)
    assert (whole.error.status_code, whole.error.response.headers["ringback-job-id"]) == (503, job_id)
    await running.end(output={"text": "하나 둘"})
    assert job(gateways.url, running.id)["status"] == "succeeded", "it went on"


async def test_without_a_store_nothing_is_accepted_but_models_are_listed(breakable: Breakable) -> None:
    breakable.store.send(signal.SIGSTOP)
    async with client(breakable.url) as made:
        for streamed in (False, True):
            with pytest.raises(openai.InternalServerError) as caught:
                await made.chat.completions.create(model="fake/echo", messages=MESSAGES, stream=streamed)
            assert (caught.value.status_code, caught.value.code) == (503, "store_unavailable")
        listed: Any = await made.models.list()
    assert [model.id for model in listed.data] == ["offline/rules"]
    assert listed.data[0].ringback["circuits"] is None


async def test_a_store_that_comes_back_in_time_has_lost_nothing(
    breakable: Breakable, new_hand: Callable[..., Hand]
) -> None:
    hand = new_hand(breakable)
    listener = Listener(breakable.url)
    running = await listener.run_by(hand)
    await running.say("하나 ")
    await listener.until_text("하나 ")
    breakable.kill_store()
    breakable.restart_store()
    eventually(lambda: request(f"{breakable.url}/health/ready").status == 200)
    await running.say("둘")
    await listener.until_text("하나 둘")
    await running.end(output={"text": "하나 둘"})
    await listener.end()
    assert (finishes(listener.chunks), listener.error) == (["stop"], None)
