"""The throttle of one destination: pauses, breaker, concurrency, rate, and the line of those that wait."""

import asyncio
import time
from itertools import pairwise

import pytest

from jobs.destinations import Destinations
from jobs.settings import Destination, Settings
from workers.destinations import throttle as module
from workers.destinations.service import Outcome
from workers.destinations.throttle import (
    AT_ONCE,
    LONGEST_PAUSE_S,
    OPEN_S,
    OPENS_AFTER,
    PAUSE_S,
    Slots,
    Throttle,
    Throttles,
)

WELL = Outcome(verdict="delivered", status_code=200)
TIMEOUT = Outcome(verdict="again", error="no complete answer within 20 s")


def failure(status: int, *, pause_s: float = 0.0) -> Outcome:
    """An answer that is tried again."""
    return Outcome(verdict="again", status_code=status, pause_s=pause_s)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


def made(clock: Clock, *, concurrency: int = 4, per_second: float = 0.0) -> Throttle:
    """A throttle on that clock."""
    return Throttle("x", Slots(), concurrency=concurrency, per_second=per_second, clock=clock)


async def attempt(throttle: Throttle, outcome: Outcome) -> None:
    """One attempt, which must be let through."""
    assert await throttle.enter() == 0.0
    throttle.leave(outcome)


async def test_a_pause_that_is_asked_for_holds_off_everything(clock: Clock) -> None:
    throttle = made(clock)
    await attempt(throttle, failure(503, pause_s=60))
    assert throttle.closed
    assert 60 < await throttle.enter() < 61
    clock.now += 59.9
    assert await throttle.enter() > 0
    clock.now += 0.2
    await attempt(throttle, WELL)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_an_overloaded_destination_gets_a_growing_pause(clock: Clock, status: int) -> None:
    throttle = made(clock)
    for expected in (PAUSE_S, 2 * PAUSE_S, 4 * PAUSE_S):
        await attempt(throttle, failure(status))
        clock.now += expected - 0.01
        assert throttle.closed
        clock.now += 0.02
        assert not throttle.closed


@pytest.mark.parametrize("status", [307, 400, 404, 500])
async def test_other_answers_pause_nothing(clock: Clock, status: int) -> None:
    throttle = made(clock)
    await attempt(throttle, failure(status))
    assert not throttle.closed


async def test_no_pause_is_longer_than_an_hour(clock: Clock) -> None:
    throttle = made(clock)
    await attempt(throttle, failure(503, pause_s=1e300))
    clock.now += LONGEST_PAUSE_S + 1
    assert not throttle.closed


@pytest.mark.parametrize("outcome", [TIMEOUT, failure(500), failure(429)])
async def test_the_breaker_opens_and_lets_one_probe_through(clock: Clock, outcome: Outcome) -> None:
    throttle = made(clock)
    for _ in range(OPENS_AFTER):
        clock.now += 100
        await attempt(throttle, outcome)
    assert OPEN_S < await throttle.enter() < OPEN_S + 1
    clock.now += OPEN_S + 0.1
    assert await throttle.enter() == 0.0
    assert await throttle.enter() > 0, "one probe at a time"
    throttle.leave(outcome)
    assert throttle.closed, "the probe failed"
    clock.now += OPEN_S + 0.1
    await attempt(throttle, WELL)
    for _ in range(4):
        assert await throttle.enter() == 0.0


@pytest.mark.parametrize("between", [WELL, failure(404), Outcome(verdict="never", status_code=410)])
async def test_only_failures_in_a_row_open_the_breaker(clock: Clock, between: Outcome) -> None:
    throttle = made(clock)
    for _ in range(3):
        for _ in range(OPENS_AFTER - 1):
            await attempt(throttle, TIMEOUT)
        await attempt(throttle, between)
    assert not throttle.closed


