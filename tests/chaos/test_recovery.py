"""How soon a job goes on whose worker was ended: at once if it was asked to stop, after its lease if it was killed."""

import signal
import time
from pathlib import Path

import pytest

from ringback.testing.script import Script
from ringback.testing.vendors.server import VendorServer
from tests.chaos.faults import Plan
from tests.integration.workers.floor import key_of
from tests.stack import Process, Stack, eventually, request

DRAIN_S = 2.0
"""Longer than the poll of the queue that is under way when a worker is told to stop, and that may still take a hint."""
GENEROUS_S = 5.0


@pytest.fixture
def plan() -> Plan:
    return Plan.from_environment()


def begun(stack: Stack, vendors: VendorServer) -> tuple[str, Process]:
    """The URL of a job that gets no further on the worker that runs it, and that worker. There is another one."""
    vendors.enqueue(Script(deltas=("half ", "way "), fault="stall", fault_after=1))
    vendors.script(Script(deltas=("all ", "of ", "it")))
    keys = ("sk-one", "sk-other")
    workers = {key: stack.worker(RINGBACK_DRAIN_S=f"{DRAIN_S:g}", OPENAI_API_KEY=key) for key in keys}
    gateway = stack.gateway()
    stack.wait_ready(gateway, workers=2)
    body = {"type": "generate", "input": {"prompt": "x"}, "model": "openai/gpt-4o"}
    reply = request(f"{gateway}/v1/jobs", method="POST", body=body)
    assert reply.status == 202, reply.body
    eventually(lambda: vendors.received, what="the vendor is asked")
    return f"{gateway}/v1/jobs/{reply.json['id']}", workers[key_of(vendors.received[0])]


def ended(url: str) -> None:
    """The job ends well, on its second attempt."""
    eventually(lambda: request(url).json["status"] not in ("queued", "running"))
    job = request(url).json
    assert (job["status"], job["attempt"], job["output"]) == ("succeeded", 2, {"text": "all of it"})


def seconds_until_taken_over(vendors: VendorServer, since: float, *, timeout: float) -> float:
    eventually(lambda: len(vendors.received) >= 2, timeout=timeout, what="another worker asks the vendor")
    return vendors.received[1].at - since


def test_a_job_is_handed_back_at_once_when_its_worker_must_stop(own_stack: Stack, vendor_server: VendorServer) -> None:
    url, runs = begun(own_stack, vendor_server)
    since = time.monotonic()
    runs.send(signal.SIGTERM)
    took = seconds_until_taken_over(vendor_server, since, timeout=20) - DRAIN_S
    ended(url)
    print(f"\ntaken over {took:.2f} s after the worker had to give it up")
    assert took < GENEROUS_S, "that was the sweeper, or the lease of 30 s"


def test_a_job_is_taken_over_soon_after_the_lease_of_its_killed_worker(
    tmp_path: Path, plan: Plan, vendor_server: VendorServer
) -> None:
    env = {"RINGBACK_PROVIDERS": "openai", "RINGBACK_LEASE_S": f"{plan.lease_s:g}"}
    stack = Stack(tmp_path, {**vendor_server.environment(), **env})
    try:
        url, runs = begun(stack, vendor_server)
        since = time.monotonic()
        runs.send(signal.SIGKILL)
        took = seconds_until_taken_over(vendor_server, since, timeout=plan.lease_s + 20)
        ended(url)
    finally:
        stack.close()
    print(f"\ntaken over {took:.2f} s after its worker was killed, under a lease of {plan.lease_s:g} s")
    assert took < plan.lease_s + 15
