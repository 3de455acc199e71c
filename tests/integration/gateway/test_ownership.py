"""What belongs to one API key does not exist for another: not by its id, not in lists, not while it runs, not after."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from jobs.job import JobError
from jobs.store.access_keys import AccessKeys
from tests.integration.gateway.conftest import Gateways, Hand, submit
from tests.integration.gateway.test_contract import check_problem
from tests.stack import KEY_SECRET, Reply, request

ABSENT = "job_01M803BGRZDM8GVW9FKT2J040B"


@pytest.fixture(scope="module")
def guarded(gateways: Gateways) -> str:
    """A gateway that asks for keys."""
    return gateways.gateway(RINGBACK_API_KEYS="required")


class Caller:
    """A service with a key of its own."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {key}"}

    def submit(self, **fields: Any) -> str:
        """Id of a new job."""
        reply = submit(self.url, headers=self.headers, **fields)
        assert reply.status == 202, reply.body
        return str(reply.json["id"])

    def get(self, path: str) -> Reply:
        return request(self.url + path, headers=self.headers)

    def post(self, path: str, body: Any = None) -> Reply:
        return request(self.url + path, method="POST", body=body, headers=self.headers)

    def cancel(self, job_id: str) -> Reply:
        return self.post(f"/v1/jobs/{job_id}/cancel")

    def listed(self, **query: Any) -> list[str]:
        """Ids of the jobs on all pages of that list, which are as small as they can be."""
        found: list[str] = []
        query["limit"] = 1
        while True:
            page = self.get(f"/v1/jobs?{urlencode(query)}").json
            found += [job["id"] for job in page["items"]]
            if page["next_cursor"] is None:
                return found
            assert page["next_cursor"] == found[-1], "a cursor tells of no job that the list does not"
            query["cursor"] = page["next_cursor"]


@pytest.fixture
async def orders(guarded: str, hand: Hand) -> Caller:
    return Caller(guarded, await AccessKeys(hand.connection, KEY_SECRET).create("orders"))


@pytest.fixture
async def billing(guarded: str, hand: Hand) -> Caller:
    return Caller(guarded, await AccessKeys(hand.connection, KEY_SECRET).create("billing"))


@pytest.fixture
async def admin(guarded: str, hand: Hand) -> Caller:
    return Caller(guarded, await AccessKeys(hand.connection, KEY_SECRET).create("ops", scopes=("admin",)))


def answers(caller: Caller, job_id: str) -> Iterator[Reply]:
    """All that can be asked about one job. A stream would not end before the job does."""
    for path in ("", "/events", "/events?last_event_id=999", "/deliveries"):
        yield caller.get(f"/v1/jobs/{job_id}{path}")
    yield caller.cancel(job_id)


def nothing_there(caller: Caller, job_id: str) -> None:
    for reply, absent in zip(answers(caller, job_id), answers(caller, ABSENT), strict=True):
        check_problem(reply, 404, "job_not_found")
        assert reply.body == absent.body, "exactly as for a job that never was"


async def test_a_job_exists_for_its_owner_alone_in_every_state(orders: Caller, billing: Caller, hand: Hand) -> None:
    job_id = orders.submit()
    nothing_there(billing, job_id)
    assert orders.get(f"/v1/jobs/{job_id}").json["status"] == "queued", "nobody else cancelled it"

    running = await hand.claim(job_id)
    await running.say("하나")
    nothing_there(billing, job_id)
    assert orders.get(f"/v1/jobs/{job_id}").json["status"] == "running"

    await running.end(output={"text": "하나"})
    nothing_there(billing, job_id)
    assert orders.get(f"/v1/jobs/{job_id}").json["status"] == "succeeded"
    assert b"event: job.succeeded" in orders.get(f"/v1/jobs/{job_id}/events").body
    assert orders.get(f"/v1/jobs/{job_id}/deliveries").json == {"items": []}
    check_problem(orders.cancel(job_id), 409, "job_already_ended")


async def test_the_owner_cancels_and_the_other_cannot(orders: Caller, billing: Caller, hand: Hand) -> None:
    queued, running = orders.submit(), orders.submit()
    held = await hand.claim(running)
    for job_id in (queued, running):
        check_problem(billing.cancel(job_id), 404, "job_not_found")
    assert await hand.store.renew({running: 1}, extend=False) == {running: "ok"}
    for job_id in (queued, running):
        assert orders.cancel(job_id).status == 202
    assert orders.get(f"/v1/jobs/{queued}").json["status"] == "cancelled"
    assert await hand.store.renew({running: 1}, extend=False) == {running: "cancel"}
    await held.end("cancelled")