async def test_those_that_wait_get_their_turn_in_order(clock: Clock) -> None:
    throttle = made(clock, concurrency=2)
    order: list[int] = []

    async def enter(number: int) -> None:
        assert await throttle.enter() == 0.0
        order.append(number)

    tasks = [asyncio.create_task(enter(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert order == [0, 1]
    for seen in ([0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4]):
        throttle.leave(WELL)
        await asyncio.sleep(0)
        assert order == seen
    await asyncio.gather(*tasks)


async def test_one_that_is_cancelled_passes_its_turn_on(clock: Clock) -> None:
    throttle = made(clock, concurrency=1)
    assert await throttle.enter() == 0.0
    first, second = (asyncio.create_task(throttle.enter()) for _ in range(2))
    await asyncio.sleep(0)
    throttle.leave(WELL)
    first.cancel()
    assert await asyncio.wait_for(second, 5) == 0.0
    assert first.cancelled()


async def test_those_that_wait_leave_when_it_closes(clock: Clock) -> None:
    throttle = made(clock, concurrency=1)
    assert await throttle.enter() == 0.0
    waiting = [asyncio.create_task(throttle.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    throttle.leave(failure(503, pause_s=30))
    waits = await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert all(30 < wait_s < 31 for wait_s in waits)
    assert all(later > earlier for earlier, later in pairwise(waits)), "a line, not a crowd"


async def test_nobody_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.05)
    throttle = Throttle("x", Slots(), concurrency=1)
    assert await throttle.enter() == 0.0
    assert await asyncio.wait_for(throttle.enter(), 5) >= 1
    throttle.leave(WELL)
    assert await throttle.enter() == 0.0


async def test_only_so_many_wait(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 2)
    throttle = made(clock, concurrency=1)
    assert await throttle.enter() == 0.0
    waiting = [asyncio.create_task(throttle.enter()) for _ in range(2)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(throttle.enter(), 5) >= 1
    for task in waiting:
        throttle.leave(WELL)
        assert await asyncio.wait_for(task, 5) == 0.0


async def test_the_rate_is_kept_in_every_window(clock: Clock) -> None:
    throttle = made(clock, concurrency=100, per_second=0.1)
    await attempt(throttle, WELL)
    waits = [await throttle.enter() for _ in range(3)]
    assert [round(later - earlier) for earlier, later in pairwise(waits)] == [10, 10]
    clock.now += 10
    await attempt(throttle, WELL)
    assert await throttle.enter() > 0


async def test_short_waits_for_the_rate_are_waited_out() -> None:
    throttle = Throttle("x", Slots(), concurrency=100, per_second=5.5)
    begun: list[float] = []

    async def one() -> None:
        assert await throttle.enter() == 0.0
        begun.append(time.monotonic())
        throttle.leave(WELL)

    await asyncio.wait_for(asyncio.gather(*(one() for _ in range(8))), 10)
    assert all(begun[i + 5] - begun[i] > 0.85 for i in range(3)), "5 in 0.91 s"


async def test_many_that_hang_leave_slots_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 0)
    throttles = Throttles(Destinations(Settings()))
    held = []
    for n in range(25):
        throttle = throttles.of(f"https://{n}.example")
        begun = 0
        while begun < 50 and await throttle.enter() == 0.0:
            held.append(throttle)
            begun += 1
        assert 1 <= begun <= 16
    assert 0 < throttles.free < AT_ONCE
    for throttle in held:
        throttle.leave(WELL)
    assert throttles.free == AT_ONCE


async def test_there_are_no_more_slots_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 0)
    monkeypatch.setattr(module, "AT_ONCE", 3)
    throttles = Throttles(Destinations(Settings()))
    begun = [await throttles.of(f"https://{n}.example").enter() == 0.0 for n in range(5)]
    assert begun == [True, True, True, False, False]


async def test_the_waiting_room_is_bounded_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_IN_ALL", 2)
    throttles = Throttles(Destinations(Settings(destinations={})))
    first = throttles.of("https://first.example")
    for _ in range(16):
        assert await first.enter() == 0.0
    waiting = [asyncio.create_task(first.enter()) for _ in range(2)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(first.enter(), 5) >= 1
    second = throttles.of("https://second.example")
    assert await second.enter() == 0.0, "who need not wait needs no place there"
    for task in waiting:
        first.leave(WELL)
        assert await asyncio.wait_for(task, 5) == 0.0


def test_limits_come_from_the_destination_and_state_is_shared_by_place() -> None:
    throttles = Throttles(
        Destinations(
            Settings(
                destinations={
                    "orders": Destination(url="https://orders.example/hooks", concurrency=2),
                    "bot": Destination(slack_token="xoxb-1", per_second=50),
                }
            )
        )
    )
    orders = throttles.of("https://orders.example/hooks/1")
    assert throttles.of("https://orders.example/hooks/2") is orders
    assert throttles.of("https://orders.example/other") is not orders
    assert throttles.of("slack:channel:a") is not throttles.of("slack:channel:b")


async def test_a_slack_channel_gets_one_a_second_whatever_is_set() -> None:
    throttles = Throttles(Destinations(Settings(destinations={"bot": Destination(slack_token="x", per_second=50)})))
    throttle = throttles.of("slack:channel:a")
    began = time.monotonic()
    for _ in range(2):
        await attempt(throttle, WELL)
    assert time.monotonic() - began > 0.95


async def test_what_is_idle_is_forgotten_and_what_is_not_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 3)
    throttles = Throttles(Destinations(Settings()))
    paused = throttles.of("https://paused.example")
    await attempt(paused, failure(503, pause_s=60))
    busy = throttles.of("https://busy.example")
    assert await busy.enter() == 0.0
    idle = throttles.of("https://idle.example")
    for n in range(10):
        throttles.of(f"https://{n}.example")
    assert throttles.of("https://paused.example") is paused
    assert throttles.of("https://busy.example") is busy
    assert throttles.of("https://idle.example") is not idle
