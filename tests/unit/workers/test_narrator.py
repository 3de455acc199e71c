"""Telling a run's events: the first text at once, the rest coalesced, nothing lost, doubled or out of order."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from jobs import errors
from jobs.event import Event, LoggedEvent
from jobs.model import ModelCall, Usage
from jobs.settings import Settings
from jobs.store.connection import Connection
from jobs.store.events import EventLog
from jobs.store.jobs import Claim, JobStore
from tests.integration.store.sample import claimed, lapse, running
from tests.stack import Stack
from workers import narrator
from workers.narrator import Narrator


class Recorder(JobStore):
    """A real store that notes what it is asked to append."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        super().__init__(connection, settings)
        self.batches: list[list[str]] = []
        self.appended = asyncio.Event()

    async def append(self, claim: Claim, events: Iterable[Event], *, last_event: int, target: str = "") -> int:
        batch = list(events)
        self.batches.append([said(event.name, event.data) for event in batch])
        last = await super().append(claim, batch, last_event=last_event, target=target)
        self.appended.set()
        return last


def said(name: str, data: bytes) -> str:
    """An event in short: the text of a delta, else its name."""
    return str(msgspec.json.decode(data)["text"]) if name == "text.delta" else name


@pytest.fixture
def store(connection: Connection, settings: Settings) -> Recorder:
    return Recorder(connection, settings)


@pytest.fixture
def endless_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text after the first one gathers until something else makes it be written."""
    monkeypatch.setattr(narrator, "COALESCE_S", 1000.0)


async def told(log: EventLog, claim: Claim) -> list[str]:
    """What is in the log after the start, in short; the ids have no gaps."""
    found: list[LoggedEvent] = await log.read(claim.spec.id, claim.last_event)
    assert [event.id for event in found] == list(range(claim.last_event + 1, claim.last_event + 1 + len(found)))
    return [said(event.name, event.data) for event in found]


@pytest.mark.usefixtures("endless_pause")
async def test_the_first_text_is_written_at_once_and_the_rest_gathers(store: Recorder) -> None:
    async with asyncio.timeout(10):
        async with Narrator(store, await running(store)) as tells:
            tells.text("가")
            await store.appended.wait()
            assert store.batches == [["가"]]
            for text in ("나", "다", "라"):
                tells.text(text)
                await asyncio.sleep(0.01)
    assert store.batches == [["가"], ["나다라"]]


async def test_text_is_written_while_more_of_it_comes(store: Recorder) -> None:
    async with Narrator(store, await running(store)) as tells:
        for n in range(30):
            tells.text(f"{n} ")
            await asyncio.sleep(0.005)
    assert 3 < len(store.batches) < 25
    assert all(len(batch) == 1 for batch in store.batches)
    assert "".join(text for (text,) in store.batches) == "".join(f"{n} " for n in range(30))


@pytest.mark.usefixtures("endless_pause")
async def test_a_reset_drops_the_text_that_was_not_written(store: Recorder, log: EventLog) -> None:
    claim = await running(store)
    async with Narrator(store, claim) as tells:
        tells.text("told")
        await store.appended.wait()
        tells.text("never told")
        tells.usage("answer", ModelCall(model="fake/one", outcome="failed", usage=Usage(input_tokens=1)))
        tells.text("nor this")
        tells.reset("why", "fake/two")
        tells.text("again")
    assert await told(log, claim) == ["told", "usage", "stream.reset", "again"]
    assert tells.target == "fake/two"
    found = await log.read(claim.spec.id, 3)
    assert msgspec.json.decode(found[0].data) == {"reason": "why", "provider": "fake", "model": "fake/two"}


async def test_who_is_asked_is_on_record(store: Recorder) -> None:
    claim = await running(store)
    async with Narrator(store, claim) as tells:
        assert tells.target == "fake/one"
        tells.ask("fake/two")
        tells.text("a")
    assert msgspec.json.decode(await store.get(claim.spec.id))["model"] == "fake/two"


async def test_a_change_of_target_is_on_record_before_there_is_anything_to_tell(store: Recorder) -> None:
    claim = await running(store)
    async with asyncio.timeout(10), Narrator(store, claim) as tells:
        tells.ask("fake/two")
        await store.appended.wait()
        assert msgspec.json.decode(await store.get(claim.spec.id))["model"] == "fake/two"
    assert store.batches == [[]]


async def test_usage_names_its_stage_and_the_call_that_it_is_of(store: Recorder, log: EventLog) -> None:
    claim = await running(store)
    async with Narrator(store, claim) as tells:
        tells.ask("fake/two")
        usage = Usage(input_tokens=3, cached_tokens=1)
        tells.usage("answer", ModelCall(model="fake/one", outcome="superseded", usage=usage, cost_usd=0.5))
    (event,) = await log.read(claim.spec.id, 1)
    assert msgspec.json.decode(event.data) == {
        "stage": "answer",
        "model": "fake/one",
        "outcome": "superseded",
        "estimated": False,
        "cost_usd": 0.5,
        "input_tokens": 3,
        "output_tokens": 0,
        "cached_tokens": 1,
        "reasoning_tokens": 0,
    }


async def test_nothing_told_is_nothing_written(store: Recorder, log: EventLog) -> None:
    claim = await running(store)
    async with Narrator(store, claim):
        pass
    assert store.batches == []
    assert await told(log, claim) == []


async def say(tells: Narrator, text: str, failure: Exception | None) -> None:
    """A run that says something and then fails, or not."""
    async with tells:
        tells.text(text)
        if failure:
            raise failure


async def test_what_was_said_before_a_failure_is_written(store: Recorder, log: EventLog) -> None:
    claim = await running(store)
    with pytest.raises(errors.OutputInvalid):
        await say(Narrator(store, claim), "so far", errors.OutputInvalid())
    assert await told(log, claim) == ["so far"]


@pytest.mark.parametrize("failure", [None, errors.OutputInvalid()])
async def test_who_lost_the_job_is_told_so(store: Recorder, connection: Connection, failure: Exception | None) -> None:
    claim = await running(store)
    await lapse(connection, claim.spec.id)
    later = await claimed(store, claim.spec.id)
    with pytest.raises(errors.StaleFence):
        await say(Narrator(store, claim), "too late", failure)
    assert (await store.state(claim.spec.id)).last_event == later.last_event


Saying = tuple[str, str]
SAYINGS = st.one_of(
    st.tuples(st.just("text"), st.text(min_size=1, max_size=8)),
    st.tuples(st.just("reset"), st.just("")),
    st.tuples(st.just("usage"), st.just("")),
    st.tuples(st.just("pause"), st.just("")),
)


@given(st.lists(SAYINGS, max_size=40))
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whoever_follows_ends_up_with_the_exact_text(settings: Settings, sayings: list[Saying]) -> None:
    async def run() -> tuple[str, int, int]:
        connection = Connection(settings.redis_url, timeout=5.0)
        store, log = JobStore(connection, settings), EventLog(connection, settings)
        claim = await running(store)
        async with Narrator(store, claim) as tells:
            for kind, text in sayings:
                match kind:
                    case "text":
                        tells.text(text)
                    case "reset":
                        tells.reset("x", "fake/two")
                    case "usage":
                        tells.usage("answer", ModelCall(model="fake/one", outcome="answered"))
                    case _:
                        await asyncio.sleep(0.001)
        heard, resets, usages = "", 0, 0
        for event in await log.read(claim.spec.id, 1):
            match event.name:
                case "text.delta":
                    heard += msgspec.json.decode(event.data)["text"]
                case "stream.reset":
                    heard, resets = "", resets + 1
                case _:
                    usages += 1
        await connection.aclose()
        return heard, resets, usages

    expected, kinds = "", [kind for kind, _ in sayings]
    for kind, text in sayings:
        expected = "" if kind == "reset" else expected + text
    assert asyncio.run(run()) == (expected, kinds.count("reset"), kinds.count("usage"))


class Outage:
    """A store of the test's own, with a running job, to be broken."""

    def __init__(self, stack: Stack, connection: Connection, settings: Settings) -> None:
        self.stack = stack
        self.store, self.log = Recorder(connection, settings), EventLog(connection, settings)


