"""Outages of store, broker and receivers around real workers: everything goes on by itself, nothing is lost."""

import signal
import time
from datetime import datetime
from typing import Any

from jobs import ids
from jobs.dispatch import QUEUES, RUN_TASK, celery_app
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.presence import FRESH_S
from ringback.testing.inbox import CallbackInbox
from ringback.testing.script import Script
from ringback.testing.vendors.server import VendorServer
from tests.integration.workers.floor import Floor
from tests.stack import Stack, eventually, free_port, request

WORDS = tuple(f"{n} " for n in range(15))


def test_jobs_survive_a_killed_store(floor: Floor, vendor_server: VendorServer, callback_inbox: CallbackInbox) -> None:
    worker = floor.start_worker()
    vendor_server.script(Script(deltas=WORDS, delta_s=0.1))
    jobs = [floor.submit("openai/gpt-4o", callback=callback_inbox.url) for _ in range(12)]
    eventually(lambda: all("text.delta" in floor.names(job_id) for job_id in jobs))
    floor.kill_store()
    time.sleep(0.7)  # Some of the answer comes while there is no store.
    floor.restart_store()
    restarted = time.time()
    for job_id in jobs:
        job = floor.ended(job_id)
        assert (job["status"], job["output"]) == ("succeeded", {"text": "".join(WORDS)})
        assert floor.text(job_id) == "".join(WORDS)
        names = floor.names(job_id)
        assert (names.count("job.started"), names.count("job.succeeded"), names[-1]) == (1, 1, "job.succeeded")
    eventually(lambda: all(floor.deliveries(job_id)[0]["status"] == "delivered" for job_id in jobs))
    assert len(callback_inbox.by_id()) == len(jobs)

    def proved_since() -> bool:
        found: Any = floor.redis.zrange("rb:workers", 0, -1, withscores=True)
        return any(f"-{worker.pid}-".encode() in name and score > restarted + FRESH_S for name, score in found)

    eventually(proved_since, what="the worker proves again that it consumes")
    assert floor.ended(floor.submit("fake/echo"), timeout=4)["status"] == "succeeded"
    assert worker.exit_code is None


def test_jobs_survive_a_hung_store(floor: Floor, vendor_server: VendorServer) -> None:
    floor.start_worker()
    vendor_server.script(Script(deltas=WORDS, delta_s=0.1))
    jobs = [floor.submit("openai/gpt-4o") for _ in range(3)]
    eventually(lambda: all("text.delta" in floor.names(job_id) for job_id in jobs))
    floor.store.send(signal.SIGSTOP)
    time.sleep(2.5)  # Longer than a lease.
    floor.store.send(signal.SIGCONT)
    for job_id in jobs:
        assert floor.ended(job_id)["status"] == "succeeded"
        assert floor.text(job_id) == "".join(WORDS)


def test_lost_hints_are_sent_again(floor: Floor) -> None:
    jobs = [floor.submit("fake/x?text=ja", priority=priority) for priority in QUEUES for _ in range(2)]
    eventually(lambda: sum(floor.redis.llen(queue) for queue in QUEUES.values()) == len(jobs))
    floor.redis.delete(*QUEUES.values())
    floor.start_worker()
    for job_id in jobs:
        assert floor.ended(job_id)["attempt"] == 1


