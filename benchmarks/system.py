"""What is measured: `ringback up` with everything at its defaults, in a data directory of its own."""

import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from benchmarks import children, usage
from benchmarks.children import Failed
from ringback import embedded

READY = "Ringback is ready at "
ROLES = ("gateway", "worker", "store", "supervisor")
_START_S = 60.0


class System(msgspec.Struct, frozen=True, kw_only=True):
    """A Ringback that is running."""

    url: str
    store_url: str
    ready_s: float
    """Seconds from its start to its ready line."""
    pids: Mapping[str, int]
    """The process of each role; empty where they cannot be told."""

    def cpu_s(self) -> dict[str, float]:
        """CPU time that each role has used so far, in seconds."""
        return {role: usage.cpu_s(pid) for role, pid in self.pids.items()}


@asynccontextmanager
async def running(upstream_url: str, **settings: str) -> AsyncIterator[System]:
    """Starts it with `upstream_url` as its OpenAI, and more `settings` of its environment; waits for its ready line.

    Raises `Failed` with the end of its log if that does not come.
    """
    with tempfile.TemporaryDirectory(prefix="ringback-bench-") as directory:
        home = Path(directory)
        log, data = home / "log", home / "data"
        given = {
            "OPENAI_BASE_URL": f"{upstream_url}/v1",
            "OPENAI_API_KEY": "sk-benchmark",
            "RINGBACK_CALLBACK_ALLOW": "127.0.0.0/8",
            "AWS_SHARED_CREDENTIALS_FILE": str(home / "none"),
        }
        env = children.environment(**given | settings)
        command = (sys.executable, "-P", "-m", "ringback", "up", "--port", "0", "--data-dir", str(data))
        began = time.monotonic()
        async with children.process(*command, env=env, cwd=home, errors_to=log) as up:
            url = await _ready(up, log)
            ready_s = time.monotonic() - began
            store_url = embedded.find(data)
            if store_url is None:
                raise Failed(f"no embedded store in {data}")
            yield System(url=url, store_url=store_url, ready_s=ready_s, pids=_pids(up.pid))


async def _ready(up: Process, log: Path) -> str:
    try:
        while True:
            said = await children.line(up, limit_s=_START_S)
            if said.startswith(READY):
                return said.removeprefix(READY)
    except Failed as failure:
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:]
        raise Failed("\n".join(["`ringback up` did not become ready:", *last])) from failure


def _pids(supervisor: int) -> dict[str, int]:
    found = {"supervisor": supervisor}
    for pid, argv in usage.children(supervisor).items():
        words = [word for word in argv if word]
        if words and "valkey-server" in words[0]:
            found["store"] = pid
        elif words and words[-1] in ROLES:
            found[words[-1]] = pid
    return {role: found[role] for role in ROLES if role in found}
