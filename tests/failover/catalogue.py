"""Acts the catalogue out: every case for every vendor, as jobs of a real gateway and worker, all at once."""

from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import msgspec

from ringback.testing.script import Script, Vendor
from ringback.testing.vendors.server import VendorServer
from tests.failover.cases import ANSWER, CASES, FIRST_TOKEN_S, OTHER, STALL_S, Case
from tests.stack import Stack, eventually, request

VENDORS: tuple[Vendor, ...] = get_args(Vendor)
NEXT: dict[Vendor, Vendor] = dict(zip(VENDORS, (*VENDORS[1:], VENDORS[0]), strict=True))


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one case at one vendor."""

    job: dict[str, Any]
    events: list[tuple[str, Any]]
    calls: list[float]
    """When the provider was called, in seconds."""
    next_calls: int

    @property
    def resets(self) -> int:
        """How often the text was taken back."""
        return sum(name == "stream.reset" for name, _ in self.events)

    @property
    def streamed(self) -> str:
        """The text that a listener of the events has in the end."""
        text = ""
        for name, data in self.events:
            text = "" if name == "stream.reset" else text + data["text"] if name == "text.delta" else text
        return text

    @property
    def spacing_s(self) -> float:
        """The shortest time between two calls to the provider."""
        return min((later - earlier for earlier, later in pairwise(self.calls)), default=float("inf"))


def model(case: Case, vendor: Vendor) -> str:
    """The name of the model that does what the case says."""
    return f"{case.name}-at-{vendor}"


class Theatre(Stack):
    """A gateway and a worker whose vendors are all the fake's."""

    def __init__(self, home: Path, server: VendorServer, config: str) -> None:
        """`config`: more of ringback.toml."""
        path = home / "ringback.toml"
        path.write_text(config)
        super().__init__(home, {**server.environment(), "RINGBACK_CONFIG": str(path)})
        self.server = server
        self.url = self.gateway()
        self.worker()
        self.wait_ready(self.url)
        # The first call to a vendor loads its SDK, which takes longer than these tests wait for a token.
        for job in [self.submit(f"{vendor}/warm-up", deadline={}) for vendor in VENDORS]:
            assert self.ended(job)["status"] == "succeeded"

    def submit(self, target: str, *fallbacks: str, **fields: Any) -> str:
        """A job for these targets; its id."""
        body: dict[str, Any] = {
            "type": "generate",
            "input": {"prompt": "내 주문은 언제 오나요?"},
            "model": target,
            "fallbacks": fallbacks,
            "deadline": {"first_token_s": FIRST_TOKEN_S, "stall_s": STALL_S, "total_s": 30},
            **fields,
        }
        reply = request(f"{self.url}/v1/jobs", method="POST", body=body)
        assert reply.status == 202, reply.body
        return str(reply.json["id"])

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job, once it has ended."""

        def over() -> dict[str, Any] | None:
            job: dict[str, Any] = request(f"{self.url}/v1/jobs/{job_id}").json
            return None if job["status"] in ("queued", "running") else job

        found: dict[str, Any] = eventually(over, timeout=40, what=f"{job_id} ends")
        return found

    def events(self, job_id: str) -> list[tuple[str, Any]]:
        """What a listener was told."""
        body = request(f"{self.url}/v1/jobs/{job_id}/events").body.decode()
        found = []
        for frame in body.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in frame.splitlines() if not line.startswith(":"))
            if "event" in fields:
                found.append((fields["event"], msgspec.json.decode(fields["data"])))
        return found

    def calls(self, name: str) -> list[float]:
        """When the model of that name was called."""
        return [received.at for received in self.server.received if received.model == name]

    def act(self) -> dict[tuple[str, Vendor], Seen]:
        """Every case for every vendor."""
        jobs: dict[tuple[str, Vendor], str] = {}
        for case in CASES:
            for vendor in case.vendors:
                name = model(case, vendor)
                self.server.enqueue(*case.scripts[:-1], model=name)
                self.server.script(case.scripts[-1], model=name)
                self.server.script(Script(deltas=OTHER), model=f"after-{name}")
                others = [] if case.alone else [f"{NEXT[vendor]}/after-{name}"]
                jobs[case.name, vendor] = self.submit(f"{vendor}/{name}", *others)
        seen = {}
        for (case_name, vendor), job_id in jobs.items():
            name = f"{case_name}-at-{vendor}"
            job = self.ended(job_id)
            next_calls = len(self.calls(f"after-{name}"))
            seen[case_name, vendor] = Seen(
                job=job, events=self.events(job_id), calls=self.calls(name), next_calls=next_calls
            )
        return seen


def text_of(answered_by: str) -> str | None:
    """The answer that is expected."""
    return {"it": "".join(ANSWER), "the next": "".join(OTHER)}.get(answered_by)
