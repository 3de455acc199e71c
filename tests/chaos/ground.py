"""Two gateways on one store, with workers that tests start and kill: conversations go on all the same."""

from collections.abc import Iterable
from typing import Any

from jobs.store import keys
from ringback.testing.script import Received
from tests.integration.workers.floor import Floor
from tests.stack import Process, eventually, request

NOTES = "You keep the notes of a conversation"
"""So begins what a model is told that refines a memory."""


class Ground(Floor):
    """A floor with a second gateway."""

    second: str
    """Its URL."""

    @property
    def urls(self) -> tuple[str, str]:
        """Both gateways."""
        return self.url, self.second

    def begin_named(self, name: str) -> Process:
        """A worker that will soon consume, and by whose requests to the model `asker` knows it."""
        return self.begin_worker(OPENAI_API_KEY=f"sk-{name}")

    def wait_for(self, worker: Process) -> None:
        """Returns once that worker has proved that it consumes, whatever the others do."""

        def consumes() -> bool:
            proofs: Any = self.redis.zrange("rb:workers", 0, -1)
            return any(name.decode().split("-")[-2] == str(worker.pid) for name in proofs)

        eventually(consumes, timeout=30, what="the worker consumes")

    def line(self, session_id: str) -> list[str]:
        """The jobs of a session that have not ended, in the order in which they were accepted."""
        found: Any = self.redis.zrange(keys.line(session_id), 0, -1)
        return [job_id.decode() for job_id in found]

    def told(self, session_id: str) -> list[str]:
        """The names of the events of the turn under way."""
        return [name for job_id in self.line(session_id)[:1] for name in self.names(job_id)]

    def messages(self, session_id: str) -> list[dict[str, Any]]:
        """The history of a session."""
        items: list[dict[str, Any]] = request(f"{self.url}/v1/sessions/{session_id}/history?limit=200").json["items"]
        return items


def asker(received: Received) -> str:
    """The name of the worker that sent this request."""
    return received.headers["authorization"].removeprefix("Bearer sk-")


def replies(received: Iterable[Received]) -> list[Received]:
    """The requests for replies, without those for notes."""
    return [one for one in received if NOTES not in str(one.body["messages"][0])]


def prompted(received: Received) -> list[tuple[str, str]]:
    """The conversation in a request to a model of `openai/`: who said what, one line for each part."""
    said = []
    for message in received.body["messages"]:
        content = message["content"]
        parts = [content] if isinstance(content, str) else [part["text"] for part in content]
        said += [(message["role"], part) for part in parts if message["role"] != "system"]
    return said
