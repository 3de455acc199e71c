"""One owner's flood and another's one job, through real workers."""

import asyncio
from datetime import datetime

from jobs.dispatch import QUEUES, Enclosures, celery_app
from jobs.settings import Settings
from jobs.store.connection import Connection
from jobs.store.jobs import JobStore
from tests.integration.store.sample import spec
from tests.integration.workers.floor import Floor
from tests.stack import eventually, request

FLOOD = 400


async def _submit(floor: Floor, owners: list[str]) -> list[str]:
    """A job for each of the owners, in that order, as a gateway would store them; their ids."""
    settings = Settings(redis_url=floor.store_spec.url)
    connection = Connection(settings.redis_url, timeout=5.0)
    store, enclosures = JobStore(connection, settings), Enclosures(celery_app(settings))
    made = [spec(n % settings.shards, owner=owner, targets=("fake/x?text=ja",)) for n, owner in enumerate(owners)]
    for each in made:
        await store.accept(each, hint=enclosures.of(each.id, each.priority))
    await connection.aclose()
    return [each.id for each in made]


def test_one_job_does_not_wait_behind_anothers_flood(floor: Floor) -> None:
    *flood, single = asyncio.run(_submit(floor, ["busy"] * FLOOD + ["other"]))
    assert int(floor.redis.llen(QUEUES["normal"])) <= 4 * 16 + 1, "hints of the flood wait for their turn"
    floor.start_worker(RINGBACK_WORKER_SLOTS="4")
    started = datetime.fromisoformat(floor.ended(single)["started_at"])
    eventually(lambda: all(floor.job(job_id)["status"] == "succeeded" for job_id in flood[-20:]), timeout=60)
    jobs = [floor.ended(job_id) for job_id in flood]
    assert {job["status"] for job in jobs} == {"succeeded"}
    assert {job["attempt"] for job in jobs} == {1}
    assert sum(datetime.fromisoformat(job["started_at"]) < started for job in jobs) < FLOOD / 2
    assert not floor.redis.keys("rb:*:turns:*")
    assert not floor.redis.keys("rb:*:backlog:*")


def test_many_turns_of_one_session_take_one_slot(floor: Floor) -> None:
    def turn(session: str, text: str, model: str) -> str:
        body = {"text": text, "model": model}
        reply = request(f"{floor.url}/v1/sessions/{session}/text", method="POST", body=body)
        assert reply.status == 202, reply.body
        return str(reply.json["id"])

    busy, other = (request(f"{floor.url}/v1/sessions", method="POST", body={}).json["id"] for _ in range(2))
    texts = [f"Turn {n}" for n in range(12)]
    turns = [turn(busy, text, "fake/slow?text=Ja.&first_ms=50") for text in texts]
    floor.start_worker(RINGBACK_WORKER_SLOTS="2")
    single = floor.ended(turn(other, "Hello?", "fake/fast?text=Ja."))
    assert single["status"] == "succeeded"
    jobs = [floor.ended(job_id) for job_id in turns]
    assert {(job["status"], job["attempt"]) for job in jobs} == {("succeeded", 1)}
    assert single["started_at"] < jobs[-1]["started_at"]
    history = request(f"{floor.url}/v1/sessions/{busy}/history").json["items"]
    assert [item["text"] for item in history if item["role"] == "user"] == texts


def test_a_flood_outlives_the_death_of_its_worker(floor: Floor) -> None:
    flood = asyncio.run(_submit(floor, ["busy"] * FLOOD))
    first = floor.start_worker(RINGBACK_WORKER_SLOTS="4")
    eventually(lambda: floor.job(flood[40])["status"] == "succeeded", timeout=60)
    first.stop(9)
    floor.start_worker()
    assert {floor.ended(job_id, timeout=60)["status"] for job_id in flood} == {"succeeded"}
