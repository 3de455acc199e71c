"""The ledger: what clients were told, against what the store holds, against the callbacks that arrived."""

import re
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from redis import Redis

from jobs.event import TERMINAL_NAMES
from jobs.job import TERMINAL
from jobs.store import keys
from ringback.testing.inbox import Callback, CallbackInbox
from ringback.testing.script import Received
from tests.chaos.client import Told
from tests.chaos.storm import Loss
from tests.stack import SECRET

SHARDS = range(16)
EXCUSES = {
    *("provider_unreachable", "stream_interrupted", "first_token_timeout", "stream_stalled"),
    *("circuit_open", "attempts_exhausted"),
}
"""A storm may end a job so: its vendor was cut off, twice in a row or for many, or its workers died five times."""
_NUMBER = re.compile(rb"#(\d+)#")


def number_of(body: Any) -> int:
    """Which job a request to the vendor is about: its prompt says so."""
    found = _NUMBER.search(msgspec.json.encode(body))
    assert found is not None, body
    return int(found[1])


class Books:
    """What the store holds."""

    def __init__(self, url: str) -> None:
        self.redis = Redis.from_url(url)

    def statuses(self, job_ids: Sequence[str]) -> list[str]:
        """Of these jobs; `missing` for one that is not there."""
        pipeline = self.redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipeline.hget(keys.job(job_id), "status")
        return ["missing" if found is None else found.decode() for found in pipeline.execute()]

    def undelivered(self) -> int:
        """Deliveries that are neither delivered nor given up."""
        return sum(int(self.redis.zcard(keys.due(shard))) for shard in SHARDS)

    def all_jobs(self) -> set[str]:
        """The ids of all jobs there are."""
        found: list[Any] = [self.redis.zrange(keys.index(shard, "all"), 0, -1) for shard in SHARDS]
        return {job_id.decode() for shard in found for job_id in shard}

    def final(self, job_id: str) -> dict[str, Any] | None:
        """The ended job; `None` if there is none."""
        found: Any = self.redis.hget(keys.job(job_id), "final")
        return None if found is None else msgspec.json.decode(found)

    def log(self, job_id: str) -> list[tuple[str, str, str]]:
        """Id, name and raw data of each event."""
        rows: Any = self.redis.xrange(keys.events(job_id))
        return [(entry.decode(), fields[b"e"].decode(), fields[b"d"].decode()) for entry, fields in rows]

    def deliveries(self, job_id: str) -> list[dict[str, str]]:
        """The records of the job's callbacks."""
        found: Any = self.redis.lrange(keys.deliveries(job_id), 0, -1)
        records: list[Any] = [self.redis.hgetall(keys.delivery(id_.decode())) for id_ in found]
        return [{name.decode(): value.decode() for name, value in record.items()} for record in records]


