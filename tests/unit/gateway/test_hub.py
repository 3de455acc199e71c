"""The hub's races, told step by step: a log whose answers come exactly when the test lets them."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import ConnectionError as StoreGone

from gateway import hub as hub_module
from gateway.hub import HEARTBEAT, Hub, Subscription
from jobs import errors
from jobs.event import LoggedEvent
from jobs.store.events import EventLog, Pushed

JOB = "job_1"


def logged(number: int) -> LoggedEvent:
    return LoggedEvent(number, "text.delta", b'{"text":"x"}')


def pushed(number: int) -> Pushed:
    return Pushed(JOB, number, "text.delta", logged(number).frame())


class ScriptedLog(EventLog):
    """An event log in memory, with a step between a question's arrival and its answer's."""

    def __init__(self) -> None:
        self.events: list[LoggedEvent] = []
        self.watchers: set[str] = set()
        self.asked: list[str] = []
        self.slow: dict[str, asyncio.Event] = {}
        """Answers to these are under way until their event is set."""
        self.wires: list[asyncio.Queue[Pushed | None]] = []
        self.laid_again = asyncio.Event()

    async def _under_way(self, name: str) -> None:
        self.asked.append(name)
        if name in self.slow:
            await self.slow[name].wait()

    async def read(self, job_id: str, after: int, *, limit: int = 500) -> list[LoggedEvent]:
        found = [event for event in self.events if event.id > after][:limit]
        await self._under_way("read")
        return found

    async def watch(self, job_ids: Iterable[str], gateway_id: str) -> None:
        self.watchers |= set(job_ids)
        await self._under_way("watch")

    async def unwatch(self, job_id: str, gateway_id: str) -> None:
        await self._under_way("unwatch")
        self.watchers.discard(job_id)

    @asynccontextmanager
    async def wire(self, gateway_id: str) -> AsyncIterator[AsyncIterator[Pushed]]:
        queue: asyncio.Queue[Pushed | None] = asyncio.Queue()
        if self.wires:
            self.laid_again.set()
        self.wires.append(queue)

        async def coming() -> AsyncIterator[Pushed]:
            while (message := await queue.get()) is not None:
                yield message
            raise StoreGone("cut")

        yield coming()

    async def echo(self, gateway_id: str) -> None:
        await self._under_way("echo")


@pytest.fixture
def log() -> ScriptedLog:
    return ScriptedLog()


@pytest.fixture
def hub(log: ScriptedLog) -> Hub:
    return Hub(log, "gateway")


async def settled() -> None:
    """Lets everything that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


def is_live(subscription: Subscription) -> bool:
    """A question, so that it can be asked again."""
    return subscription.live


def taken(subscription: Subscription) -> list[int]:
    """The ids of the events that wait to be sent."""
    frames = subscription.take().decode().split("\n\n")[:-1]
    return [int(frame.split("\n")[0].removeprefix("id: ")) for frame in frames if frame.startswith("id: ")]


async def test_a_push_that_overtakes_the_answer_of_the_log_is_no_gap(hub: Hub, log: ScriptedLog) -> None:
    log.events = [logged(1)]
    log.slow["read"] = asyncio.Event()
    with hub.subscribe(JOB, 1, newest=1) as subscription:
        watching = asyncio.create_task(hub.watch(subscription))
        await settled()
        log.events.append(logged(2))
        subscription.push(pushed(2))
        log.slow["read"].set()

        await watching

        assert not is_live(subscription), "the answer knew nothing of event 2"
        await hub.catch_up(subscription)
        assert is_live(subscription)
        assert taken(subscription) == [2]


async def test_a_log_that_lacks_a_known_event_is_gone(hub: Hub, log: ScriptedLog) -> None:
    for events, last, newest in (([], 0, 3), ([], 2, 3), ([logged(3)], 0, 3), ([logged(3)], 1, 3)):
        log.events = list(events)
        with hub.subscribe(JOB, last, newest=newest) as subscription, pytest.raises(errors.EventsGone):
            await hub.watch(subscription)


async def test_a_stream_that_comes_while_another_leaves_keeps_its_watch(hub: Hub, log: ScriptedLog) -> None:
    log.slow["unwatch"] = asyncio.Event()
    with hub.subscribe(JOB, 0) as leaving:
        await hub.watch(leaving)
    await settled()
    assert log.asked[-1] == "unwatch"

    with hub.subscribe(JOB, 0) as coming:
        watching = asyncio.create_task(hub.watch(coming))
        await settled()
        log.slow["unwatch"].set()
        await watching
        assert log.watchers == {JOB}
    await settled()
    assert log.watchers == set()
    assert not hub._unwatching
    assert not hub._subscriptions


async def test_the_watch_stays_as_long_as_anybody_reads(hub: Hub, log: ScriptedLog) -> None:
    with hub.subscribe(JOB, 0) as first:
        await hub.watch(first)
        with hub.subscribe(JOB, 0) as second:
            await hub.watch(second)
        await settled()
        assert log.watchers == {JOB}
    await settled()
    assert log.watchers == set()


async def test_pushes_that_come_twice_or_with_a_gap_lose_nothing(hub: Hub, log: ScriptedLog) -> None:
    log.events = [logged(1)]
    with hub.subscribe(JOB, 0) as subscription:
        await hub.watch(subscription)
        assert taken(subscription) == [1]
        subscription.push(pushed(1))
        log.events.append(logged(2))
        subscription.push(pushed(2))
        subscription.push(pushed(2))
        assert taken(subscription) == [2]
        log.events += [logged(3), logged(4)]
        subscription.push(pushed(4))
        assert taken(subscription) == []
        assert not subscription.live
        await hub.catch_up(subscription)
        assert taken(subscription) == [3, 4]