@pytest.fixture
async def outage(tmp_path: Path, settings: Settings) -> AsyncIterator[Outage]:
    stack = Stack(tmp_path, {})
    connection = Connection(stack.store_spec.url, timeout=0.3)
    yield Outage(stack, connection, settings)
    await connection.aclose()
    stack.close()


@pytest.mark.parametrize("how", ["hangs", "dies"])
async def test_an_outage_of_the_store_loses_and_doubles_nothing(outage: Outage, how: str) -> None:
    claim = await running(outage.store)
    async with asyncio.timeout(20):
        async with Narrator(outage.store, claim) as tells:
            tells.text("before ")
            await outage.store.appended.wait()
            if how == "hangs":
                outage.stack.store.send(signal.SIGSTOP)
            else:
                outage.stack.kill_store()
            for n in range(50):
                tells.text(f"{n} ")
                await asyncio.sleep(0.01)
            if how == "hangs":
                outage.stack.store.send(signal.SIGCONT)
            else:
                outage.stack.restart_store()
            tells.text("after")
    heard = await told(outage.log, claim)
    assert "".join(heard) == "before " + "".join(f"{n} " for n in range(50)) + "after"
    assert len(outage.store.batches) > len(heard), "some were tried again"


async def test_a_cancelled_run_does_not_wait_for_the_store(outage: Outage) -> None:
    claim = await running(outage.store)

    async def run() -> None:
        async with Narrator(outage.store, claim) as tells:
            tells.text("told")
            await outage.store.appended.wait()
            outage.stack.kill_store()
            tells.text("lost")
            await asyncio.sleep(1000)

    task = asyncio.create_task(run())
    await asyncio.wait([task], timeout=0.5)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    assert done
    assert task.cancelled()


async def test_a_time_limit_ends_also_the_waiting_for_the_store(outage: Outage) -> None:
    claim: Any = await running(outage.store)
    outage.stack.kill_store()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5), Narrator(outage.store, claim) as tells:
            tells.text("never")
