"""`Idempotency-Key` over HTTP: one key, one job, however often and from however many sides it is sent."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from jobs.ids import new
from jobs.store import keys
from tests.conftest import Ringback
from tests.integration.gateway.conftest import Gateways, Hand, submit
from tests.integration.gateway.test_contract import check_problem
from tests.stack import Reply, request


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return new("key", 0)


def test_the_same_request_gets_the_same_answer(gateways: Gateways, key: str) -> None:
    first, second, third = (
        submit(url, headers={"Idempotency-Key": key}) for url in (gateways.url, gateways.url, gateways.other)
    )

    assert first.status == second.status == third.status == 202
    assert first.json == second.json == third.json
    assert first.headers["location"] == second.headers["location"] == third.headers["location"]


def test_another_body_under_the_same_key_is_refused(gateways: Gateways, key: str) -> None:
    first = submit(gateways.url, headers={"Idempotency-Key": key})

    for headers in ({}, {"Prefer": "wait=5"}):
        other = submit(gateways.other, metadata={"n": 1}, headers={"Idempotency-Key": key, **headers})
        check_problem(other, 422, "idempotency_key_reused")
    assert submit(gateways.url, headers={"Idempotency-Key": key}).json == first.json


def test_an_invalid_request_does_not_use_up_its_key(gateways: Gateways, key: str) -> None:
    assert submit(gateways.url, type="nonsense", headers={"Idempotency-Key": key}).status == 422

    assert submit(gateways.url, headers={"Idempotency-Key": key}).status == 202


def test_keys_that_differ_make_jobs_of_their_own(gateways: Gateways, key: str) -> None:
    tried = [key, key + " ", key + "x", key.lower(), "a:b", ":a:b", "{01}", "%00", "*", "k" * 255]
    made = {submit(gateways.url, headers={"Idempotency-Key": k}).json["id"] for k in tried}

    assert len(made) == len(tried) - 1, "only the space at the end is no part of a header's value"


async def test_a_repeated_request_shows_the_job_as_it_is_now(gateways: Gateways, hand: Hand, key: str) -> None:
    job = await hand.start(gateways.url, headers={"Idempotency-Key": key})
    running = submit(gateways.url, headers={"Idempotency-Key": key})
    await job.end(output={"text": "네"})
    ended = submit(gateways.url, headers={"Idempotency-Key": key})
    waited = submit(gateways.url, headers={"Idempotency-Key": key, "Prefer": "wait=60"})

    assert [(r.status, r.json["status"]) for r in (running, ended, waited)] == [
        (202, "running"),
        (202, "succeeded"),
        (200, "succeeded"),
    ]
    assert {r.json["id"] for r in (running, ended, waited)} == {job.id}


async def test_waiting_for_an_ended_job_whose_events_have_expired_does_not_wait(
    gateways: Gateways, hand: Hand, key: str
) -> None:
    job = await hand.start(gateways.url, headers={"Idempotency-Key": key})
    await job.end(output={"text": "네"})
    assert await hand.connection.redis.delete(keys.events(job.id)) == 1

    reply = submit(gateways.url, headers={"Idempotency-Key": key, "Prefer": "wait=60"})

    assert (reply.status, reply.json["status"]) == (200, "succeeded")


@pytest.mark.parametrize("prefer", [{}, {"Prefer": "wait=30"}], ids=["", "wait"])
def test_fifty_at_once_make_one_job(ringback: Ringback, second_gateway: str, key: str, prefer: dict[str, str]) -> None:
    urls = [ringback.url, second_gateway] * 25

    def send(url: str) -> Reply:
        model = "fake/x?text=네&first_ms=300"
        return submit(url, model=model, metadata={"key": key}, headers={"Idempotency-Key": key, **prefer})

    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(send, urls))

    assert {reply.status for reply in replies} == {200 if prefer else 202}
    assert len({reply.json["id"] for reply in replies}) == 1
    found: list[Any] = request(f"{ringback.url}/v1/jobs?metadata.key={key}").json["items"]
    assert [job["id"] for job in found] == [replies[0].json["id"]]
    if prefer:
        assert all(reply.json == found[0] for reply in replies)


def test_fifty_different_bodies_at_once_make_one_job(gateways: Gateways, key: str) -> None:
    def send(n: int) -> Reply:
        url = gateways.url if n % 2 else gateways.other
        return submit(url, metadata={"key": key, "n": n}, headers={"Idempotency-Key": key})

    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(send, range(50)))

    (winner,) = (reply.json for reply in replies if reply.status == 202)
    assert [reply.json["code"] for reply in replies if reply.status != 202] == ["idempotency_key_reused"] * 49
    found = request(f"{gateways.url}/v1/jobs?metadata.key={key}").json["items"]
    assert [job["metadata"]["n"] for job in found] == [winner["metadata"]["n"]]


def test_without_a_key_every_request_is_a_job(gateways: Gateways) -> None:
    assert len({submit(gateways.url).json["id"] for _ in range(5)}) == 5
