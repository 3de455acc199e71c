"""`/v1/deliveries`: the dead letters, replays of one and of many, and what wrong requests are told."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from ringback.testing.inbox import CallbackInbox
from tests.conftest import Ringback
from tests.integration.gateway.conftest import Gateways, submit
from tests.integration.gateway.test_contract import check_problem
from tests.stack import SECRET, Reply, eventually, request


def failed(ringback: Ringback, inbox: CallbackInbox) -> Any:
    """A delivery to the inbox that was given up."""
    inbox.fail(410)
    job_id = submit(ringback.url, callback={"url": inbox.url}).json["id"]

    def given_up() -> Any:
        items = request(f"{ringback.url}/v1/jobs/{job_id}/deliveries").json["items"]
        return items[0] if items and items[0]["status"] == "failed" else None

    return eventually(given_up)


def dead(url: str, query: str = "") -> Reply:
    """The list."""
    return request(f"{url}/v1/deliveries?{query}")


def replay(url: str, body: Any) -> Reply:
    """A replay of many."""
    return request(f"{url}/v1/deliveries/replay", method="POST", body=body)


async def test_a_dead_letter_is_listed_and_replayed(ringback: Ringback, callback_inbox: CallbackInbox) -> None:
    made = failed(ringback, callback_inbox)
    here = f"destination={quote(callback_inbox.url, safe='')}"
    reply = dead(ringback.url, here)
    assert (reply.status, reply.json) == (200, {"items": [made], "next_cursor": None})
    again = request(f"{ringback.url}/v1/deliveries/{made['id']}/replay", method="POST")
    assert again.status == 202
    assert (again.json["id"], again.json["status"], again.json["job_id"]) == (made["id"], "pending", made["job_id"])
    first, second = await callback_inbox.wait_for(2)
    assert first.id == second.id == made["webhook_id"]
    assert (first.body, first.headers["ringback-sequence"]) == (second.body, second.headers["ringback-sequence"])
    assert second.signature_problem(SECRET) is None
    (arrived,) = eventually(lambda: dead(ringback.url, f"{here}&status=delivered").json["items"])
    assert [attempt["status_code"] for attempt in arrived["attempts"]] == [410, 204]
    assert dead(ringback.url, here).json["items"] == []


async def test_many_are_replayed_at_once(ringback: Ringback, callback_inbox: CallbackInbox) -> None:
    made = [failed(ringback, callback_inbox) for _ in range(3)]
    since = made[1]["created_at"]
    reply = replay(ringback.url, {"since": since, "destination": callback_inbox.url})
    assert (reply.status, reply.json) == (202, {"replayed": 2})
    received = await callback_inbox.wait_for(5)
    assert {callback.id for callback in received[3:]} == {made[1]["webhook_id"], made[2]["webhook_id"]}
    assert replay(ringback.url, {"destination": callback_inbox.url, "status": "failed"}).json == {"replayed": 1}


async def test_pages_follow_each_other(ringback: Ringback, callback_inbox: CallbackInbox) -> None:
    made = [failed(ringback, callback_inbox)["id"] for _ in range(3)]
    here = f"limit=2&destination={quote(callback_inbox.url, safe='')}"
    first = dead(ringback.url, here).json
    second = dead(ringback.url, f"{here}&cursor={first['next_cursor']}").json
    assert [item["id"] for item in first["items"] + second["items"]] == made[::-1]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("status=lost", "query:status"),
        ("since=yesterday", "query:since"),
        ("since=2026-11-22T09:30:00", "query:since"),
        ("since=1", "query:since"),
        ("limit=0", "query:limit"),
        ("limit=x", "query:limit"),
        ("cursor=x", "query:cursor"),
        ("colour=red", "query:colour"),
    ],
)
def test_a_wrong_query_is_named(gateways: Gateways, query: str, pointer: str) -> None:
    problem = check_problem(dead(gateways.url, query), 422, "validation_error")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#"),
        ([], "#"),
        ({"status": "lost"}, "#/status"),
        ({"status": 1}, "#/status"),
        ({"since": "soon"}, "#/since"),
        ({"since": "2026-11-22T09:30:00"}, "#/since"),
        ({"since": None}, "#"),
        ({"destination": 5}, "#/destination"),
        ({"until": "2026-11-22T09:30:00Z"}, "#/until"),
    ],
)
def test_a_wrong_body_is_named(gateways: Gateways, body: Any, pointer: str) -> None:
    problem = check_problem(replay(gateways.url, body), 422, "validation_error")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"since":null} x'])
def test_a_body_that_is_no_json_is_a_problem(gateways: Gateways, body: bytes) -> None:
    check_problem(replay(gateways.url, body), 400, "invalid_json")


def test_what_is_not_there_is_a_problem(gateways: Gateways) -> None:
    for id_ in ("dlv_x", "dlv_01JD8" + "0" * 21, "job_01JD8" + "0" * 21, "x"):
        reply = request(f"{gateways.url}/v1/deliveries/{id_}/replay", method="POST")
        check_problem(reply, 404, "not_found")


def test_nothing_to_replay_is_no_error(gateways: Gateways) -> None:
    since = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    for body in ({"since": since}, {"since": since, "status": "pending"}, {"since": "9999-12-31T23:59:59Z"}):
        reply = replay(gateways.url, body)
        assert (reply.status, reply.json) == (202, {"replayed": 0})
