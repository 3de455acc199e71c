"""The main road on real parts: one job submitted, its result by callback, by stream and by GET."""

import asyncio
import time
from typing import Any

import pytest
import standardwebhooks

from ringback.testing.inbox import CallbackInbox
from ringback.testing.script import Script
from ringback.testing.vendors.server import VendorServer
from tests.conftest import Ringback
from tests.integration.gateway import eventsource
from tests.stack import SECRET, request

ANGRY = "배송이 왜 이렇게 늦어요!!! 11월 3일에 주문한 거(주문번호 20261103-771) 당장 89,000원 환불해요!!"
SOFT = ("11월 3일에 주문한 상품", "(주문번호 20261103-771)이 ", "아직 오지 않아 ", "89,000원을 환불해 주세요. 🙏")
MODELS = ["openai/gpt-4o", "anthropic/claude-sonnet", "gemini/gemini-2.5-flash", "bedrock/anthropic.claude"]


def submit(ringback: Ringback, inbox: CallbackInbox, **fields: Any) -> dict[str, Any]:
    body = {
        "type": "soften",
        "input": {"text": ANGRY},
        "metadata": {"ticket": 4711, "고객": ["김", None, 1.0]},
        "callback": {"url": f"{inbox.url}/hooks/ai?from=ringback"},
        **fields,
    }
    reply = request(f"{ringback.url}/v1/jobs", method="POST", body=body)
    assert reply.status == 202, reply.body
    job: dict[str, Any] = reply.json
    return job


@pytest.mark.parametrize("model", MODELS)
async def test_one_job_three_outlets(
    ringback: Ringback, vendor_server: VendorServer, callback_inbox: CallbackInbox, model: str
) -> None:
    vendor_server.script(Script(deltas=SOFT, delta_s=0.05, input_tokens=40, output_tokens=20))

    job = submit(ringback, callback_inbox, model=model)
    events = await eventsource.read(ringback.url + job["links"]["events"])
    (callback,) = await callback_inbox.wait_for(1)
    by_get = request(ringback.url + job["links"]["self"])

    assert (by_get.json["status"], by_get.json["output"]) == ("succeeded", {"text": "".join(SOFT)})
    assert by_get.json["metadata"] == {"ticket": 4711, "고객": ["김", None, 1.0]}
    assert (by_get.json["type"], by_get.json["input"]) == ("soften", {"text": ANGRY})
    assert (by_get.json["model"], by_get.json["provider"]) == (model, model.partition("/")[0])
    assert (by_get.json["usage"]["input_tokens"], by_get.json["usage"]["output_tokens"]) == (40, 20)

    # The stream: in order, without gaps, in more than one piece, and its text is the output.
    assert eventsource.ids(events) == list(range(1, len(events) + 1))
    assert [events[0].name, events[-1].name] == ["job.started", "job.succeeded"]
    assert [e.name for e in events].count("job.succeeded") == 1
    assert eventsource.text(events) == "".join(SOFT)
    assert [e.name for e in events].count("text.delta") > 1

    # The three tell the same.
    body = standardwebhooks.Webhook(SECRET).verify(callback.body, callback.headers)
    assert events[-1].raw.encode() == by_get.body
    assert body["data"] == events[-1].data == by_get.json
    assert body.keys() == {"type", "timestamp", "data"}
    assert body["type"] == callback.type == "job.succeeded"
    assert by_get.body in callback.body, "to the byte"
    assert callback.headers["webhook-id"].startswith("msg_")
    assert callback.headers["ringback-sequence"] == str(events[-1].id)
    assert callback.headers["content-type"].startswith("application/json")
    assert (callback.method, callback.path) == ("POST", "/hooks/ai?from=ringback")

    delivered = await until_delivered(ringback, job)
    assert delivered["webhook_id"] == callback.id
    assert [attempt["status_code"] for attempt in delivered["attempts"]] == [204]
    assert len(callback_inbox.received) == 1


async def until_delivered(ringback: Ringback, job: dict[str, Any]) -> dict[str, Any]:
    """The job's delivery once it has succeeded."""
    async with asyncio.timeout(20):
        while True:
            (delivery,) = request(ringback.url + job["links"]["deliveries"]).json["items"]
            if delivery["status"] == "delivered":
                return dict(delivery)
            await asyncio.sleep(0.01)


async def test_a_failure_is_told_alike_by_all_three(
    ringback: Ringback, vendor_server: VendorServer, callback_inbox: CallbackInbox
) -> None:
    vendor_server.script(Script(deltas=SOFT, fault="bad_request"))

    job = submit(ringback, callback_inbox, model="openai/gpt-4o")
    events = await eventsource.read(ringback.url + job["links"]["events"])
    (callback,) = await callback_inbox.wait_for(1)
    by_get = request(ringback.url + job["links"]["self"])

    body = standardwebhooks.Webhook(SECRET).verify(callback.body, callback.headers)
    assert (by_get.json["status"], by_get.json["output"]) == ("failed", None)
    assert by_get.json["error"]["provider"] == "openai"
    assert body["data"] == events[-1].data == by_get.json
    assert [body["type"], events[-1].name] == ["job.failed", "job.failed"]


async def test_a_retried_callback_keeps_its_id_and_gets_a_signature_of_its_own(
    ringback: Ringback, callback_inbox: CallbackInbox
) -> None:
    """The first wait of the schedule is about 5 seconds."""
    callback_inbox.fail(503, headers={"retry-after": "1"})

    job = submit(ringback, callback_inbox, model="fake/x?text=네")
    first, second = await callback_inbox.wait_for(2, timeout=30)

    assert first.id == second.id
    assert first.body == second.body
    for callback in (first, second):
        assert standardwebhooks.Webhook(SECRET).verify(callback.body, callback.headers)["data"]["id"] == job["id"]
        assert abs(int(callback.headers["webhook-timestamp"]) - callback.at) < 5
    delivered = await until_delivered(ringback, job)
    assert [attempt["status_code"] for attempt in delivered["attempts"]] == [503, 204]


async def test_a_signature_does_not_hold_for_anything_else(ringback: Ringback, callback_inbox: CallbackInbox) -> None:
    submit(ringback, callback_inbox, model="fake/x?text=네")
    (callback,) = await callback_inbox.wait_for(1)
    right = standardwebhooks.Webhook(SECRET)
    changed = callback.headers | {"webhook-timestamp": str(int(time.time()) - 1)}
    wrong = standardwebhooks.Webhook("whsec_" + "A" * 43 + "=")

    right.verify(callback.body, callback.headers)
    for webhook, body, headers in (
        (right, callback.body + b" ", callback.headers),
        (right, callback.body, changed),
        (right, callback.body, callback.headers | {"webhook-id": "msg_other"}),
        (wrong, callback.body, callback.headers),
    ):
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            webhook.verify(body, headers)


async def test_only_the_wanted_events_call_back(ringback: Ringback, callback_inbox: CallbackInbox) -> None:
    wanted = {"url": callback_inbox.url, "events": ["job.started", "job.failed"]}

    succeeding = submit(ringback, callback_inbox, model="fake/x?text=네", callback=wanted)
    failing = submit(ringback, callback_inbox, model="fake/x?fail=content_filtered", callback=wanted)

    await callback_inbox.wait_for(3)
    got = {(c.json["data"]["id"], c.type, c.json["data"]["status"]) for c in callback_inbox.received}
    assert got == {
        (succeeding["id"], "job.started", "running"),
        (failing["id"], "job.started", "running"),
        (failing["id"], "job.failed", "failed"),
    }
