"""Circuits in the store: when they open, for how long, who may probe, and what closes them."""

import asyncio

import pytest

from jobs.store.circuits import Circuits
from jobs.store.connection import Connection
from tests.integration.store.sample import until

NAME = "openai/gpt-4o"


@pytest.fixture
def circuits(connection: Connection) -> Circuits:
    return Circuits(connection)


async def fail(circuits: Circuits, times: int, code: str = "provider_overloaded") -> None:
    for _ in range(times):
        await circuits.seen(NAME, failure=code)


async def test_there_is_none_before_a_failure_and_it_is_closed_after_a_few(circuits: Circuits) -> None:
    assert await circuits.all() == []
    await fail(circuits, 4)
    (state,) = await circuits.all()
    assert (state.target, state.region, state.state, state.reason, state.until) == (NAME, "", "closed", "", None)


async def test_five_failures_open_it(circuits: Circuits) -> None:
    await fail(circuits, 5, "stream_stalled")
    (state,) = await circuits.all()
    assert (state.state, state.reason) == ("open", "stream_stalled")
    assert state.until is not None
    assert 0 < (await circuits.read())[NAME].rest_s <= 1.0


async def test_failures_in_a_crowd_of_successes_do_not(circuits: Circuits) -> None:
    for _ in range(20):
        circuit = await circuits.seen(NAME, successes=2, failure="provider_overloaded")
    assert not circuit.open


async def test_but_half_of_the_last_calls_do(circuits: Circuits) -> None:
    await circuits.seen(NAME, successes=20)
    for _ in range(9):
        assert not (await circuits.seen(NAME, failure="provider_timeout")).open
    assert (await circuits.seen(NAME, failure="provider_timeout")).open


async def test_regions_are_apart(circuits: Circuits) -> None:
    for _ in range(5):
        await circuits.seen("bedrock/claude eu-west-1", failure="provider_overloaded")
    await circuits.seen("bedrock/claude us-east-1", failure="provider_overloaded")
    states = {(state.target, state.region): state.state for state in await circuits.all()}
    assert states == {("bedrock/claude", "eu-west-1"): "open", ("bedrock/claude", "us-east-1"): "closed"}


async def half_open(circuits: Circuits) -> None:
    async def due() -> bool:
        return (await circuits.read())[NAME].rest_s == 0

    await until(due)


async def test_one_caller_at_a_time_may_probe_and_success_closes_it(circuits: Circuits) -> None:
    await fail(circuits, 5)
    assert (await circuits.probe(NAME))[0] is False, "not yet"
    await half_open(circuits)
    assert (await circuits.all())[0].state == "half_open"
    leaves = await asyncio.gather(*(circuits.probe(NAME) for _ in range(5)))
    assert sorted(leave for leave, _ in leaves) == [False] * 4 + [True]
    assert (await circuits.read())[NAME].rest_s > 5, "until the probe is back"
    assert not (await circuits.seen(NAME, successes=1, probe=True)).open
    assert (await circuits.probe(NAME))[0] is False, "nothing to probe"


async def test_a_failed_probe_opens_it_for_twice_as_long(circuits: Circuits) -> None:
    await fail(circuits, 5)
    await half_open(circuits)
    await circuits.probe(NAME)
    circuit = await circuits.seen(NAME, failure="provider_timeout", probe=True)
    assert (circuit.open, circuit.openings, circuit.rest_s, circuit.reason) == (True, 2, 2.0, "provider_timeout")


async def test_it_never_stays_open_for_long(circuits: Circuits) -> None:
    await fail(circuits, 5)
    for _ in range(8):
        circuit = await circuits.seen(NAME, failure="provider_timeout", probe=True)
    assert circuit.rest_s == 15.0


async def test_what_was_begun_before_it_closed_does_not_count(circuits: Circuits) -> None:
    await fail(circuits, 5)
    await circuits.seen(NAME, successes=1, probe=True)
    for _ in range(9):
        circuit = await circuits.seen(NAME, failure="stream_stalled", began_s=60)
    assert not circuit.open


async def test_a_rest_that_the_target_asks_for_opens_it_at_once(circuits: Circuits) -> None:
    circuit = await circuits.seen(NAME, failure="provider_rate_limited", rest_s=4)
    assert (circuit.open, circuit.rest_s, circuit.reason) == (True, 4.0, "provider_rate_limited")
    shorter = await circuits.seen(NAME, failure="provider_rate_limited", rest_s=1)
    assert shorter.rest_s > 3, "the longer one holds"


async def test_other_failures_while_it_is_open_change_nothing(circuits: Circuits) -> None:
    await fail(circuits, 5)
    opened = (await circuits.read())[NAME].until_ms
    await fail(circuits, 5)
    assert (await circuits.read())[NAME].until_ms == opened
