"""Appends events to many jobs at a steady rate, as a process of its own: worker to none of them but by its claims.

`jobs.store` makes the first append of each job; the command that it sends is recorded, and sent again and again with
another event, without waiting for replies, which are checked as they come. As a worker does under load, what is due
within 4 ms goes to each shard in one call. 20,000 whole calls a second would cost more than the gateway that they are
to measure.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec

from benchmarks.children import Failed, Parent, serve
from benchmarks.streams import Appended, Told
from jobs import event
from jobs.event import Event
from jobs.job import JobSpec, PromptRef
from jobs.settings import Settings
from jobs.store.appends import TOGETHER_S
from jobs.store.connection import Command, Connection
from jobs.store.jobs import Claim, JobStore

_TICK_S = TOGETHER_S
_AT_ONCE = 200
_STORE_S = 10.0
_NUMBER = 9_999_999
_DATA = b"<data>"


class _Recorder(Connection):
    """A connection that keeps the command instead of sending it."""

    words: Command = ()

    async def _exchange(self, batch: Sequence[Command]) -> list[Any]:
        (self.words,) = batch
        return [[0]]


_HEAD = 4
"""Words of a call before those of its jobs: EVALSHA, the script, how many keys, the key."""


class _Command:
    """The append to one job as the store is sent it, but for the number of the last event and the new one's data."""

    def __init__(self, words: Sequence[str | bytes | int]) -> None:
        """`words` hold `_NUMBER` and `_DATA` in place of those two."""
        number, data = words.index(_NUMBER), words.index(_DATA)
        key = str(words[_HEAD - 1])
        self.shard = key[: key.index("}")]
        self.head = _packed(words[:_HEAD])
        self.words = len(words) - _HEAD
        self._before = _packed(words[_HEAD:number])
        self._between = _packed(words[number + 1 : data])
        self._after = _packed(words[data + 1 :])

    def of(self, number: int, data: bytes) -> bytes:
        digits = b"%d" % number
        words = (len(digits), digits, self._between, len(data), data, self._after)
        return self._before + b"$%d\r\n%b\r\n%b$%d\r\n%b\r\n%b" % words


class _Round:
    """One call for each shard."""

    def __init__(self) -> None:
        self._parts: dict[str, tuple[_Command, list[bytes]]] = {}

    def add(self, command: _Command, number: int, data: bytes) -> None:
        self._parts.setdefault(command.shard, (command, []))[1].append(command.of(number, data))

    def calls(self) -> list[bytes]:
        return [
            b"*%d\r\n%b%b" % (_HEAD + first.words * len(parts), first.head, b"".join(parts))
            for first, parts in self._parts.values()
        ]


def _packed(words: Sequence[str | bytes | int]) -> bytes:
    raw = (word if isinstance(word, bytes) else str(word).encode() for word in words)
    return b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in raw)


class _Pipe(asyncio.Protocol):
    """A connection to the store that is written to without waiting."""

    def __init__(self) -> None:
        self.answered = 0
        self._refused = b""
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # By duck typing only: uvloop's transports are not instances of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        *replies, self._rest = (self._rest + data).split(b"\r\n")
        for reply in replies:
            if reply[:1] == b":" and reply[1:2] != b"-":
                self.answered += 1
            elif reply[:1] != b"*":  # the beginning of one call's replies
                self._refused = self._refused or reply

    def write(self, commands: Iterable[bytes]) -> None:
        """Sends them. Raises `Failed` if the store has refused an earlier one."""
        if self._refused:
            raise Failed(f"the store refused an append: {self._refused.decode(errors='replace')}")
        if self._transport is not None:
            self._transport.write(b"".join(commands))


class _Appender:
    def __init__(self, told: Told) -> None:
        self._told = told
        # The leases must outlast the measurement: nobody renews them.
        settings = Settings(redis_url=told.store_url, lease_s=600.0)
        self._connection = Connection(told.store_url, timeout=_STORE_S)
        self._store = JobStore(self._connection, settings)
        self._settings = settings
        self._claims: list[Claim] = []

    async def open(self) -> list[str]:
        """Accepts the jobs and claims them at once, before any worker hears of them; their ids."""
        for start in range(0, self._told.streams, _AT_ONCE):
            count = min(_AT_ONCE, self._told.streams - start)
            self._claims += await asyncio.gather(*(self._claimed() for _ in range(count)))
        return [claim.spec.id for claim in self._claims]

    async def _claimed(self) -> Claim:
        spec = JobSpec(
            id=self._store.new_id(None),
            type="generate",
            created_ms=int(time.time() * 1000),
            prompt=PromptRef(name="generate", version="1", sha256="0" * 64),
            input=msgspec.Raw(b'{"prompt":"Go on."}'),
            metadata=msgspec.Raw(b"{}"),
            targets=("fake/echo",),
        )
        await self._store.accept(spec)
        claim = await self._store.claim(spec.id, "benchmark")
        if claim is None or claim.verdict != "run":
            raise Failed(f"{spec.id} cannot be claimed")
        # Also makes the store know the script: the pipe only names it.
        last = await self._store.append(claim, [event.text_delta("Now: ")], last_event=claim.last_event)
        return msgspec.structs.replace(claim, last_event=last)

    async def append(self) -> Appended:
        """Appends at the given rate, the streams evenly out of step; returns when the store has taken everything."""
        streams, rate = self._told.streams, self._told.rate
        commands = [await self._command(claim) for claim in self._claims]
        firsts = [claim.last_event for claim in self._claims]
        path = self._told.store_url.removeprefix("unix://").partition("?")[0]
        _, pipe = await asyncio.get_running_loop().create_unix_connection(_Pipe, path)
        total = streams * self._told.per_stream
        sent = 0
        began = time.monotonic()
        while pipe.answered < total:
            # When late, catch up in small steps: what is written must be under way at the time that it carries.
            due = min(total, sent + _AT_ONCE, int((time.monotonic() - began) * rate * streams) + 1)
            behind = due == sent + _AT_ONCE
            together = _Round()
            for position in range(sent, due):
                number, stream = divmod(position, streams)
                together.add(commands[stream], firsts[stream] + number, _delta(number))
            pipe.write(together.calls())
            sent = due
            await asyncio.sleep(0.0 if behind else _TICK_S)
        return Appended(seconds=time.monotonic() - began)

    async def _command(self, claim: Claim) -> _Command:
        recorder = _Recorder(self._told.store_url, timeout=_STORE_S)
        await JobStore(recorder, self._settings).append(claim, (Event("text.delta", _DATA),), last_event=_NUMBER)
        return _Command(recorder.words)

    async def end(self) -> None:
        """Ends the jobs, and so their streams."""
        for start in range(0, len(self._claims), _AT_ONCE):
            await asyncio.gather(*(self._end(claim) for claim in self._claims[start : start + _AT_ONCE]))

    async def _end(self, claim: Claim) -> None:
        job = claim.view("succeeded", output={"text": "…"}, ended_ms=int(time.time() * 1000))
        await self._store.end(claim.fence, job)


def _delta(number: int) -> bytes:
    return b'{"text":"at=%d;n=%d; The quick brown fox jumps."}' % (time.monotonic_ns(), number)


async def _main(parent: Parent) -> None:
    appender = _Appender(msgspec.convert(await parent.read(), Told))
    parent.tell(await appender.open())
    await parent.read()
    parent.tell(await appender.append())
    await parent.read()
    await appender.end()
    await parent.read()


if __name__ == "__main__":
    serve(_main)
