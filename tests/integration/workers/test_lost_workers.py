"""Workers that are killed, frozen, drained or poisoned in the middle of a job: it ends once all the same."""

import signal
from typing import Any

import msgspec

from jobs.event import TERMINAL_NAMES
from jobs.store import keys
from ringback.testing.inbox import CallbackInbox
from ringback.testing.script import Script
from ringback.testing.vendors.server import VendorServer
from tests.integration.workers.floor import Floor, key_of
from tests.stack import SECRET, eventually

MODEL = "openai/gpt-4o"
STALLED = Script(deltas=("반쯤 ", "온 "), fault="stall", fault_after=1)
"""An answer that begins and never goes on."""
WHOLE = Script(deltas=("다 ", "된 ", "답"))


def begun(floor: Floor, vendor_server: VendorServer, **fields: Any) -> str:
    """A job whose first text is in its log, and that gets no further on the worker that runs it now; its id."""
    vendor_server.enqueue(STALLED)
    vendor_server.script(WHOLE)
    job_id = floor.submit(MODEL, **fields)
    eventually(lambda: "text.delta" in floor.names(job_id), what="the job begins")
    return job_id


def one_end(floor: Floor, job_id: str) -> None:
    """Its log has one terminal event, the last."""
    names = floor.names(job_id)
    assert [name for name in names if name in TERMINAL_NAMES] == names[-1:]


def test_a_killed_workers_job_is_finished_by_another(
    floor: Floor, vendor_server: VendorServer, callback_inbox: CallbackInbox
) -> None:
    workers = floor.start_workers(2)
    job_id = begun(floor, vendor_server, callback=callback_inbox.url)
    workers[key_of(vendor_server.received[0])].stop(signal.SIGKILL)
    job = floor.ended(job_id)
    assert (job["status"], job["attempt"], job["output"]) == ("succeeded", 2, {"text": WHOLE.text})
    names = floor.names(job_id)
    assert names[:5] == ["job.started", "text.delta", "job.started", "stream.reset", "text.delta"]
    assert dict(floor.log(job_id))["stream.reset"]["reason"] == "new_attempt"
    assert floor.text(job_id) == WHOLE.text
    one_end(floor, job_id)
    eventually(lambda: floor.deliveries(job_id)[0]["status"] == "delivered")
    (callback,) = callback_inbox.received
    assert callback.signature_problem(SECRET) is None
    assert callback.json["data"] == job


def test_a_drained_worker_hands_its_job_to_the_next(
    floor: Floor, vendor_server: VendorServer, callback_inbox: CallbackInbox
) -> None:
    # Longer than the poll of the queue that is under way when it is told to stop, and that may still take a hint.
    workers = floor.start_workers(2, RINGBACK_DRAIN_S="2")
    job_id = begun(floor, vendor_server, callback=callback_inbox.url)
    assert workers[key_of(vendor_server.received[0])].stop() == 0
    job = floor.ended(job_id)
    assert (job["status"], job["attempt"], floor.text(job_id)) == ("succeeded", 2, WHOLE.text)
    one_end(floor, job_id)
    log = floor.worker_log()
    assert '"job_handed_back"' in log.replace(" ", "").replace('"event":', "")
    assert "hints_sent_again" not in log.partition("job_handed_back")[2], "it went on by its own hint"
    eventually(lambda: [d["status"] for d in floor.deliveries(job_id)] == ["delivered"])
    assert vendor_server.received[0].disconnected


def test_a_drained_worker_finishes_what_it_can(
    floor: Floor, vendor_server: VendorServer, callback_inbox: CallbackInbox
) -> None:
    worker = floor.start_worker()
    vendor_server.script(Script(deltas=("a ", "b ", "c "), delta_s=0.4))
    job_id = floor.submit(MODEL, callback=callback_inbox.url)
    eventually(lambda: "text.delta" in floor.names(job_id))
    assert worker.stop() == 0
    job = floor.job(job_id)
    assert (job["status"], job["attempt"], job["output"]) == ("succeeded", 1, {"text": "a b c "})
    assert [d["status"] for d in floor.deliveries(job_id)] == ["delivered"]
    assert len(callback_inbox.received) == 1
    later = floor.submit(MODEL)
    floor.start_worker()
    assert floor.ended(later)["status"] == "succeeded"


