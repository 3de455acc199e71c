"""One attempt at a job, from claim to end, on a real store: exactly one outcome is written, whatever happens."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from ipaddress import ip_network
from typing import Any, Literal
from urllib.parse import quote_plus

import msgspec
import pytest

from jobs import errors, signing
from jobs.addresses import AddressPolicy
from jobs.destinations import Destinations
from jobs.dispatch import Dispatch
from jobs.event import Event
from jobs.job import Callback, Deadline, Job, JobEvent, Priority
from jobs.model import Usage
from jobs.settings import Settings
from jobs.store.access_keys import AccessKeys, TokenBudgets
from jobs.store.connection import Connection
from jobs.store.deliveries import NewDelivery, Outbox
from jobs.store.jobs import JobStore
from jobs.store.recordings import Recordings
from prompts import registry
from providers.prices import Prices
from providers.registry import Services
from providers.routing.router import Router
from providers.routing.target import Targets
from ringback.testing.inbox import CallbackInbox
from tests.integration.store.sample import accepted, claimed, lapse, names, now_ms, running, until
from tests.stack import KEY_SECRET
from tests.unit.providers.routing.room import Calm
from workers import leases as leases_module
from workers.answering import Answering
from workers.delivery import ATTEMPT_S, Deliverer
from workers.destinations.http import HttpSender
from workers.images import Images
from workers.leases import Leases
from workers.runner import Runner

PROMPTS = registry.load()
SECRET = signing.new_secret()


class Hints(Dispatch):
    """Notes the hints instead of sending them."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Priority]] = []

    def send(self, job_id: str, priority: Priority) -> None:
        self.sent.append((job_id, priority))


class SlowToHear(JobStore):
    """A real store whose answer to the end of a job takes a while to arrive."""

    async def end(
        self,
        claim_fence: int,
        job: Job,
        *,
        delivery: NewDelivery | None = None,
        deliver_after_s: float = 0.0,
        required: Literal["", "queued"] = "",
        events: Sequence[Event] = (),
        ready: Callable[[str, Priority], None] | None = None,
    ) -> int:
        last = await super().end(
            claim_fence,
            job,
            delivery=delivery,
            deliver_after_s=deliver_after_s,
            required=required,
            events=events,
            ready=ready,
        )
        await asyncio.sleep(0.2)
        return last


class Worker:
    """What a worker process has, but for Celery."""

    def __init__(self, connection: Connection, settings: Settings, *, store: type[JobStore] = JobStore) -> None:
        self.connection = connection
        self.store, self.outbox = store(connection, settings), Outbox(connection, settings)
        self.leases, self.hints = Leases(self.store, settings.lease_s), Hints()
        policy = AddressPolicy((ip_network("127.0.0.0/8"),))
        self.deliverer = Deliverer(
            self.outbox, {"http": HttpSender(policy, Destinations(Settings(webhook_secret=SECRET)), ATTEMPT_S)}
        )
        router = Router(Targets(Services(settings), {}, Calm(), Calm()))
        self.answering = Answering(PROMPTS, router, settings.timeouts, Images(AddressPolicy.of(settings)))
        self.budgets = TokenBudgets(connection)
        self.runner = Runner(
            settings,
            self.store,
            self.leases,
            self.answering,
            self.deliverer,
            self.hints,
            self.budgets,
            Recordings(connection),
            Prices(settings.targets),
        )

    async def accept(self, script: str, *, url: str = "", events: Any = None, **fields: Any) -> str:
        """A job for the fake model with that script, called back at `url`; its id."""
        callback = Callback(url=url, **({"events": events} if events else {})) if url else None
        raw = msgspec.Raw(b'{"prompt":"x"}')
        return (await accepted(self.store, input=raw, targets=(f"fake/{script}",), callback=callback, **fields)).id

    async def job(self, job_id: str) -> dict[str, Any]:
        """The job as callers see it."""
        found: dict[str, Any] = msgspec.json.decode(await self.store.get(job_id))
        return found

    async def until_running(self, job_id: str) -> None:
        """Waits until the run has begun."""

        async def running() -> bool:
            return (await self.store.state(job_id)).status == "running"

        await until(running)


@pytest.fixture
async def worker(connection: Connection, settings: Settings) -> AsyncIterator[Worker]:
    made = Worker(connection, settings)
    yield made
    await made.deliverer.aclose(limit_s=5)