def test_doubled_and_senseless_hints_harm_nothing(floor: Floor, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(deltas=("ja",), first_s=0.3))
    job_id = floor.submit("openai/gpt-4o")
    app = celery_app(Settings(redis_url=floor.store_spec.url))
    for hint in (*(job_id,) * 20, "", "garbage", ids.new("job", 3), "5", "job_", job_id.upper()):
        app.send_task(RUN_TASK, task_id=hint, queue=QUEUES["normal"], ignore_result=True)
    app.send_task(RUN_TASK, args=(job_id, 2), queue=QUEUES["normal"], ignore_result=True)
    app.send_task("ringback.unheard_of", args=(job_id,), queue=QUEUES["normal"], ignore_result=True)
    worker = floor.start_worker()
    job = floor.ended(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    assert len(vendor_server.received) == 1
    eventually(lambda: floor.redis.llen(QUEUES["normal"]) == 0)
    assert floor.ended(floor.submit("fake/echo"))["status"] == "succeeded"
    assert worker.exit_code is None


def test_two_workers_share_the_load(floor: Floor, vendor_server: VendorServer) -> None:
    floor.start_workers(2, RINGBACK_WORKER_SLOTS="2")
    vendor_server.script(Script(first_s=30))
    jobs = [floor.submit("openai/gpt-4o") for _ in range(5)]
    eventually(lambda: len(vendor_server.received) == 4, what="both are full")
    assert sorted(floor.job(job_id)["status"] for job_id in jobs) == ["queued"] + ["running"] * 4
    vendor_server.script(Script())
    for job_id in jobs:
        floor.cancel(job_id)
    assert all(floor.ended(job_id)["status"] in ("cancelled", "succeeded") for job_id in jobs)


def test_high_priority_overtakes_what_waits_in_the_queue(floor: Floor, vendor_server: VendorServer) -> None:
    floor.start_worker(RINGBACK_WORKER_SLOTS="1")
    vendor_server.script(Script(fault="hang"))
    blocker = floor.submit("openai/gpt-4o")
    eventually(lambda: vendor_server.received)
    low = [floor.submit("fake/x?text=ja", priority="low") for _ in range(24)]
    urgent = floor.submit("fake/x?text=ja", priority="high")
    eventually(lambda: floor.redis.llen(QUEUES["high"]) == 1 and floor.redis.llen(QUEUES["low"]) >= 12)
    floor.cancel(blocker)
    started = datetime.fromisoformat(floor.ended(urgent)["started_at"])
    overtaken = [job for job in map(floor.ended, low) if datetime.fromisoformat(job["started_at"]) > started]
    assert len(overtaken) >= 12


def test_a_receiver_that_is_away_is_called_again_under_the_same_id(floor: Floor) -> None:
    floor.start_worker()
    port = free_port()
    job_id = floor.submit("fake/x?text=ja", callback=f"http://127.0.0.1:{port}/hook")
    floor.ended(job_id)
    (delivery,) = eventually(lambda: [d for d in floor.deliveries(job_id) if d["attempts"]])
    assert (delivery["status"], delivery["attempts"][0]["status_code"]) == ("pending", None)
    assert delivery["next_attempt_at"] is not None
    with CallbackInbox(port=port) as inbox:
        eventually(lambda: inbox.received, what="the second attempt")
        eventually(lambda: floor.deliveries(job_id)[0]["status"] == "delivered")
        assert {callback.id for callback in inbox.received} == {delivery["webhook_id"]}
    (delivery,) = floor.deliveries(job_id)
    assert [attempt["number"] for attempt in delivery["attempts"]] == [1, 2]


def test_a_callback_left_by_a_killed_worker_is_delivered_by_the_next(
    floor: Floor, callback_inbox: CallbackInbox
) -> None:
    victim = floor.start_worker()
    callback_inbox.fail("hang", times=1)
    job_id = floor.submit("fake/x?text=ja", callback=callback_inbox.url)
    eventually(lambda: callback_inbox.received)
    victim.stop(signal.SIGKILL)
    (delivery,) = floor.deliveries(job_id)
    assert (delivery["status"], delivery["attempts"]) == ("pending", [])
    floor.start_worker()
    floor.redis.zadd(keys.due(ids.shard_of(job_id, "job")), {delivery["id"]: 1}, xx=True)  # Its lease has run out.
    eventually(lambda: floor.deliveries(job_id)[0]["status"] == "delivered")
    assert {callback.id for callback in callback_inbox.received} == {delivery["webhook_id"]}


def test_a_worker_started_before_its_store_waits_for_it(own_stack: Stack) -> None:
    own_stack.kill_store()
    worker = own_stack.worker()
    time.sleep(2.0)  # It has tried by now, and failed.
    assert worker.exit_code is None
    own_stack.restart_store()
    url = own_stack.gateway()
    own_stack.wait_ready(url)
    reply = request(
        f"{url}/v1/jobs",
        method="POST",
        body={"type": "generate", "input": {"prompt": "x"}, "model": "fake/echo"},
        headers={"prefer": "wait=10"},
    )
    assert (reply.status, reply.json["status"]) == (200, "succeeded")


def test_a_worker_stops_also_without_its_store(own_stack: Stack) -> None:
    idle = own_stack.worker()
    url = own_stack.gateway()
    own_stack.wait_ready(url)
    own_stack.kill_store()
    began = time.monotonic()
    idle.stop()
    assert time.monotonic() - began < 20