def test_a_worker_that_slept_past_its_lease_changes_nothing(
    floor: Floor, vendor_server: VendorServer, callback_inbox: CallbackInbox
) -> None:
    workers = floor.start_workers(2)
    vendor_server.enqueue(Script(deltas=("late ",) * 20, delta_s=0.1, fault="stall", fault_after=20))
    vendor_server.script(WHOLE)
    job_id = floor.submit(MODEL, callback=callback_inbox.url)
    eventually(lambda: "text.delta" in floor.names(job_id))
    sleeper = workers[key_of(vendor_server.received[0])]
    sleeper.send(signal.SIGSTOP)
    job = floor.ended(job_id)
    log = floor.log(job_id)
    eventually(lambda: [d["status"] for d in floor.deliveries(job_id)] == ["delivered"])
    sleeper.send(signal.SIGCONT)
    eventually(lambda: vendor_server.received[0].disconnected, what="the sleeper gives up")
    assert sleeper.stop() == 0
    assert floor.job(job_id) == job
    assert floor.log(job_id) == log
    assert (job["status"], job["attempt"], floor.text(job_id)) == ("succeeded", 2, WHOLE.text)
    one_end(floor, job_id)
    assert len(callback_inbox.received) == 1
    assert len(floor.deliveries(job_id)) == 1


def test_a_worker_that_slept_alone_goes_on_with_its_job(floor: Floor, vendor_server: VendorServer) -> None:
    worker = floor.start_worker()
    vendor_server.script(Script(deltas=tuple(f"{n} " for n in range(10)), delta_s=0.1))
    job_id = floor.submit(MODEL)
    eventually(lambda: "text.delta" in floor.names(job_id))
    worker.send(signal.SIGSTOP)
    lease = float(floor.redis.hget(keys.job(job_id), "lease") or 0)
    eventually(lambda: floor.redis.time()[0] * 1000 > lease + 500, what="the lease runs out")
    worker.send(signal.SIGCONT)
    assert floor.ended(job_id)["status"] == "succeeded"
    assert floor.text(job_id).split() == [str(n) for n in range(10)]
    one_end(floor, job_id)


def test_a_job_that_kills_its_workers_stops_itself(
    floor: Floor, vendor_server: VendorServer, callback_inbox: CallbackInbox
) -> None:
    workers = floor.start_workers(3, RINGBACK_MAX_ATTEMPTS="2", RINGBACK_LEASE_S="1")
    vendor_server.script(STALLED)
    job_id = floor.submit(MODEL, callback=callback_inbox.url)
    for attempt in (1, 2):
        eventually(lambda n=attempt: len(vendor_server.received) == n, what=f"attempt {attempt}")  # type: ignore[misc]
        workers.pop(key_of(vendor_server.received[-1])).stop(signal.SIGKILL)
    job = floor.ended(job_id)
    assert (job["status"], job["attempt"], job["error"]["code"]) == ("failed", 2, "attempts_exhausted")
    assert len(vendor_server.received) == 2
    one_end(floor, job_id)
    eventually(lambda: [d["status"] for d in floor.deliveries(job_id)] == ["delivered"])
    assert [callback.type for callback in callback_inbox.received] == ["job.failed"]


def test_a_cancelled_job_is_stopped_at_its_vendor(
    floor: Floor, vendor_server: VendorServer, callback_inbox: CallbackInbox
) -> None:
    floor.start_worker()
    job_id = begun(floor, vendor_server, callback=callback_inbox.url)
    assert floor.cancel(job_id).status == 202
    eventually(lambda: vendor_server.received[0].disconnected, timeout=2.0, what="the vendor sees it")
    assert floor.ended(job_id)["status"] == "cancelled"
    one_end(floor, job_id)
    assert floor.cancel(job_id).status == 409
    eventually(lambda: [d["status"] for d in floor.deliveries(job_id)] == ["delivered"])
    assert callback_inbox.received[0].type == "job.cancelled"
    assert msgspec.json.decode(callback_inbox.received[0].body)["data"]["status"] == "cancelled"
