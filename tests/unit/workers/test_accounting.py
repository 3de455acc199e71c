"""What calls to models cost, whatever became of them: in the Job, in its log, in the sums and for its API key."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from jobs.event import LoggedEvent
from jobs.job import Deadline
from jobs.model import Cost, ModelCall, Usage
from jobs.routes import Price, Target
from jobs.settings import Settings
from jobs.store.access_keys import AccessKeys
from jobs.store.connection import Connection
from jobs.store.events import EventLog
from jobs.store.usage import UsageTotals
from tests.integration.store.sample import accepted, names, now_ms, until
from tests.stack import KEY_SECRET
from tests.unit.workers.test_runner import Worker, keeping
from workers.progress import Progress

SHORT = "x?text=one+two&input_tokens=1000&output_tokens=500&cached_tokens=400"
BROKEN = "x?text=one+two+three&fail=cut&after=2"
ENDLESS = "x?text=one+two+three&delta_ms=60000"
PRICE = Price(input=2.0, output=10.0, cached=0.5)
SHORT_USD = 0.0064
"""(600 × 2 + 400 × 0.5 + 500 × 10) millionths."""


@pytest.fixture
async def worker(connection: Connection, settings: Settings) -> AsyncIterator[Worker]:
    """A worker that knows prices of its own for three targets."""
    targets = {f"fake/{script}": Target(price=PRICE) for script in (SHORT, BROKEN, ENDLESS)}
    made = Worker(connection, msgspec.structs.replace(settings, targets=targets))
    yield made
    await made.deliverer.aclose(limit_s=5)


async def told(worker: Worker, settings: Settings, job_id: str) -> list[dict[str, Any]]:
    """The data of the job's usage events; its terminal event comes last."""
    log: list[LoggedEvent] = await EventLog(worker.connection, settings).read(job_id, 1)
    assert log[-1].terminal
    return [msgspec.json.decode(event.data) for event in log if event.name == "usage"]


async def until_answering(worker: Worker, job_id: str, *, after: int = 0) -> None:
    """Waits until words of a model are in the log after so many events."""

    async def answering() -> bool:
        return "text.delta" in (await names(worker.connection, job_id))[after:]

    await until(answering)


async def total(worker: Worker, settings: Settings) -> dict[str, Any]:
    """What all jobs of today used."""
    today = datetime.now(UTC).date()
    report = await UsageTotals(worker.connection, settings).report(today, today, group_by=())
    found: dict[str, Any] = msgspec.to_builtins(report.total)
    return found


async def test_a_job_says_what_it_cost(worker: Worker, settings: Settings) -> None:
    job_id = await worker.accept(SHORT)
    await worker.runner.run(job_id)
    job = await worker.job(job_id)
    (call,) = job["calls"]
    assert (call["model"], call["outcome"], call["error"]) == (f"fake/{SHORT}", "answered", None)
    assert call["cost_usd"] == SHORT_USD
    assert job["cost"] == {"usd": SHORT_USD, "complete": True}
    assert job["usage"] == call["usage"]
    (event,) = await told(worker, settings, job_id)
    assert (event["stage"], event["outcome"], event["cost_usd"]) == ("answer", "answered", SHORT_USD)
    assert (event["input_tokens"], event["cached_tokens"], event["output_tokens"]) == (1000, 400, 500)
    sums = await total(worker, settings)
    assert (sums["jobs"], sums["calls"], sums["failed_calls"], sums["cost"]) == (1, 1, 0, job["cost"])


async def test_a_call_that_failed_is_counted_and_marked(worker: Worker, settings: Settings) -> None:
    targets = (f"fake/{BROKEN}", f"fake/{SHORT}")
    spec = await accepted(worker.store, input=msgspec.Raw(b'{"prompt":"x"}'), targets=targets)
    await worker.runner.run(spec.id)
    job = await worker.job(spec.id)
    failed, answered = job["calls"]
    assert (job["status"], job["model"]) == ("succeeded", f"fake/{SHORT}")
    assert (failed["model"], failed["outcome"], failed["error"]) == (targets[0], "failed", "stream_interrupted")
    assert failed["estimated"]
    assert failed["usage"]["input_tokens"] > 0
    assert failed["cost_usd"] > 0
    assert answered["outcome"] == "answered"
    assert job["usage"]["input_tokens"] == 1000 + failed["usage"]["input_tokens"]
    assert job["cost"] == {"usd": round(failed["cost_usd"] + SHORT_USD, 9), "complete": True}
    events = await told(worker, settings, spec.id)
    assert [(event["model"], event["outcome"], event["estimated"]) for event in events] == [
        (targets[0], "failed", True),
        (targets[1], "answered", False),
    ]
    sums = await total(worker, settings)
    assert (sums["jobs"], sums["calls"], sums["failed_calls"], sums["cost"]) == (1, 2, 1, job["cost"])


