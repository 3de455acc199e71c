"""Many jobs while workers and the store are killed around them: each ends once, and is called back under one id."""

import signal

from jobs.event import TERMINAL_NAMES
from ringback.testing.inbox import CallbackInbox
from ringback.testing.script import Script
from ringback.testing.vendors.server import VendorServer
from tests.integration.workers.floor import Floor
from tests.stack import SECRET, eventually

JOBS = 40
WORDS = tuple(f"{n} " for n in range(10))


def test_a_storm_loses_and_doubles_nothing(
    floor: Floor, vendor_server: VendorServer, callback_inbox: CallbackInbox
) -> None:
    vendor_server.script(Script(deltas=WORDS, delta_s=0.1))
    first, second = floor.start_worker(), floor.start_worker(RINGBACK_DRAIN_S="0.5")
    jobs = [floor.submit("openai/gpt-4o", callback=callback_inbox.url) for _ in range(JOBS // 2)]
    eventually(lambda: len(vendor_server.received) >= JOBS // 4)
    first.stop(signal.SIGKILL)
    third = floor.begin_worker()
    floor.kill_store()
    floor.restart_store()
    jobs += [floor.submit("openai/gpt-4o", callback=callback_inbox.url) for _ in range(JOBS // 2)]
    eventually(lambda: any("text.delta" in floor.names(job_id) for job_id in jobs[JOBS // 2 :]))
    second.stop()
    for job_id in jobs:
        job = floor.ended(job_id)
        assert (job["status"], job["output"]) == ("succeeded", {"text": "".join(WORDS)})
        assert floor.text(job_id) == "".join(WORDS)
        names = floor.names(job_id)
        assert [name for name in names if name in TERMINAL_NAMES] == names[-1:] == ["job.succeeded"]
        assert names.count("stream.reset") == job["attempt"] - 1
    eventually(lambda: all(floor.deliveries(job_id)[0]["status"] == "delivered" for job_id in jobs), timeout=45)
    assert len(callback_inbox.by_id()) == JOBS
    assert all(callback.signature_problem(SECRET) is None for callback in callback_inbox.received)
    assert third.exit_code is None
