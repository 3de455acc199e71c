"""A store and a gateway, with workers that tests start, kill, freeze and replace."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from redis import Redis

from jobs.store import keys
from ringback.testing.script import Received
from tests.stack import Process, Reply, Stack, eventually, request

LEASE_S = 2.0


def key_of(received: Received) -> str:
    """The API key of the worker that sent this request to OpenAI."""
    return received.headers["authorization"].removeprefix("Bearer ")


class Floor(Stack):
    """One gateway; workers come and go."""

    url: str

    def __init__(self, home: Path, env: Mapping[str, str]) -> None:
        super().__init__(home, {"RINGBACK_LEASE_S": f"{LEASE_S:g}", "RINGBACK_DRAIN_S": "5", **env})
        self.redis = Redis.from_url(self.store_spec.url)
        self._workers: list[Process] = []

    def begin_worker(self, **env: str) -> Process:
        """A worker that will soon consume."""
        process = self.worker(**env)
        self._workers.append(process)
        return process

    def start_worker(self, **env: str) -> Process:
        """A worker that consumes already."""
        process = self.begin_worker(**env)
        self.wait_workers(sum(worker.exit_code is None for worker in self._workers))
        return process

    def start_workers(self, count: int, **env: str) -> dict[str, Process]:
        """So many that consume already, by the API keys that they send to OpenAI; no others may live."""
        made = {f"sk-worker-{n}": self.begin_worker(OPENAI_API_KEY=f"sk-worker-{n}", **env) for n in range(count)}
        self.wait_workers(count)
        return made

    def wait_workers(self, count: int) -> None:
        """Returns once so many workers have proved that they consume; they must be all that live."""

        def ready() -> bool:
            assert all(worker.exit_code is None for worker in self._workers[-count:]), self.worker_log()
            return bool(self._live_proofs() >= count)

        eventually(ready, timeout=30, what=f"{count} workers consume")

    def _live_proofs(self) -> int:
        pids = {str(worker.pid) for worker in self._workers if worker.exit_code is None}
        found: Any = self.redis.zrange("rb:workers", 0, -1)
        return len({name.decode().split("-")[-2] for name in found} & pids)

    def clear(self) -> None:
        """Kills all workers, and forgets the jobs and the hints that they leave."""
        for worker in self._workers:
            worker.stop(9)
        self._workers.clear()
        self.redis.flushall()

    def worker_log(self) -> str:
        """What the workers have logged so far."""
        log = self.home / "worker.log"
        return log.read_text() if log.exists() else ""

    def submit(self, model: str, *, callback: str = "", **fields: Any) -> str:
        """A job that answers a prompt; its id."""
        body: dict[str, Any] = {"type": "generate", "input": {"prompt": "안녕"}, "model": model, **fields}
        if callback:
            body["callback"] = {"url": callback}
        reply = request(f"{self.url}/v1/jobs", method="POST", body=body)
        assert reply.status == 202, reply.body
        return str(reply.json["id"])

    def cancel(self, job_id: str) -> Reply:
        return request(f"{self.url}/v1/jobs/{job_id}/cancel", method="POST")

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as callers see it."""
        reply = request(f"{self.url}/v1/jobs/{job_id}")
        assert reply.status == 200, reply.body
        job: dict[str, Any] = reply.json
        return job

    def ended(self, job_id: str, *, timeout: float = 30.0) -> dict[str, Any]:
        """The job once it has ended."""

        def over() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["status"] not in ("queued", "running") else None

        found: dict[str, Any] = eventually(over, timeout=timeout, what=f"{job_id} ends")
        return found

    def log(self, job_id: str) -> list[tuple[str, dict[str, Any]]]:
        """The events of a job, by name and data; their ids are checked to count up from 1."""
        rows: Any = self.redis.xrange(keys.events(job_id))
        assert [entry for entry, _ in rows] == [f"{n}-0".encode() for n in range(1, len(rows) + 1)]
        return [(fields[b"e"].decode(), msgspec.json.decode(fields[b"d"])) for _, fields in rows]

    def names(self, job_id: str) -> list[str]:
        """The names of the events of a job."""
        return [name for name, _ in self.log(job_id)]

    def text(self, job_id: str) -> str:
        """What a listener has: a reset makes void what came before."""
        text = ""
        for name, data in self.log(job_id):
            text = "" if name == "stream.reset" else text + data["text"] if name == "text.delta" else text
        return text

    def deliveries(self, job_id: str) -> list[dict[str, Any]]:
        """The callbacks of a job."""
        items: list[dict[str, Any]] = request(f"{self.url}/v1/jobs/{job_id}/deliveries").json["items"]
        return items
