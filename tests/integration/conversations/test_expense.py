"""What refining a memory uses is counted for the session's API key, exactly once, whatever becomes of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from conversations.memory.refinement import Memory
from jobs import errors
from jobs.model import Usage
from jobs.routes import Price, Target
from jobs.session import MemorySettings, SessionSpec
from jobs.settings import Settings, Timeouts
from jobs.store.access_keys import AccessKeys, TokenBudgets
from jobs.store.connection import Connection
from jobs.store.history import RedisArchive
from jobs.store.jobs import JobStore
from jobs.store.sessions import Sessions
from jobs.store.usage import UsageItem, UsageTotals
from providers.prices import Prices
from providers.registry import Services
from providers.routing.router import Router
from providers.routing.target import Targets
from tests.integration.store.conversation import opened, said
from tests.integration.store.sample import until
from tests.stack import KEY_SECRET
from tests.unit.providers.routing.room import Calm
from workers.turns import refinement
from workers.turns.refinement import Refinements

SMALL = MemorySettings(max_messages=4, token_limit=2_000, keep=2)
USED = "fake/x?text=nothing&input_tokens=1000&output_tokens=50"
PRICES = {USED: Target(price=Price(input=2.0, output=10.0))}
COST = 0.0025
"""Of one call: (1000 × 2 + 50 × 10) millionths."""


class Forgetful(UsageTotals):
    """Its answers get lost: what was counted is said not to be, so often."""

    lost = 0

    async def count(self, *args: Any, **fields: Any) -> None:
        await super().count(*args, **fields)
        if self.lost:
            self.lost -= 1
            raise errors.StoreUnavailable


class Room:
    """A worker's refinements, and the sums that they are counted in."""

    def __init__(self, connection: Connection, settings: Settings, archive: RedisArchive) -> None:
        self.connection = connection
        self.sessions = Sessions(connection, settings)
        self.store = JobStore(connection, settings)
        self.totals = Forgetful(connection, settings)
        self.budgets = TokenBudgets(connection)
        router = Router(Targets(Services(settings), {}, Calm(), Calm()))
        self.refinements = Refinements(
            Memory(self.sessions, archive), router, Timeouts(), Prices(PRICES), self.totals, self.budgets
        )

    async def key(self, tokens_per_day: int) -> str:
        """The id of a new API key with that budget."""
        keys = AccessKeys(self.connection, KEY_SECRET)
        return (await keys.admit(await keys.create("mobile", tokens_per_day=tokens_per_day))).id

    async def due(self, owner: str) -> SessionSpec:
        """A session of that key whose memory is to be refined."""
        session = await opened(self.sessions, memory=SMALL, owner=owner)
        for text in ("제 이름은 김하늘이에요", "둘", "셋"):
            await said(self.store, self.sessions, session, text, f"네, {text}")
        return session

    async def items(self) -> list[UsageItem]:
        """What was used today, by key and model; the turns themselves, which asked nobody, are left out."""
        today = datetime.now(UTC).date()
        found = (await self.totals.report(today, today, group_by=("key", "model"))).items
        return [item for item in found if item.calls]

    async def spent(self, owner: str) -> int:
        """Tokens of the key's budget that are gone today."""
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        return await self.budgets.spend(owner, "only to read", 1, Usage(), at_ms=now_ms)

    async def until_over(self) -> None:
        """Waits until nothing is being refined."""

        async def over() -> bool:
            return not self.refinements._under_way

        await until(over)


@pytest.fixture
async def room(connection: Connection, settings: Settings, archive: RedisArchive) -> AsyncIterator[Room]:
    made = Room(connection, settings, archive)
    yield made
    await made.refinements.aclose(limit_s=5)


async def test_a_refinement_counts_for_the_key_and_its_budget(room: Room) -> None:
    owner = await room.key(tokens_per_day=1)
    session = await room.due(owner)
    room.refinements.begin(session, (USED,))
    await room.until_over()
    (item,) = await room.items()
    assert (item.key, item.model, item.jobs, item.failed_calls) == (owner, USED, 0, 0)
    assert item.calls >= 1
    assert (item.input_tokens, item.output_tokens) == (1000 * item.calls, 50 * item.calls)
    assert item.cost.complete
    assert item.cost.usd == pytest.approx(COST * item.calls)
    assert await room.spent(owner) == 1050 * item.calls
    assert (await room.sessions.recall(session.id)).version == 1

    # The budget is long gone, and still the memory is kept small.
    again = await room.due(owner)
    room.refinements.begin(again, (USED,))
    await room.until_over()
    assert (await room.sessions.recall(again.id)).version == 1
    assert await room.spent(owner) == 2 * 1050 * item.calls


async def test_it_counts_once_though_the_store_s_answer_gets_lost(room: Room) -> None:
    owner = await room.key(tokens_per_day=10)
    room.refinements.begin(await room.due(owner), (USED,))
    await room.until_over()
    once, spent = await room.items(), await room.spent(owner)
    await room.connection.redis.flushall()
    owner = await room.key(tokens_per_day=10)
    room.totals.lost = 3
    room.refinements.begin(await room.due(owner), (USED,))
    await room.until_over()
    assert room.totals.lost == 0
    assert [(item.calls, item.cost) for item in await room.items()] == [(item.calls, item.cost) for item in once]
    assert await room.spent(owner) == spent


async def test_what_a_failing_model_used_counts_too(room: Room) -> None:
    broken = "fake/x?text=one+two+three&input_tokens=1000&fail=cut&after=2"
    session = await room.due("key")
    room.refinements.begin(session, (broken, USED))
    await room.until_over()
    by_model = {item.model: item for item in await room.items()}
    assert by_model[broken].failed_calls == by_model[broken].calls >= 1
    assert by_model[USED].calls >= 1


async def test_a_refinement_that_is_not_due_counts_nothing(room: Room) -> None:
    session = await opened(room.sessions, memory=SMALL, owner="key")
    room.refinements.begin(session, (USED,))
    await room.until_over()
    assert await room.items() == []


@pytest.mark.parametrize("store", ["there", "away"])
async def test_a_stopping_worker_counts_what_it_gives_up(
    room: Room, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = "fake/x?text=one+two+three&delta_ms=60000"
    session = await room.due("key")
    asked: list[object] = []
    answer: Callable[..., Any] = Router.answer

    def noted(self: Router, question: Any, record: Any) -> Any:
        asked.append(question)
        return answer(self, question, record)

    monkeypatch.setattr(Router, "answer", noted)
    room.refinements.begin(session, (endless,))
    async with asyncio.timeout(10):
        while not asked:  # noqa: ASYNC110 - what is awaited happens in another task
            await asyncio.sleep(0.005)
    if store == "away":
        monkeypatch.setattr(refinement, "COUNT_S", 0.1)
        room.totals.lost = 10**9
    async with asyncio.timeout(10):
        await room.refinements.aclose(limit_s=0.1)
    (item,) = await room.items()
    assert (item.key, item.model, item.calls, item.failed_calls) == ("key", endless, 1, 0)