async def test_lists_hold_the_callers_own_jobs_only(
    orders: Caller, billing: Caller, hand: Hand, gateways: Gateways, admin: Caller
) -> None:
    queued: dict[Caller, list[str]] = {orders: [], billing: []}
    failed: dict[Caller, list[str]] = {orders: [], billing: []}
    for caller in (orders, billing) * 3:  # in turns, so that a page of one would run into jobs of the other
        queued[caller].append(caller.submit(metadata={"ticket": "shared"}))
        running = await hand.claim(caller.submit(metadata={"ticket": "shared", "failed": True}))
        failed[caller].append(running.id)
        await running.end("failed", error=JobError(code="output_invalid", message="x"))
    queued_first, failed_first = (sorted(ids[orders], reverse=True) for ids in (queued, failed))
    mine, others = (sorted((*queued[caller], *failed[caller]), reverse=True) for caller in (orders, billing))

    for query, expected in (
        ({}, mine),
        ({"type": "generate"}, mine),
        ({"type": "soften"}, []),
        ({"status": "queued"}, queued_first),
        ({"status": "failed"}, failed_first),
        ({"error": "output_invalid"}, failed_first),
        ({"metadata.ticket": "shared"}, mine),
        ({"metadata.ticket": "shared", "status": "failed"}, failed_first),
        ({"metadata.failed": "true", "type": "generate"}, failed_first),
        ({"metadata.failed": "true", "status": "queued"}, []),
        ({"session_id": "ses_none"}, []),
    ):
        assert orders.listed(**query) == expected, query
    assert billing.listed(**{"metadata.ticket": "shared"}) == others
    both = sorted((*mine, *others), reverse=True)
    assert admin.listed(**{"metadata.ticket": "shared"}) == both
    keys_off = Caller(gateways.url, "none")
    assert keys_off.listed(**{"metadata.ticket": "shared"}) == both


async def test_deliveries_exist_for_the_jobs_owner_alone(orders: Caller, billing: Caller, admin: Caller) -> None:
    callback = {"url": "http://127.0.0.1:9999/hook"}
    mine, others = (caller.submit(callback=callback) for caller in (orders, billing))
    assert [caller.cancel(job_id).status for caller, job_id in ((orders, mine), (billing, others))] == [202, 202]
    replays = {}
    for caller, job_id in ((orders, mine), (billing, others)):
        (delivery,) = caller.get(f"/v1/jobs/{job_id}/deliveries").json["items"]
        replays[caller] = f"/v1/deliveries/{delivery['id']}/replay"

    nobodys = billing.post("/v1/deliveries/dlv_01M803BGRZDM8GVW9FKT2J040B/replay")
    check_problem(nobodys, 404, "not_found")
    assert billing.post(replays[orders]).body == nobodys.body
    assert orders.post(replays[orders]).json["job_id"] == mine
    assert admin.post(replays[billing]).json["job_id"] == others

    def pending(caller: Caller) -> set[str]:
        items = caller.get("/v1/deliveries?status=pending&limit=200").json["items"]
        return {item["job_id"] for item in items}

    assert [pending(orders), pending(billing)] == [{mine}, {others}]
    assert pending(admin) >= {mine, others}
    assert billing.post("/v1/deliveries/replay", {"status": "pending"}).json == {"replayed": 1}


async def test_anothers_job_is_a_cursor_like_any(orders: Caller, billing: Caller) -> None:
    """It tells where to go on, and nothing about the job."""
    older = orders.submit()
    others = billing.submit()
    orders.submit()
    page = orders.get(f"/v1/jobs?cursor={others}").json
    assert [job["id"] for job in page["items"]] == [older]


async def test_admin_and_gateways_without_keys_reach_every_job(
    orders: Caller, admin: Caller, gateways: Gateways
) -> None:
    first, second = orders.submit(), orders.submit()
    assert [admin.get(f"/v1/jobs/{first}{path}").status for path in ("", "/deliveries")] == [200, 200]
    assert admin.cancel(second).status == 202
    keys_off = Caller(gateways.url, "none")
    assert keys_off.get(f"/v1/jobs/{first}").status == 200
    assert keys_off.cancel(first).status in (202, 409)


async def test_a_job_made_without_keys_is_nobodys_but_admins(orders: Caller, admin: Caller, gateways: Gateways) -> None:
    job_id = submit(gateways.url, metadata={"ticket": "early"}).json["id"]
    nothing_there(orders, job_id)
    assert orders.listed(**{"metadata.ticket": "early"}) == []
    assert admin.listed(**{"metadata.ticket": "early"}) == [job_id]


async def test_a_revoked_key_leaves_its_jobs_to_admins(guarded: str, orders: Caller, admin: Caller, hand: Hand) -> None:
    job_id = orders.submit()
    key_id = orders.headers["Authorization"].split("_")[1]
    await AccessKeys(hand.connection, KEY_SECRET).revoke(key_id)
    check_problem(orders.get(f"/v1/jobs/{job_id}"), 401, "unauthorized")
    assert admin.get(f"/v1/jobs/{job_id}").status == 200