async def test_a_call_that_was_refused_costs_nothing_and_is_not_told(worker: Worker, settings: Settings) -> None:
    job_id = await worker.accept("x?fail=authentication_failed")
    await worker.runner.run(job_id)
    job = await worker.job(job_id)
    (call,) = job["calls"]
    assert (call["outcome"], call["cost_usd"], call["usage"]["input_tokens"]) == ("failed", 0.0, 0)
    assert await told(worker, settings, job_id) == []
    assert (await total(worker, settings))["failed_calls"] == 1


async def test_a_call_that_was_cancelled_is_counted_and_marked(
    worker: Worker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await worker.accept(ENDLESS)
    async with keeping(worker, monkeypatch):
        run = asyncio.create_task(worker.runner.run(job_id))
        await until_answering(worker, job_id)
        await worker.store.request_cancel(job_id)
        await asyncio.wait_for(run, 10)
    job = await worker.job(job_id)
    assert job["status"] == "cancelled"
    (call,) = job["calls"]
    assert (call["outcome"], call["estimated"]) == ("cancelled", True)
    assert job["cost"] == {"usd": call["cost_usd"], "complete": True}
    assert [event["outcome"] for event in await told(worker, settings, job_id)] == ["cancelled"]
    sums = await total(worker, settings)
    assert (sums["calls"], sums["failed_calls"], sums["cost"]["usd"]) == (1, 0, call["cost_usd"])


async def test_a_call_that_the_deadline_broke_off_is_counted(worker: Worker, settings: Settings) -> None:
    job_id = await worker.accept(ENDLESS, deadline=Deadline(total_s=0.2))
    await asyncio.wait_for(worker.runner.run(job_id), 10)
    job = await worker.job(job_id)
    assert (job["error"]["code"], len(job["calls"])) == ("deadline_exceeded", 1)
    assert job["usage"]["input_tokens"] > 0
    assert len(await told(worker, settings, job_id)) == 1


async def test_calls_of_attempts_that_were_handed_back_count_too(worker: Worker, settings: Settings) -> None:
    """In the job and in the sums once, and for the key once for each attempt."""
    key = await AccessKeys(worker.connection, KEY_SECRET).create("x", tokens_per_day=1_000_000)
    owner = key.split("_")[1]
    job_id = await worker.accept("x?text=one+two&delta_ms=60000", owner=owner)
    run = asyncio.create_task(worker.runner.run(job_id))
    await until_answering(worker, job_id)
    await asyncio.wait_for(worker.leases.drain(0.05), 10)
    await asyncio.wait_for(run, 10)
    assert (await worker.job(job_id))["status"] == "queued"

    async def spent() -> int:
        return await worker.budgets.spend(owner, "none", 0, Usage(), at_ms=now_ms())

    once = await spent()
    assert once > 0
    fresh = Worker(worker.connection, settings)
    before = (await worker.store.state(job_id)).last_event
    run = asyncio.create_task(fresh.runner.run(job_id))
    await until_answering(fresh, job_id, after=before)
    await fresh.store.request_cancel(job_id)
    await asyncio.wait_for(fresh.leases.drain(0.05), 10)
    await asyncio.wait_for(run, 10)
    last = Worker(worker.connection, settings)
    await last.runner.run(job_id)
    job = await worker.job(job_id)
    assert job["status"] == "cancelled"
    assert [call["outcome"] for call in job["calls"]] == ["cancelled"] * 2
    both = job["usage"]["input_tokens"] + job["usage"]["output_tokens"]
    assert await spent() == both > once
    sums = await total(worker, settings)
    assert (sums["jobs"], sums["calls"]) == (1, 2)
    assert sums["input_tokens"] + sums["output_tokens"] == both


def test_a_price_that_nobody_knows_makes_the_cost_incomplete() -> None:
    progress = Progress(price=lambda target, _: {"a/1": 0.5}.get(target))
    usage = Usage(input_tokens=1)
    assert Cost.of(progress.all_calls) is None
    progress.record(ModelCall(model="b/1", outcome="answered", usage=usage))
    assert Cost.of(progress.all_calls) is None
    progress.record(ModelCall(model="a/1", outcome="superseded", usage=usage))
    assert Cost.of(progress.all_calls) == Cost(usd=0.5, complete=False)
    assert Cost.of(progress.calls[1:]) == Cost(usd=0.5)
    refused = progress.record(ModelCall(model="b/1", outcome="failed"))
    assert refused.cost_usd == 0.0