@contextlib.asynccontextmanager
async def keeping(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Looks after the leases, quickly, while the block runs."""
    monkeypatch.setattr(leases_module, "CHECK_S", 0.01)
    task = asyncio.create_task(worker.leases.keep())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def spent(worker: Worker, key: str) -> int:
    """The tokens that the key has spent today."""
    return await worker.budgets.spend(key.split("_")[1], "none", 0, Usage(), at_ms=now_ms())


async def test_what_jobs_used_is_counted_for_the_key_that_owns_them(worker: Worker, connection: Connection) -> None:
    """Those that fail with an answer too, and each attempt once."""
    keys = AccessKeys(connection, KEY_SECRET)
    mine, others = [await keys.create("x", tokens_per_day=10_000) for _ in range(2)]
    first = await worker.accept("x?text=one+two", owner=mine.split("_")[1])
    await worker.runner.run(first)
    usage = (await worker.job(first))["usage"]
    cost = usage["input_tokens"] + usage["output_tokens"]
    assert cost > 0
    assert await spent(worker, mine) == cost

    failing = await worker.accept("x?text=one+two&finish=length", owner=mine.split("_")[1])
    await worker.runner.run(failing)
    await worker.runner.run(failing)
    assert (await worker.job(failing))["status"] == "failed"
    assert await spent(worker, mine) == 2 * cost
    assert await spent(worker, others) == 0


async def test_a_job_runs_ends_and_is_called_back_at_once(worker: Worker, callback_inbox: CallbackInbox) -> None:
    job_id = await worker.accept("x?text=" + quote_plus("안녕 하세요"), url=callback_inbox.url)
    await worker.runner.run(job_id)
    job = await worker.job(job_id)
    assert (job["status"], job["output"], job["error"], job["attempt"]) == (
        "succeeded",
        {"text": "안녕 하세요"},
        None,
        1,
    )
    assert job["usage"]["output_tokens"] == 2
    log = await names(worker.connection, job_id)
    assert (log[0], log[-1]) == ("job.started", "job.succeeded")
    (callback,) = await callback_inbox.wait_for(1)
    assert callback.json["data"] == job
    assert callback.headers["ringback-sequence"] == str(len(log))
    await worker.deliverer.aclose(limit_s=5)
    assert [d.status for d in await worker.outbox.of_job(job_id)] == ["delivered"]


async def test_the_start_is_called_back_where_that_was_asked_for(worker: Worker, callback_inbox: CallbackInbox) -> None:
    events = (JobEvent.STARTED, JobEvent.SUCCEEDED)
    job_id = await worker.accept("x?text=a&first_ms=50", url=callback_inbox.url, events=events)
    await worker.runner.run(job_id)
    callbacks = {callback.type: callback for callback in await callback_inbox.wait_for(2)}
    assert callbacks.keys() == set(events)
    started = callbacks["job.started"]
    assert (started.json["data"]["status"], started.headers["ringback-sequence"]) == ("running", "1")
    assert started.json["data"]["started_at"] is not None
    assert len(callback_inbox.by_id()) == 2


async def test_nothing_to_do_is_nothing_done(worker: Worker) -> None:
    held = await running(worker.store)
    before = await worker.store.state(held.spec.id)
    await worker.runner.run(held.spec.id)
    assert await worker.store.state(held.spec.id) == before


@pytest.mark.parametrize(
    ("script", "code", "provider", "retryable"),
    [
        ("x?fail=authentication_failed", "provider_authentication_failed", "fake", False),
        ("x?fail=overloaded&retry_after=3600", "provider_overloaded", "fake", True),
        ("x?text=a&finish=length", "output_truncated", None, False),
        ("x?nonsense=1", "provider_bad_request", "fake", False),
    ],
)
async def test_a_failure_is_told_as_it_is(
    worker: Worker, script: str, code: str, provider: str | None, retryable: bool
) -> None:
    job_id = await worker.accept(script)
    await worker.runner.run(job_id)
    job = await worker.job(job_id)
    assert (job["status"], job["error"]["code"]) == ("failed", code)
    assert (job["error"]["provider"], job["error"]["retryable"]) == (provider, retryable)
    assert (await names(worker.connection, job_id))[-1] == "job.failed"


async def test_a_job_may_take_only_so_long(worker: Worker) -> None:
    job_id = await worker.accept("x?text=a+b+c&delta_ms=60000", deadline=Deadline(total_s=0.1))
    await asyncio.wait_for(worker.runner.run(job_id), 10)
    job = await worker.job(job_id)
    assert (job["status"], job["error"]["code"]) == ("failed", "deadline_exceeded")
    assert "0.1 s" in job["error"]["message"]


async def test_a_bug_fails_the_job_once_and_tells_nothing_of_itself(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: Any) -> None:
        raise ZeroDivisionError("secret content")

    monkeypatch.setattr(worker.answering, "run", crash)
    job_id = await worker.accept("x")
    await worker.runner.run(job_id)
    job = await worker.job(job_id)
    assert (job["status"], job["error"]["code"], job["attempt"]) == ("failed", "internal_error", 1)
    assert "secret" not in job["error"]["message"]


@pytest.mark.parametrize(
    ("verdict", "status", "code"),
    [
        ("expired", "expired", "start_deadline_exceeded"),
        ("exhausted", "failed", "attempts_exhausted"),
        ("cancelled", "cancelled", None),
    ],
)
async def test_a_job_that_must_not_run_ends_and_is_called_back(
    connection: Connection,
    settings: Settings,
    callback_inbox: CallbackInbox,
    verdict: str,
    status: str,
    code: str | None,
) -> None:
    worker = Worker(connection, msgspec.structs.replace(settings, max_attempts=1))
    past = {"at_ms": now_ms() - 2000, "deadline": Deadline(start_s=1)} if verdict == "expired" else {}
    job_id = await worker.accept("x", url=callback_inbox.url, **past)
    if verdict == "exhausted":
        await claimed(worker.store, job_id)
        await lapse(connection, job_id)
    if verdict == "cancelled":
        await worker.store.request_cancel(job_id)
    await worker.runner.run(job_id)
    job = await worker.job(job_id)
    assert (job["status"], job["error"] and job["error"]["code"]) == (status, code)
    assert (await callback_inbox.wait_for(1))[0].type == f"job.{status}"
    await worker.deliverer.aclose(limit_s=5)


async def test_a_cancelled_run_ends_as_cancelled(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await worker.accept("x?text=a+b&delta_ms=60000")
    async with keeping(worker, monkeypatch):
        run = asyncio.create_task(worker.runner.run(job_id))
        await worker.until_running(job_id)
        await worker.store.request_cancel(job_id)
        await asyncio.wait_for(run, 10)
    assert (await worker.job(job_id))["status"] == "cancelled"
    assert (await names(worker.connection, job_id))[-1] == "job.cancelled"


async def test_a_run_that_lost_its_job_changes_nothing(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await worker.accept("x?text=a+b&delta_ms=60000")
    async with keeping(worker, monkeypatch):
        run = asyncio.create_task(worker.runner.run(job_id))
        await worker.until_running(job_id)
        await lapse(worker.connection, job_id)
        later = await claimed(worker.store, job_id)
        await asyncio.wait_for(run, 10)
    state = await worker.store.state(job_id)
    assert (state.status, state.fence, state.last_event) == ("running", later.fence, later.last_event)


async def test_a_drained_run_is_handed_back_with_a_hint(worker: Worker) -> None:
    job_id = await worker.accept("x?text=a+b&delta_ms=60000", priority="high")
    run = asyncio.create_task(worker.runner.run(job_id))
    await worker.until_running(job_id)
    await asyncio.wait_for(worker.leases.drain(0.05), 10)
    await asyncio.wait_for(run, 10)
    assert (await worker.store.state(job_id)).status == "queued"
    assert worker.hints.sent == [(job_id, "high")]
    claim = await claimed(worker.store, job_id)
    assert claim.verdict == "run"


async def test_looking_after_the_lease_does_not_disturb_the_end(
    connection: Connection,
    settings: Settings,
    callback_inbox: CallbackInbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The store holds the end, the run has not heard so yet, and the check of its lease finds the job over."""
    worker = Worker(connection, settings, store=SlowToHear)
    job_id = await worker.accept("x?text=a", url=callback_inbox.url)
    async with keeping(worker, monkeypatch):
        await worker.runner.run(job_id)
        assert (await worker.job(job_id))["status"] == "succeeded"
        (callback,) = await callback_inbox.wait_for(1, timeout=5)
    assert callback.type == "job.succeeded"
    await worker.deliverer.aclose(limit_s=5)


async def test_the_end_outlasts_an_outage(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was worked out is not lost to a store that cannot be reached for a while."""
    refusals = iter([errors.StoreUnavailable(), errors.StoreUnavailable(), errors.StoreUnavailable()])
    really = worker.connection.run

    async def run(script: str, key: str, *args: str | bytes | int) -> Any:
        if script in ("end", "append") and (refusal := next(refusals, None)):
            raise refusal
        return await really(script, key, *args)

    monkeypatch.setattr(worker.connection, "run", run)
    job_id = await worker.accept("x?text=a")
    await asyncio.wait_for(worker.runner.run(job_id), 20)
    assert (await worker.job(job_id))["status"] == "succeeded"
    assert next(refusals, None) is None
