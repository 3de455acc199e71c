"""Providers that come and go: circuits open, spare them, and close again soon; flapping costs nobody an answer."""

import time
from typing import Any

import msgspec
import pytest
from redis import Redis

from jobs.store.circuits import Circuit
from ringback.testing.script import Script, Vendor
from tests.failover.cases import ANSWER, OTHER
from tests.failover.catalogue import NEXT, VENDORS, Theatre
from tests.stack import eventually

DOWN = Script(fault="overloaded")
WELL = Script(deltas=ANSWER)


def circuit(theatre: Theatre, target: str) -> Circuit | None:
    """The target's circuit."""
    with Redis.from_url(theatre.store_spec.url) as redis:
        found: Any = redis.hget("rb:circuits", target)
    return msgspec.json.decode(found, type=Circuit) if found else None


def test_a_provider_that_is_down_is_spared_and_soon_used_again(theatre: Theatre) -> None:
    down, spare = "openai/down-for-a-while", "gemini/spare"
    theatre.server.script(DOWN, model="down-for-a-while")
    theatre.server.script(Script(deltas=OTHER), model="spare")

    def opened() -> bool:
        job = theatre.ended(theatre.submit(down, spare))
        assert job["output"] == {"text": "".join(OTHER)}, "nobody loses an answer"
        found = circuit(theatre, down)
        return found is not None and found.open

    eventually(opened, what="the circuit opens")
    theatre.server.script(WELL, model="down-for-a-while")
    began = time.monotonic()
    eventually(
        lambda: theatre.ended(theatre.submit(down, spare))["output"] == {"text": "".join(ANSWER)},
        timeout=30,
        what="it is used again",
    )
    assert time.monotonic() - began < 30
    found = circuit(theatre, down)
    assert found is not None
    assert not found.open


def test_while_its_circuit_is_open_it_gets_no_more_than_probes(theatre: Theatre) -> None:
    name = "down-for-good"
    theatre.server.script(DOWN, model=name)
    jobs = [theatre.submit(f"openai/{name}", "gemini/spare-too") for _ in range(30)]
    assert {theatre.ended(job)["status"] for job in jobs} == {"succeeded"}
    eventually(lambda: (found := circuit(theatre, f"openai/{name}")) and found.open)
    before, began = len(theatre.calls(name)), time.monotonic()
    for _ in range(60):
        assert theatre.ended(theatre.submit(f"openai/{name}", "gemini/spare-too"))["status"] == "succeeded"
    probes = len(theatre.calls(name)) - before
    assert probes <= 2 + (time.monotonic() - began), "at the most one for each second that it is left alone"


@pytest.mark.parametrize("vendor", VENDORS)
def test_flapping_costs_nobody_an_answer(theatre: Theatre, vendor: Vendor) -> None:
    name = f"flapping-{vendor}"
    theatre.server.enqueue(*[DOWN, DOWN, WELL, DOWN, WELL, WELL] * 10, model=name)
    jobs = [theatre.submit(f"{vendor}/{name}", f"{NEXT[vendor]}/steady") for _ in range(40)]
    assert {theatre.ended(job)["status"] for job in jobs} == {"succeeded"}


def test_a_job_without_another_target_waits_for_the_probe(theatre: Theatre) -> None:
    name = "down-and-alone"
    theatre.server.script(DOWN, model=name)
    for job in [theatre.submit(f"openai/{name}") for _ in range(6)]:
        assert theatre.ended(job)["status"] in ("failed", "succeeded")
    eventually(lambda: (found := circuit(theatre, f"openai/{name}")) and found.open)
    theatre.server.script(WELL, model=name)
    assert theatre.ended(theatre.submit(f"openai/{name}"))["output"] == {"text": "".join(ANSWER)}


def test_a_limited_target_gets_no_more_calls_at_once_than_it_may(theatre: Theatre) -> None:
    name = "limited-to-two"
    slow = Script(deltas=ANSWER, first_s=0.1)
    theatre.server.script(slow, model=name)
    jobs = [theatre.submit(f"openai/{name}") for _ in range(8)]
    assert {theatre.ended(job)["status"] for job in jobs} == {"succeeded"}
    arrivals = sorted(theatre.calls(name))
    assert len(arrivals) == 8
    for nth, arrival in enumerate(arrivals[2:]):
        assert arrival - arrivals[nth] >= 0.1, "the third comes when the first has been answered"


def test_live_traffic_goes_first(theatre: Theatre) -> None:
    name = "limited-to-two"
    theatre.server.script(Script(deltas=ANSWER, first_s=0.3), model=name)
    batch = [theatre.submit(f"openai/{name}", priority="low") for _ in range(6)]
    eventually(lambda: theatre.server.received[-1].model == name)
    live = theatre.submit(f"openai/{name}", priority="high")
    ended = {job: theatre.ended(job)["ended_at"] for job in (*batch, live)}
    assert sum(ended[job] < ended[live] for job in batch) <= 4, (
        "only those that were under way, and the next ones at most"
    )


def test_a_fallback_that_takes_no_prefill_is_passed_over(theatre: Theatre) -> None:
    theatre.server.script(DOWN, model="first-is-down")
    theatre.server.script(Script(fault="rejects_prefill"), model="no-prefill")
    theatre.server.script(Script(deltas=OTHER), model="takes-prefill")
    messages = [{"role": "user", "content": "When?"}, {"role": "assistant", "content": "It"}]
    job = theatre.ended(
        theatre.submit(
            "anthropic/first-is-down", "openai/no-prefill", "gemini/takes-prefill", input={"messages": messages}
        )
    )
    assert job["output"] == {"text": "".join(OTHER)}
    assert theatre.calls("no-prefill") == []


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_fallback_that_refuses_prefill_in_its_own_words_is_followed_by_the_next(
    theatre: Theatre, vendor: Vendor
) -> None:
    refusing, last = f"refuses-prefill-{vendor}", f"anthropic/goes-on-after-{vendor}"
    theatre.server.script(DOWN, model=f"down-before-{vendor}")
    theatre.server.script(Script(fault="rejects_prefill"), model=refusing)
    theatre.server.script(Script(deltas=OTHER), model=last.removeprefix("anthropic/"))
    messages = [{"role": "user", "content": "When?"}, {"role": "assistant", "content": "It"}]
    job = theatre.ended(
        theatre.submit(f"gemini/down-before-{vendor}", f"{vendor}/{refusing}", last, input={"messages": messages})
    )
    assert job["output"] == {"text": "".join(OTHER)}
    assert len(theatre.calls(refusing)) <= 1


def test_when_all_fail_the_error_says_what_each_one_said(theatre: Theatre) -> None:
    theatre.server.script(DOWN, model="all-down")
    theatre.server.script(Script(fault="unauthorized"), model="no-key")
    error = theatre.ended(theatre.submit("openai/all-down", "gemini/no-key"))["error"]
    assert error["code"] == "all_targets_failed"
    assert "openai/all-down: provider_overloaded" in error["message"]
    assert "gemini/no-key: provider_authentication_failed" in error["message"]