async def test_a_long_log_is_read_in_pages(hub: Hub, log: ScriptedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "_PAGE", 3)
    log.events = [logged(number) for number in range(1, 8)]
    with hub.subscribe(JOB, 0, newest=7) as subscription:
        await hub.watch(subscription)
        pages = [taken(subscription)]
        while not subscription.live:
            await subscription.wait()
            await hub.catch_up(subscription)
            pages.append(taken(subscription))
    assert pages == [[1, 2, 3], [4, 5, 6], [7]]


async def test_a_consumer_that_takes_nothing_holds_little(
    hub: Hub, log: ScriptedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "QUEUE_BYTES", 200)
    with hub.subscribe(JOB, 0) as subscription:
        await hub.watch(subscription)
        for number in range(1, 101):
            log.events.append(logged(number))
            subscription.push(pushed(number))
        held = taken(subscription)
        assert 3 < len(held) < 10, "some 200 bytes"
        while not subscription.live:
            await hub.catch_up(subscription)
            held += taken(subscription)
    assert held == list(range(1, 101))


async def test_only_idle_streams_get_heartbeats() -> None:
    subscription = Subscription(JOB, 0, 0, live=True)
    begun = subscription._spoke

    subscription.beat(begun + hub_module.HEARTBEAT_S - 0.1)
    assert subscription.take() == b""
    subscription.beat(begun + hub_module.HEARTBEAT_S)
    subscription.beat(begun + 2 * hub_module.HEARTBEAT_S)
    assert subscription.take() == HEARTBEAT, "one, also if nobody took it in time"
    subscription.push(pushed(1))
    subscription.beat(begun + 9 * hub_module.HEARTBEAT_S)
    assert subscription.take() == pushed(1).frame


def test_heartbeats_come_every_15_seconds() -> None:
    assert hub_module.HEARTBEAT_S == 15


async def test_a_broken_wire_is_laid_anew_and_everybody_looks_what_was_missed(hub: Hub, log: ScriptedLog) -> None:
    running = asyncio.create_task(hub.run())
    await settled()
    with hub.subscribe(JOB, 0) as subscription:
        await hub.watch(subscription)
        log.wires[0].put_nowait(pushed(1))
        log.events.append(logged(1))
        await settled()
        assert taken(subscription) == [1]

        log.watchers.clear()
        log.events.append(logged(2))
        log.wires[0].put_nowait(None)
        async with asyncio.timeout(10):
            while subscription.live:
                await subscription.wait()

        assert log.watchers == {JOB}
        await hub.catch_up(subscription)
        assert taken(subscription) == [2]
        log.wires[1].put_nowait(pushed(3))
        await settled()
        assert taken(subscription) == [3]
    running.cancel()


async def test_a_wire_that_carries_nothing_is_cut(hub: Hub, log: ScriptedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "_TICK_S", 0.01)
    monkeypatch.setattr(hub_module, "_ECHO_S", 0.02)
    monkeypatch.setattr(hub_module, "_SILENCE_S", 0.05)
    running = asyncio.create_task(hub.run())

    await asyncio.wait_for(log.laid_again.wait(), 10)

    assert "echo" in log.asked
    running.cancel()


async def test_draining_leaves_patient_streams_some_time(hub: Hub) -> None:
    with hub.subscribe("job_a", 0, live=True, patient=True) as patient, hub.subscribe("job_b", 0, live=True) as other:
        hub.drain(0.05)
        assert (patient.cut, other.cut) == (False, True)
        await asyncio.wait_for(patient.wait(), 10)
        assert patient.cut


async def test_draining_ends_streams_that_are_there_and_that_come(hub: Hub) -> None:
    with hub.subscribe(JOB, 0) as before:
        hub.drain()
        with hub.subscribe(JOB, 0) as after:
            assert before.cut
            assert after.cut
            await asyncio.wait_for(before.wait(), 1)
            await asyncio.wait_for(after.wait(), 1)


async def test_events_go_past_the_task_only_while_it_waits_and_the_socket_takes_more(
    hub: Hub, log: ScriptedLog
) -> None:
    past: list[bytes] = []
    takes_more = True

    def write_now(frame: bytes) -> bool:
        if takes_more:
            past.append(frame)
        return takes_more

    with hub.subscribe(JOB, 0) as subscription:
        await hub.watch(subscription)
        subscription.take()
        subscription.write_now = write_now
        subscription.push(pushed(1))
        assert (past, taken(subscription)) == ([], [1]), "the task is at work: it may have something in hand"

        waiting = asyncio.create_task(subscription.wait())  # woken by the push before
        await settled()
        assert waiting.done()
        waiting = asyncio.create_task(subscription.wait())
        await settled()
        subscription.push(pushed(2))
        assert past == [pushed(2).frame]
        assert not waiting.done()

        takes_more = False
        subscription.push(pushed(3))
        takes_more = True
        subscription.push(pushed(4))
        assert len(past) == 1, "what was queued goes first"
        await waiting
        assert taken(subscription) == [3, 4]

        waiting = asyncio.create_task(subscription.wait())
        await settled()
        subscription.push(pushed(7))
        await waiting
        assert not subscription.live, "a gap is no business of the socket's"
    assert len(past) == 1
