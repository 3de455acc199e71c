"""Jobs in a storm: workers, gateways and the store are killed, stopped, frozen and cut off; nothing is lost or doubled.

Short by default; `make chaos` makes it long. `CHAOS_SEED` and the others of `Plan.from_environment` shape it.
"""

import asyncio
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jobs.job import TERMINAL, JobEvent
from ringback.testing.inbox import CallbackInbox
from ringback.testing.script import Script
from ringback.testing.vendors.server import VendorServer
from tests.chaos.client import Client, Told
from tests.chaos.faults import Plan
from tests.chaos.ledger import Books, Ledger, recoveries
from tests.chaos.storm import Storm, gathered
from tests.stack import Stack

ANSWERS = {
    "short": Script(deltas=tuple(f"{n} " for n in range(5)), delta_s=0.05),
    "middle": Script(deltas=tuple(f"{n} " for n in range(10)), delta_s=0.2),
    "long": Script(deltas=tuple(f"{n} " for n in range(20)), delta_s=0.4),
}
SETTLES_S = 400.0
"""After the storm; a callback that failed twice is tried again after five minutes."""


@pytest.fixture
def plan() -> Plan:
    return Plan.from_environment()


@pytest.fixture
def stack(tmp_path: Path, plan: Plan, vendor_server: VendorServer) -> Iterator[Stack]:
    env = {"RINGBACK_LEASE_S": f"{plan.lease_s:g}", "RINGBACK_DRAIN_S": "2", "RINGBACK_PROVIDERS": "openai"}
    stack = Stack(tmp_path, {**vendor_server.environment(), **env})
    yield stack
    stack.close()


class Crowd:
    """The clients."""

    def __init__(self, storm: Storm, session: aiohttp.ClientSession) -> None:
        self.told = [Told(n) for n in range(storm.plan.jobs)]
        self.texts: dict[int, str] = {}
        self._storm = storm
        self._session = session

    async def come(self) -> None:
        """One after the other while the storm lasts; returns when each knows what it came for."""
        async with asyncio.TaskGroup() as clients:
            for told in self.told:
                clients.create_task(self._one(told))
                await asyncio.sleep(self._storm.plan.seconds / self._storm.plan.jobs)

    async def _one(self, told: Told) -> None:
        seed = f"{self._storm.plan.seed} {told.number}"
        rng = random.Random(seed)
        model = rng.choice(list(ANSWERS))
        self.texts[told.number] = ANSWERS[model].text
        events = [event for event in JobEvent if event is not JobEvent.STARTED or rng.random() < 0.25]
        body: dict[str, Any] = {
            "type": "generate",
            "input": {"prompt": f"#{told.number}#"},
            "model": f"openai/{model}",
            "callback": {"url": f"{self._storm.inbox_url}/{told.number}", "events": events},
            "metadata": {"number": told.number},
            "priority": rng.choice(("high", "normal", "low")),
        }
        client = Client(self._session, [gateway.url for gateway in self._storm.gateways], seed)
        await client.submit(told, body, f"storm {seed}")
        if told.complaints:
            return
        async with asyncio.TaskGroup() as later:
            if rng.random() < 0.4:
                later.create_task(client.follow(told))
            if rng.random() < 0.05:
                await asyncio.sleep(rng.uniform(0.0, 2.0))
                await client.cancel(told)


async def settled(condition: Callable[[], bool]) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + SETTLES_S
    while not await asyncio.to_thread(condition):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.2)
    return True


async def test_a_storm_loses_and_doubles_nothing(
    plan: Plan, stack: Stack, vendor_server: VendorServer, callback_inbox: CallbackInbox
) -> None:
    print(f"\n{plan}")
    for model, script in ANSWERS.items():
        vendor_server.script(script, model=model)
    books = Books(stack.store_spec.url)
    async with gathered(plan, stack, vendor_server, callback_inbox) as storm, aiohttp.ClientSession() as session:
        crowd = Crowd(storm, session)
        async with asyncio.TaskGroup() as group:
            raging = group.create_task(storm.rage())
            coming = group.create_task(crowd.come())
            await raging
            async with asyncio.timeout(SETTLES_S):
                await coming
        ids = [told.job_id for told in crowd.told if told.ids]
        await settled(lambda: set(books.statuses(ids)) <= TERMINAL)
        storm.say("every job has ended")
        await settled(lambda: books.undelivered() == 0)
        storm.say("every callback is settled")
        ledger = Ledger(crowd.told, books, callback_inbox, crowd.texts)
    killed = recoveries(storm.losses, vendor_server.received, signal.SIGKILL)
    stopped = recoveries(storm.losses, vendor_server.received, signal.SIGTERM)
    print(
        f"{len(ids)} jobs {dict(ledger.statuses)}, by attempts {dict(sorted(ledger.attempts.items()))}; "
        f"{sum(told.requests for told in crowd.told)} submissions, "
        f"{sum(bool(told.events) for told in crowd.told)} followers opened "
        f"{sum(told.streams for told in crowd.told)} streams; "
        f"{len(callback_inbox.received)} callbacks received under {len(callback_inbox.by_id())} ids\n"
        f"taken over from killed workers: {len(killed)}, slowest {killed[-1:]}; "
        f"from stopped ones: {len(stopped)}, slowest {stopped[-1:]} after SIGTERM (drain 2 s)\n"
        f"{len(ledger.differences)} differences"
    )
    assert not ledger.differences, f"seed {plan.seed}:\n" + "\n".join(ledger.differences)
