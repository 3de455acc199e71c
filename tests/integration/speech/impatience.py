"""Workers in the test's own process: all that a worker is but for Celery, so that a test can shorten their patience."""

from collections.abc import Mapping

from jobs.dispatch import Dispatch
from jobs.job import Priority
from jobs.settings import load
from prompts import registry
from tests.integration.gateway import eventsource
from tests.integration.speech import talk
from tests.stack import Stack, request
from workers.runtime import Runtime


class NoHints(Dispatch):
    """Sends nothing: the jobs are handed to the worker directly."""

    def __init__(self) -> None:
        pass

    def send(self, job_id: str, priority: Priority) -> None:
        """Does nothing."""

    def depth(self) -> int:
        """None wait."""
        return 0


class Impatient:
    """A worker of a stack that has a gateway."""

    def __init__(self, stack: Stack, url: str, environment: Mapping[str, str]) -> None:
        """`environment` is added to that of the stack."""
        self.url = url
        self._runtime = Runtime(load({**stack.env, **environment}), registry.load(), NoHints(), "impatient")
        self._runtime.start(lambda: None)

    def close(self) -> None:
        """Ends it."""
        self._runtime.close()

    async def turn(self, session: str, by: str, body: object, headers: Mapping[str, str] | None = None) -> talk.Turn:
        """Takes a turn and follows it to its end."""
        path = f"{self.url}/v1/sessions/{session}/{by}"
        reply = request(path, method="POST", body=body, headers=headers)
        assert reply.status == 202, reply.body
        job_id: str = reply.json["id"]
        assert self._runtime.run(job_id, "high")
        return talk.Turn(await eventsource.read(f"{self.url}/v1/jobs/{job_id}/events"), job_id)
