"""What jobs used is summed up by day, key and model, exactly once for each job; handed-back jobs keep their calls."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from jobs import errors
from jobs.job import Job
from jobs.model import Cost, ModelCall, Usage
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.jobs import Claim, JobStore
from jobs.store.usage import Group, UsageTotals
from tests.integration.store.sample import TARGETS, claimed, ended, lapse, running, seconds_left, token

DAY = date(2026, 11, 20)
ONE, TWO = TARGETS
SPENT = Usage(input_tokens=100, output_tokens=20, cached_tokens=60, reasoning_tokens=5)
ANSWERED = ModelCall(model=ONE, outcome="answered", usage=SPENT, cost_usd=0.25, first_token_s=0.5, duration_s=2.0)
FAILED = ModelCall(model=TWO, outcome="failed", error="overloaded", usage=Usage(input_tokens=7), estimated=True)


@pytest.fixture
def totals(connection: Connection, settings: Settings) -> UsageTotals:
    """The sums."""
    return UsageTotals(connection, settings)


def over(claim: Claim, *calls: ModelCall, day: date = DAY, **fields: Any) -> Job:
    """The job of that claim, ended at the last moment of that day after these calls."""
    last = datetime(day.year, day.month, day.day, 23, 59, 59, 999_000, tzinfo=UTC)
    return claim.view("succeeded", ended_ms=round(last.timestamp() * 1000), calls=calls, **fields)


async def items(totals: UsageTotals, *group_by: Group, days: int = 1, **fields: Any) -> list[dict[str, Any]]:
    """The items of a report over so many days up to `DAY`."""
    report = await totals.report(DAY - timedelta(days=days - 1), DAY, group_by=group_by, **fields)
    found: list[dict[str, Any]] = msgspec.to_builtins(report)["items"]
    return found


async def test_a_job_counts_with_all_its_calls(store: JobStore, totals: UsageTotals) -> None:
    claim = await running(store)
    await store.end(claim.fence, over(claim, FAILED, ANSWERED, ANSWERED))
    report = await totals.report(DAY, DAY, group_by=("day",))
    (item,) = report.items
    assert (item.day, item.key, item.model) == (DAY, msgspec.UNSET, msgspec.UNSET)
    for sums in (item, report.total):
        assert (sums.jobs, sums.calls, sums.failed_calls) == (1, 3, 1)
        assert (sums.input_tokens, sums.output_tokens) == (207, 40)
        assert (sums.cached_tokens, sums.reasoning_tokens) == (120, 10)
        assert sums.cost == Cost(usd=0.5, complete=False)


async def test_the_same_end_twice_counts_once(store: JobStore, totals: UsageTotals) -> None:
    claim = await running(store)
    job = over(claim, ANSWERED)
    for _ in range(3):
        await store.end(claim.fence, job)
    other = claim.view("failed", ended_ms=1, calls=(ANSWERED,))
    with pytest.raises(errors.JobAlreadyEnded):
        await store.end(claim.fence, other)
    ((item),) = await items(totals, "day")
    assert (item["jobs"], item["calls"], item["cost"]["usd"]) == (1, 1, 0.25)


async def test_an_end_that_is_refused_counts_nothing(
    store: JobStore, totals: UsageTotals, connection: Connection
) -> None:
    first = await running(store)
    await lapse(connection, first.spec.id)
    second = await claimed(store, first.spec.id)
    with pytest.raises(errors.StaleFence):
        await store.end(first.fence, over(first, ANSWERED, ANSWERED))
    with pytest.raises(errors.StaleFence):
        await store.end(second.fence, over(second, ANSWERED), required="queued")
    assert await items(totals, "day") == []
    await store.end(second.fence, over(second, ANSWERED))
    assert [item["calls"] for item in await items(totals, "day")] == [1]


async def test_many_ends_at_once_all_count(store: JobStore, totals: UsageTotals) -> None:
    claims = [await running(store, shard % 16, owner=f"key{shard % 3}") for shard in range(60)]
    await asyncio.gather(*(store.end(claim.fence, over(claim, ANSWERED)) for claim in claims for _ in range(2)))
    assert [(item["key"], item["jobs"]) for item in await items(totals, "key")] == [
        (f"key{number}", 20) for number in range(3)
    ]
    report = await totals.report(DAY, DAY, group_by=())
    assert (report.total.jobs, report.total.input_tokens, report.total.cost.usd) == (60, 6_000, 15.0)
    assert [item.jobs for item in report.items] == [60]


async def test_days_keys_and_models_are_told_apart(store: JobStore, totals: UsageTotals) -> None:
    for number, (day, owner, calls) in enumerate(
        [
            (DAY, "orders", (ANSWERED,)),
            (DAY, "orders", (FAILED, ANSWERED)),
            (DAY - timedelta(days=1), "orders", (ANSWERED,)),
            (DAY, "billing", (ANSWERED,)),
            (DAY, "", ()),
            (DAY + timedelta(days=1), "orders", (ANSWERED,)),
        ]
    ):
        claim = await running(store, number, owner=owner)
        await store.end(claim.fence, over(claim, *calls, day=day))

    def told(found: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
        return [tuple(item[name] for name in (*names, "jobs", "calls")) for item in found]

    before = (DAY - timedelta(days=1)).isoformat()
    assert told(await items(totals, "day", days=2), "day") == [(before, 1, 1), (DAY.isoformat(), 4, 4)]
    assert told(await items(totals, "key", days=2), "key") == [(None, 1, 0), ("billing", 1, 1), ("orders", 3, 4)]
    assert told(await items(totals, "model", days=2), "model") == [(ONE, 5, 4), (TWO, 0, 1)]
    assert told(await items(totals, "model", "day", days=2, owner="orders"), "day", "model") == [
        (before, ONE, 1, 1),
        (DAY.isoformat(), ONE, 2, 2),
        (DAY.isoformat(), TWO, 0, 1),
    ]
    assert told(await items(totals, "key", owner="billing"), "key") == [("billing", 1, 1)]
    assert await items(totals, "day", "key", "model", owner="nobody") == []
    nothing = await totals.report(DAY, DAY, group_by=("day",), owner="nobody")
    assert nothing.total.cost == Cost(usd=0.0, complete=True)


async def test_sums_stay_exact_when_they_are_large(store: JobStore, totals: UsageTotals) -> None:
    """Up to millions of dollars and quadrillions of tokens for one key, model, shard and day."""
    usage = Usage(input_tokens=3_000_000_000_000_001, output_tokens=1)
    for _ in range(2):
        claim = await running(store)
        call = ModelCall(model=ONE, outcome="answered", usage=usage, cost_usd=2_000_000.000000001)
        await store.end(claim.fence, over(claim, call))
    (item,) = await items(totals, "model")
    assert (item["input_tokens"], item["cost"]["usd"]) == (6_000_000_000_000_002, 4_000_000.000000002)


async def test_a_day_has_only_so_many_rows(store: JobStore, totals: UsageTotals, connection: Connection) -> None:
    """Callers can name any model: they must not fill the store with it."""
    key = keys.usage(0, DAY.isoformat())
    await connection.redis.hset(key, mapping={f"key|fake/{number}": "1 0 0 0 0 0 0 0 0" for number in range(4_096)})
    for model in ("fake/new|one", "fake/newer", "fake/7"):
        claim = await running(store, owner="key", targets=(model,))
        await store.end(claim.fence, over(claim, msgspec.structs.replace(ANSWERED, model=model)))
    found = {item["model"]: item["jobs"] for item in await items(totals, "model")}
    assert (found["other"], found["fake/7"], len(found)) == (2, 2, 4_097)


async def test_a_day_is_kept_for_as_long_as_set(
    settings: Settings, connection: Connection, totals: UsageTotals
) -> None:
    store = JobStore(connection, msgspec.structs.replace(settings, usage_retention_s=100.0))
    for _ in range(2):
        claim = await running(store)
        await store.end(claim.fence, over(claim, ANSWERED, FAILED))
    left = await seconds_left(connection, keys.usage(0, DAY.isoformat()))
    assert left is not None
    assert 90 < left <= 100


async def test_a_model_may_have_any_name(store: JobStore, totals: UsageTotals) -> None:
    name = "openai/내 모델|v2:0 (β)"
    claim = await running(store, targets=(name,))
    await store.end(claim.fence, over(claim, msgspec.structs.replace(ANSWERED, model=name)))
    assert [item["model"] for item in await items(totals, "model")] == [name]


async def test_a_job_handed_back_keeps_its_calls(store: JobStore, connection: Connection) -> None:
    first = await running(store)
    assert first.calls == ()
    for _ in range(2):
        await store.release(first, (FAILED, ANSWERED))
    mine = token()
    second = await store.claim(first.spec.id, mine)
    assert second is not None
    assert second.calls == (FAILED, ANSWERED)
    assert await store.claim(first.spec.id, mine) == msgspec.structs.replace(second, next_id="")
    await store.release(second)  # it made no more calls
    third = await claimed(store, first.spec.id)
    assert third.calls == (FAILED, ANSWERED)
    # The third one's worker is killed: its own calls are lost, those before it are not.
    await lapse(connection, first.spec.id)
    fourth = await claimed(store, first.spec.id)
    assert fourth.calls == (FAILED, ANSWERED)
    await store.end(fourth.fence, ended(fourth, calls=fourth.calls))
    assert not await connection.redis.hexists(keys.job(first.spec.id), "calls")


@pytest.mark.parametrize("verdict", ["cancelled", "exhausted"])
async def test_a_job_that_is_only_to_be_ended_comes_with_its_calls(
    store: JobStore, connection: Connection, settings: Settings, verdict: str
) -> None:
    claim = await running(store)
    await store.release(claim, (ANSWERED,))
    if verdict == "cancelled":
        await store.request_cancel(claim.spec.id)
    else:
        store = JobStore(connection, msgspec.structs.replace(settings, max_attempts=1))
        await claimed(store, claim.spec.id)
        await lapse(connection, claim.spec.id)
    last = await claimed(store, claim.spec.id)
    assert (last.verdict, last.calls) == (verdict, (ANSWERED,))
