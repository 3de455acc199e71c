"""The store gone, hung, full; the broker gone; no worker: what callers see, and that it mends itself."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.integration.gateway.conftest import Breakable, Hand, submit, until
from tests.integration.gateway.test_contract import check_problem, ended
from tests.stack import Reply, eventually, free_port, request

LIMIT_S = 2.0
"""Within which an outage must be told."""
GRACE_S = 2.0
"""For a machine that has other things to do."""


@pytest.fixture
def url(breakable: Breakable) -> str:
    """Its gateway."""
    return breakable.url


@pytest.fixture(scope="module")
def no_broker(_breakable: Breakable) -> str:
    """Another gateway on the same store, whose broker is gone."""
    return _breakable.gateway(RINGBACK_BROKER_URL=f"redis://127.0.0.1:{free_port()}/0")


def everything(url: str, job_id: str) -> dict[str, Callable[[], Reply]]:
    """A request to every route that needs the store."""
    job = f"{url}/v1/jobs/{job_id}"
    return {
        "submit": lambda: submit(url),
        "submit with key": lambda: submit(url, headers={"Idempotency-Key": "outage"}),
        "submit and wait": lambda: submit(url, headers={"Prefer": "wait=30"}),
        "list": lambda: request(f"{url}/v1/jobs"),
        "list filtered": lambda: request(f"{url}/v1/jobs?status=queued&metadata.a=1"),
        "read": lambda: request(job),
        "cancel": lambda: request(f"{job}/cancel", method="POST"),
        "events": lambda: request(f"{job}/events"),
        "deliveries": lambda: request(f"{job}/deliveries"),
        "ready": lambda: request(f"{url}/health/ready"),
    }


def check_outage(url: str, job_id: str) -> None:
    """Asserts that every route tells of the outage in time, and that what needs no store works."""

    def timed(ask: Callable[[], Reply]) -> tuple[Reply, float]:
        begun = time.monotonic()
        return ask(), time.monotonic() - begun

    asked = everything(url, job_id)
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = dict(zip(asked, pool.map(timed, asked.values()), strict=True))
    for name, (reply, took) in answers.items():
        check_problem(reply, 503, "store_unavailable")
        assert int(reply.headers["retry-after"]) >= 1, name
        assert took < LIMIT_S + GRACE_S, name
    for path in ("/health/live", "/v1/job-types", "/openapi.json", "/docs"):
        assert request(url + path).status == 200
    check_problem(submit(url, type="nonsense"), 422, "unknown_job_type")


def test_a_dead_store_is_told_within_two_seconds_and_its_return_noticed(breakable: Breakable, url: str) -> None:
    job = submit(url).json

    breakable.kill_store()
    check_outage(url, job["id"])
    breakable.restart_store()

    assert eventually(lambda: request(f"{url}/health/ready").status == 200)
    assert request(f"{url}/v1/jobs/{job['id']}").json == job, "what was accepted is still there"
    assert submit(url).status == 202


def test_a_hung_store_is_told_within_two_seconds_and_its_return_noticed(breakable: Breakable, url: str) -> None:
    jobs = [submit(url, metadata={"n": n}).json for n in range(40)]

    with hung(breakable):
        check_outage(url, jobs[0]["id"])
        with ThreadPoolExecutor(40) as pool:  # so that many connections are left with half an exchange
            assert {r.status for r in pool.map(lambda j: request(url + j["links"]["self"]), jobs)} == {503}

    assert eventually(lambda: request(f"{url}/health/ready").status == 200)
    with ThreadPoolExecutor(40) as pool:
        replies = list(pool.map(lambda j: request(url + j["links"]["self"]), jobs))
    assert [reply.json for reply in replies] == jobs, "no answer goes to another question"


@contextmanager
def hung(stack: Breakable) -> Iterator[None]:
    """The store accepts connections and answers nothing."""
    stack.store.send(signal.SIGSTOP)
    try:
        yield
    finally:
        stack.store.send(signal.SIGCONT)


async def test_a_full_store_refuses_new_jobs_and_still_shows_old_ones(
    breakable: Breakable, url: str, new_hand: Callable[..., Hand]
) -> None:
    hand = new_hand(breakable)
    job = submit(url).json
    await hand.connection.redis.config_set("maxmemory", "1mb")

    reply = submit(url)

    problem = check_problem(reply, 503, "store_unavailable")
    assert int(reply.headers["retry-after"]) >= 1
    assert "write" in problem["detail"]
    assert request(f"{url}/v1/jobs/{job['id']}").json == job
    await hand.connection.redis.config_set("maxmemory", "0")
    assert submit(url).status == 202


async def test_an_accepted_job_is_not_refused_because_the_store_fails_while_its_caller_waits(
    breakable: Breakable, url: str, new_hand: Callable[..., Hand]
) -> None:
    hand = new_hand(breakable)
    async with asyncio.timeout(40):
        waiting = asyncio.create_task(asyncio.to_thread(submit, url, headers={"Prefer": "wait=2"}))

        async def accepted() -> Any:
            return (await hand.connection.redis.keys("rb:*:job:*"))[:1]

        (key,) = await until(accepted)
        breakable.kill_store()
        reply = await waiting

    assert (reply.status, reply.json["status"]) == (202, "queued")
    assert key.decode().endswith(reply.json["id"])
    breakable.restart_store()
    assert eventually(lambda: request(f"{url}/health/ready").status == 200)
    assert request(url + reply.headers["location"]).json["status"] == "queued"


async def test_a_wait_survives_a_restart_of_the_store(
    breakable: Breakable, url: str, new_hand: Callable[..., Hand]
) -> None:
    hand = new_hand(breakable)
    async with asyncio.timeout(60):
        waiting = asyncio.create_task(asyncio.to_thread(submit, url, headers={"Prefer": "wait=30"}))

        async def accepted() -> Any:
            return request(f"{url}/v1/jobs").json["items"]

        (job,) = await until(accepted)
        breakable.kill_store()
        breakable.restart_store()
        running = await hand.claim(job["id"])
        await running.end(output={"text": "네"})
        reply = await waiting

    assert (reply.status, reply.json["status"]) == (200, "succeeded")


def test_a_gateway_starts_without_its_store_and_finds_it_later(breakable: Breakable) -> None:
    breakable.kill_store()
    url = breakable.gateway()
    check_problem(submit(url), 503, "store_unavailable")

    breakable.restart_store()

    assert eventually(lambda: submit(url).status == 202)
    breakable.gateways[url].stop()


class TestBroker:
    """The broker only carries hints."""

    @pytest.fixture
    async def silent(self) -> AsyncIterator[str]:
        """A broker that takes connections and says nothing."""
        held: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        server.close()
        for writer in held:
            writer.close()

    def test_jobs_are_accepted_while_it_is_gone(self, breakable: Breakable, no_broker: str) -> None:
        self.check_accepting(no_broker)

    async def test_jobs_are_accepted_while_it_hangs(self, breakable: Breakable, silent: str) -> None:
        url = await asyncio.to_thread(breakable.gateway, RINGBACK_BROKER_URL=silent)
        await asyncio.to_thread(self.check_accepting, url)
        begun = time.monotonic()
        assert await asyncio.to_thread(breakable.gateways[url].stop) == 0
        assert time.monotonic() - begun < 10

    def check_accepting(self, url: str) -> None:
        begun = time.monotonic()
        assert [submit(url).status for _ in range(20)] == [202] * 20
        assert time.monotonic() - begun < LIMIT_S + GRACE_S
        assert request(f"{url}/health/ready").status == 200


def test_jobs_wait_for_a_worker_and_then_run(breakable: Breakable, url: str, no_broker: str) -> None:
    """Also those whose hint was lost."""
    assert request(f"{url}/health/ready").json == {"status": "no_worker", "workers": 0}
    waiting = [submit(u, model=f"fake/x?text={n}").json["id"] for n, u in enumerate([url, url, url, no_broker])]

    worker = breakable.worker()

    assert [ended(url, job_id)["output"] for job_id in waiting] == [{"text": str(n)} for n in range(4)]
    assert worker.stop() == 0
