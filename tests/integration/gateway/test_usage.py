"""`GET /v1/usage`: what was used, for everybody with the right to know, and nothing of others."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from jobs.model import ModelCall, Usage
from jobs.store.access_keys import AccessKeys
from tests.conftest import Ringback
from tests.integration.gateway.conftest import Gateways, Hand, submit
from tests.integration.gateway.test_bad_input import check_field
from tests.integration.gateway.test_contract import check_problem
from tests.stack import KEY_SECRET, request

CALL = ModelCall(model="fake/echo", outcome="answered", usage=Usage(input_tokens=10, output_tokens=2), cost_usd=0.5)
FAILED = ModelCall(model="fake/other", outcome="failed", error="overloaded", usage=Usage(input_tokens=3))


class Caller:
    """A service with a key of its own."""

    def __init__(self, hand: Hand, url: str, key: str) -> None:
        self.key_id = key.split("_")[1]
        self._hand, self._url = hand, url
        self._headers = {"Authorization": f"Bearer {key}"}

    async def ask(self, *calls: ModelCall) -> None:
        """A job that ends after these calls."""
        job = await self._hand.start(self._url, headers=self._headers)
        await job.end(calls=calls)

    def usage(self, **query: str) -> dict[str, Any]:
        """The report for that query."""
        reply = request(f"{self._url}/v1/usage?{urlencode(query)}", headers=self._headers)
        assert reply.status == 200, reply.body
        found: dict[str, Any] = reply.json
        return found


@pytest.fixture(scope="module")
def guarded(gateways: Gateways) -> str:
    """A gateway that asks for keys."""
    return gateways.gateway(RINGBACK_API_KEYS="required")


@pytest.fixture
async def callers(guarded: str, hand: Hand) -> list[Caller]:
    """Two services, and an administrator."""
    keys = AccessKeys(hand.connection, KEY_SECRET)
    made = [await keys.create("x", scopes=scopes) for scopes in (["jobs:read", "jobs:write"],) * 2 + (["admin"],)]
    return [Caller(hand, guarded, key) for key in made]


async def test_each_key_sees_its_own_usage_and_an_administrator_all(callers: list[Caller]) -> None:
    orders, billing, admin = callers
    await orders.ask(FAILED, CALL)
    await orders.ask(CALL)
    await billing.ask(CALL)
    today = datetime.now(UTC).date().isoformat()
    mine = orders.usage()
    sums = {
        "jobs": 2,
        "calls": 3,
        "failed_calls": 1,
        "input_tokens": 23,
        "output_tokens": 4,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
        "characters": 0,
        "audio_s": 0.0,
        "cost": {"usd": 1.0, "complete": False},
    }
    assert mine["total"] == sums
    assert mine["items"] == [{"day": today} | sums]
    assert (mine["since"], mine["until"]) == ((datetime.now(UTC).date() - timedelta(days=29)).isoformat(), today)
    assert [item["key"] for item in orders.usage(group_by="key")["items"]] == [orders.key_id]
    by_model = orders.usage(group_by="model,key")["items"]
    assert [(item["key"], item["model"], item["jobs"], item["calls"]) for item in by_model] == [
        (orders.key_id, "fake/echo", 2, 2),
        (orders.key_id, "fake/other", 0, 1),
    ]
    everybodys = {item["key"]: item for item in admin.usage(group_by="key")["items"]}
    assert (everybodys[orders.key_id]["jobs"], everybodys[billing.key_id]["jobs"]) == (2, 1)
    assert admin.usage()["total"]["jobs"] >= 3
    before = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    none = orders.usage(until=before)
    assert none["items"] == []
    assert none["total"]["cost"] == {"usd": 0.0, "complete": True}


async def test_a_key_that_may_not_read_jobs_sees_no_usage(guarded: str, hand: Hand) -> None:
    key = await AccessKeys(hand.connection, KEY_SECRET).create("x", scopes=["jobs:write"])
    check_problem(request(f"{guarded}/v1/usage", headers={"Authorization": f"Bearer {key}"}), 403, "forbidden")
    check_problem(request(f"{guarded}/v1/usage"), 401, "unauthorized")


@pytest.mark.parametrize(
    ("query", "pointer", "says"),
    [
        ("since=yesterday", "query:since", "2026-11-22"),
        ("since=20261122", "query:since", "2026-11-22"),
        ("since=2026-02-30", "query:since", "2026-11-22"),
        ("until=2026-11-22T00:00:00Z", "query:until", "2026-11-22"),
        ("since=%EC%98%A4%EB%8A%98", "query:since", "2026-11-22"),
        ("since=2026-11-02&until=2026-11-01", "query:since", "2026-11-01"),
        ("since=9999-12-31", "query:since", "after until"),
        ("since=2025-01-01&until=2026-11-01", "query:since", "400"),
        ("since=0001-01-01&until=9999-12-31", "query:since", "400"),
        ("group_by=week", "query:group_by", "model"),
        ("group_by=day,", "query:group_by", "model"),
        ("group_by=day,%00", "query:group_by", "model"),
        ("groupby=day", "query:groupby", "group_by"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(gateways: Gateways, query: str, pointer: str, says: str) -> None:
    assert says in check_field(request(f"{gateways.url}/v1/usage?{query}"), pointer)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "since=&until=&group_by=",
        "since=2025-10-18&until=2026-11-21",
        "until=0001-01-05",
        "until=9999-12-31&since=9999-12-31",
        "group_by=model,%20day,key,day",
    ],
)
def test_odd_queries_that_make_sense_are_answered(gateways: Gateways, query: str) -> None:
    reply = request(f"{gateways.url}/v1/usage?{query}")
    assert reply.status == 200, reply.body
    assert reply.json["since"] <= reply.json["until"]


async def test_a_job_that_is_cancelled_after_it_was_handed_back_keeps_its_calls(hand: Hand, gateways: Gateways) -> None:
    job_id = submit(gateways.url).json["id"]
    claim = await hand.store.claim(job_id, "mine")
    assert claim is not None
    await hand.store.release(claim, (CALL, FAILED))
    reply = request(f"{gateways.url}/v1/jobs/{job_id}/cancel", method="POST")
    assert (reply.status, reply.json["status"]) == (202, "cancelled")
    assert len(reply.json["calls"]) == 2
    assert reply.json["usage"]["input_tokens"] == 13
    assert reply.json["cost"] == {"usd": 0.5, "complete": False}


def test_a_job_that_a_worker_has_run_is_in_it(ringback: Ringback) -> None:
    before = request(f"{ringback.url}/v1/usage?group_by=model").json
    reply = submit(ringback.url, model="fake/usage?text=one+two", headers={"Prefer": "wait=30"})
    assert reply.json["status"] == "succeeded", reply.body
    assert reply.json["cost"] == {"usd": 0.0, "complete": True}
    after = request(f"{ringback.url}/v1/usage?group_by=model").json
    assert after["total"]["jobs"] >= before["total"]["jobs"] + 1
    (item,) = [item for item in after["items"] if item["model"] == "fake/usage?text=one+two"]
    assert (item["jobs"], item["output_tokens"]) == (1, 2)
    assert "key" not in item