class Ledger:
    """All accounts together; `differences` should be empty."""

    def __init__(self, told: Sequence[Told], books: Books, inbox: CallbackInbox, texts: Mapping[int, str]) -> None:
        """`texts` are the whole answers that the jobs should have, by number."""
        self.differences: list[str] = []
        self.statuses: Counter[str] = Counter()
        self.attempts: Counter[int] = Counter()
        self._told = told
        self._books = books
        self._texts = texts
        self._arrived: dict[str, list[Callback]] = defaultdict(list)
        for callback in list(inbox.received):
            self._arrived[callback.json["data"]["id"]].append(callback)
            if problem := callback.signature_problem(SECRET):
                self.differences.append(f"callback {callback.id}: {problem}")
        for one in told:
            self.differences += [f"job {one.number} {sorted(one.ids)}: {what}" for what in self._compared(one)]
        for job_id in books.all_jobs() - {job_id for one in told for job_id in one.ids}:
            self.differences.append(f"{job_id}: nobody was told of this job")

    def _compared(self, told: Told) -> Iterator[str]:
        yield from told.complaints
        if len(told.ids) != 1:
            yield f"one idempotency key, {len(told.ids)} jobs"
            return
        final = self._books.final(told.job_id)
        if final is None or final["status"] not in TERMINAL:
            yield f"lost: the store has it as {final or self._books.statuses([told.job_id])}"
            return
        self.statuses[final["status"]] += 1
        self.attempts[final["attempt"]] += 1
        if final["status"] == "failed" and final["error"]["code"] not in EXCUSES:
            yield f"failed without an excuse: {final['error']}"
        if final["status"] == "cancelled" and not told.cancelled:
            yield "cancelled, which nobody asked for"
        log = self._books.log(told.job_id)
        yield from self._log_differences(told, final, log)
        yield from self._callback_differences(told, final, len(log))

    def _log_differences(self, told: Told, final: dict[str, Any], log: list[tuple[str, str, str]]) -> Iterator[str]:
        if [entry for entry, _, _ in log] != [f"{n}-0" for n in range(1, len(log) + 1)]:
            yield f"gaps or doubles in the log: {[entry for entry, _, _ in log]}"
        names = [name for _, name, _ in log]
        if [name for name in names if name in TERMINAL_NAMES] != [f"job.{final['status']}"] or names[-1:] != [
            f"job.{final['status']}"
        ]:
            yield f"{final['status']}, but its log has {names}"
            return
        if msgspec.json.decode(log[-1][2]) != final:
            yield "the terminal event and the record differ"
        events = [(name, data) for _, name, data in log]
        text = _text(events)
        if final["status"] == "succeeded" and not text == final["output"]["text"] == self._texts[told.number]:
            yield f"its listeners have {text!r}, its record {final['output']}"
        if told.events and told.events != events:
            yield f"its follower saw {[name for name, _ in told.events]}, its log has {names}"

    def _callback_differences(self, told: Told, final: dict[str, Any], last: int) -> Iterator[str]:
        records = self._books.deliveries(told.job_id)
        arrived = self._arrived.pop(told.job_id, [])
        for record in records:
            if record["status"] != "delivered":
                yield f"callback {record['webhook_id']} {record['event']} is {record['status']}"
        ends = [record for record in records if record["event"] in TERMINAL_NAMES]
        if [record["event"] for record in ends] != [f"job.{final['status']}"]:
            yield f"{final['status']}, but its callbacks are {[record['event'] for record in records]}"
        by_event: dict[str, set[str]] = defaultdict(set)
        for callback in arrived:
            by_event[callback.type].add(callback.id)
        expected = {record["event"]: {record["webhook_id"]} for record in records}
        if by_event != expected:
            yield f"callbacks arrived under these ids: {dict(by_event)}; it should be these: {expected}"
        for callback in arrived:
            if callback.type in TERMINAL_NAMES and callback.json["data"] != final:
                yield f"callback {callback.id} tells something else than the record"
            if callback.type in TERMINAL_NAMES and callback.headers["ringback-sequence"] != str(last):
                yield f"callback {callback.id} has the wrong sequence number"


def _text(events: Sequence[tuple[str, str]]) -> str:
    text = ""
    for name, data in events:
        if name == "stream.reset":
            text = ""
        elif name == "text.delta":
            text += msgspec.json.decode(data)["text"]
    return text


class Recovery(msgspec.Struct, frozen=True, order=True):
    """A job that was taken over from a worker that was ended."""

    seconds: float
    """From the signal until another worker asked the vendor."""
    job: int


def recoveries(losses: Sequence[Loss], received: Sequence[Received], number: signal.Signals) -> list[Recovery]:
    """The jobs that workers had when they got that signal and that others then finished, fastest first."""
    asked: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for request in received:
        asked[number_of(request.body)].append((request.at, request.headers["authorization"]))
    found = []
    for loss in losses:
        for job, requests in asked.items():
            before = [by for at, by in requests if at <= loss.at]
            after = [at for at, by in requests if at > loss.at and not by.endswith(loss.key)]
            if loss.number == number and before and before[-1].endswith(loss.key) and after:
                found.append(Recovery(after[0] - loss.at, job))
    return sorted(found)
