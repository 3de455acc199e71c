"""The storm: a store, gateways and workers, each behind lines that can be cut, and the faults that befall them."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import aiohttp

from ringback.testing.inbox import CallbackInbox
from ringback.testing.vendors.server import VendorServer
from tests.chaos.faults import Fault, Plan, drawn
from tests.chaos.proxy import CLEAR, FaultProxy
from tests.stack import Process, Stack, free_port

INBOX_RESTS_S = 10.0
"""After the inbox was cut off, it is reachable for so long: an attempt that failed is made again within it."""


class Member:
    """A gateway or a worker, which is started again whenever it was ended. It has a line of its own to the store."""

    def __init__(self, stack: Stack, role: Literal["gateway", "worker"], number: int, line: FaultProxy) -> None:
        self.role = role
        self.line = line
        self.busy = asyncio.Lock()
        """Held while something is done to it: one thing at a time."""
        self.generation = 0
        self._number = number
        self._stack = stack
        self._port = free_port() if role == "gateway" else 0
        self.process = self._begun()

    @property
    def url(self) -> str:
        """A gateway's; it stays the same."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def key(self) -> str:
        """What this process, of all that take this place, sends to vendors as its API key."""
        return f"sk-{self._number}-{self.generation}"

    def _begun(self) -> Process:
        env = {
            **self._stack.env,
            "RINGBACK_REDIS_URL": f"redis://127.0.0.1:{self.line.port}/0",
            "RINGBACK_PORT": str(self._port),
            "OPENAI_API_KEY": self.key,
        }
        argv = [sys.executable, "-m", "ringback", self.role]
        process = Process(argv, env, self._stack.home / f"{self.role}-{self._number}.log")
        self._stack.processes.append(process)
        return process

    async def end(self, number: int) -> None:
        """Sends the signal and waits for the end."""
        await asyncio.to_thread(self.process.stop, number)

    async def begin(self) -> None:
        """Starts it again; a gateway answers then."""
        self.generation += 1
        self.process = self._begun()
        await self.answers()

    async def answers(self) -> None:
        """Returns once a gateway answers. Raises `TimeoutError` after 60 seconds."""
        if self.role == "worker":
            return
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while True:
                assert self.process.exit_code is None, self.process.log.read_text()
                try:
                    async with session.get(f"{self.url}/health/live") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)


class Loss:
    """A worker that was ended while it ran jobs."""

    def __init__(self, key: str, at: float, number: int) -> None:
        """`key` is the worker's, `at` the monotonic time, `number` the signal's."""
        self.key = key
        self.at = at
        self.number = number


class Storm:
    """Everything in it; made by `gathered`."""

    def __init__(self, plan: Plan, stack: Stack, lines: dict[str, FaultProxy]) -> None:
        self.plan = plan
        self.stack = stack
        self.inbox_url = f"http://127.0.0.1:{lines['inbox'].port}"
        self.gateways = [Member(stack, "gateway", n, lines[f"gateway-{n}"]) for n in range(plan.gateways)]
        self.workers = [Member(stack, "worker", n, lines[f"worker-{n}"]) for n in range(plan.workers)]
        self.losses: list[Loss] = []
        self._lines = lines
        self._store_busy, self._vendor_busy, self._inbox_busy = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        self._inbox_again = 0.0
        self._began = time.monotonic()

    def say(self, what: str) -> None:
        """One line of the storm's log."""
        print(f"{time.monotonic() - self._began:7.1f} s  {what}", flush=True)

    async def rage(self) -> None:
        """All faults, from first to last; returns when everything is well again."""
        self._began = time.monotonic()
        async with asyncio.TaskGroup() as under_way:
            for fault in drawn(self.plan):
                await asyncio.sleep(max(0.0, self._began + fault.at_s - time.monotonic()))
                under_way.create_task(self._strike(fault))
        self.say("the storm is over")

    async def _strike(self, fault: Fault) -> None:
        what, _, whom = fault.kind.partition("_")
        match whom:
            case "store":
                await self._strike_store(what, fault)
            case "vendor":
                await self._cut(self._lines["vendor"], self._vendor_busy, fault)
            case "inbox":
                await self._cut_inbox(fault)
            case _:
                member = (self.gateways if whom == "gateway" else self.workers)[fault.which]
                if what == "cut":
                    await self._cut(member.line, member.busy, fault)
                else:
                    await self._strike_member(member, what, fault)

    async def _strike_store(self, what: str, fault: Fault) -> None:
        async with self._store_busy:
            self.say(str(fault))
            if what == "pause":
                self.stack.store.send(signal.SIGSTOP)
                await asyncio.sleep(fault.seconds)
                self.stack.store.send(signal.SIGCONT)
            else:
                await asyncio.to_thread(self.stack.kill_store)
                await asyncio.sleep(fault.seconds)
                await asyncio.to_thread(self.stack.restart_store)

    async def _strike_member(self, member: Member, what: str, fault: Fault) -> None:
        async with member.busy:
            self.say(str(fault))
            if what == "pause":
                member.process.send(signal.SIGSTOP)
                await asyncio.sleep(fault.seconds)
                member.process.send(signal.SIGCONT)
                return
            number = signal.SIGKILL if what == "kill" else signal.SIGTERM
            if member.role == "worker":
                self.losses.append(Loss(member.key, time.monotonic(), number))
            await member.end(number)
            await asyncio.sleep(fault.seconds)
            await member.begin()

    async def _cut(self, line: FaultProxy, busy: asyncio.Lock, fault: Fault) -> None:
        async with busy:
            self.say(str(fault))
            line.set(fault.weather)
            await asyncio.sleep(fault.seconds)
            line.set(CLEAR)

    async def _cut_inbox(self, fault: Fault) -> None:
        await asyncio.sleep(max(0.0, self._inbox_again - time.monotonic()))
        self._inbox_again = time.monotonic() + fault.seconds + INBOX_RESTS_S
        await self._cut(self._lines["inbox"], self._inbox_busy, fault)


@asynccontextmanager
async def gathered(plan: Plan, stack: Stack, vendors: VendorServer, inbox: CallbackInbox) -> AsyncIterator[Storm]:
    """A storm about to break; its gateways answer, its workers are starting."""
    store = "unix:" + stack.store_spec.url.removeprefix("unix://")
    targets = {"vendor": vendors.url.removeprefix("http://"), "inbox": inbox.url.removeprefix("http://")}
    targets |= {f"gateway-{n}": store for n in range(plan.gateways)}
    targets |= {f"worker-{n}": store for n in range(plan.workers)}
    lines = {name: FaultProxy(target) for name, target in targets.items()}
    try:
        for line in lines.values():
            await line.__aenter__()
        stack.env |= {"OPENAI_BASE_URL": f"http://127.0.0.1:{lines['vendor'].port}/v1"}
        storm = Storm(plan, stack, lines)
        for gateway in storm.gateways:
            await gateway.answers()
        yield storm
    finally:
        await asyncio.to_thread(stack.close)
        for line in lines.values():
            if line.port:
                await line.__aexit__(None, None, None)
