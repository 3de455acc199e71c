"""LiteLLM's proxy, configured as its documentation says for production, in a process and an environment of its own."""

import asyncio
import os
import socket
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path

import aiohttp
import msgspec

from benchmarks import children
from benchmarks.children import Failed

ENVIRONMENT = Path(__file__).resolve().parent.parent.parent / ".venv-litellm"
"""Where `make bench-litellm` installs it."""
_START_S = 120.0
"""A first start may compile all its modules."""
_LOOK_S = 0.02
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR")
_SETTINGS = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    # The run is without keys on both sides. Without a master key it starts only with this; it listens on loopback.
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    # What it else fetches from the internet when it starts; its package holds a copy of each.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
}


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """A proxy that is running."""

    url: str
    pid: int
    ready_s: float
    """Seconds from its start until it said that it is ready."""


def version(environment: Path = ENVIRONMENT) -> str:
    """Which LiteLLM is installed there. Raises `Failed` if there is none."""
    for packages in environment.glob("lib/python*/site-packages"):
        for found in metadata.distributions(name="litellm", path=[str(packages)]):
            return found.version
    raise Failed(f"there is no LiteLLM in {environment.name}: `make bench-litellm` installs it")


@asynccontextmanager
async def running(
    upstream_url: str, models: Iterable[str], *, workers: int = 1, environment: Path = ENVIRONMENT
) -> AsyncIterator[Proxy]:
    """Starts it with `openai/<model>` for each of the upstream's `models` and waits until it says that it is ready.

    Raises `Failed` with the end of its log if it does not.
    """
    version(environment)
    with tempfile.TemporaryDirectory(prefix="litellm-bench-") as directory:
        home = Path(directory)
        log, configuration = home / "log", home / "config.yaml"
        configuration.write_bytes(_configuration(upstream_url, models))
        port = _free_port()
        command = (str(environment / "bin" / "litellm"), "--config", str(configuration))
        options = ("--host", "127.0.0.1", "--port", str(port), "--num_workers", str(workers))
        env = {name: os.environ[name] for name in _KEPT if name in os.environ} | _SETTINGS | {"HOME": str(home)}
        began = time.monotonic()
        async with children.process(*command, *options, env=env, cwd=home, errors_to=log) as started:
            url = f"http://127.0.0.1:{port}"
            await _ready(started, url, log)
            yield Proxy(url=url, pid=started.pid, ready_s=time.monotonic() - began)


def _configuration(upstream_url: str, models: Iterable[str]) -> bytes:
    """Its configuration, as JSON, which is YAML."""
    known = [
        {
            "model_name": f"openai/{model}",
            "litellm_params": {
                "model": f"openai/{model}",
                "api_base": f"{upstream_url}/v1",
                "api_key": "sk-benchmark",
            },
        }
        for model in models
    ]
    settings = {"callbacks": [], "num_retries": 0, "request_timeout": 600, "set_verbose": False}
    return msgspec.json.encode({"model_list": known, "litellm_settings": settings})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _ready(started: Process, url: str, log: Path) -> None:
    """Returns when its own readiness is told."""
    end = time.monotonic() + _START_S
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0)) as session:
        while started.returncode is None and time.monotonic() < end:
            try:
                async with session.get(f"{url}/health/readiness") as answer:
                    if answer.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass  # not yet
            await asyncio.sleep(_LOOK_S)
    said = log.read_text(encoding="utf-8", errors="replace")
    if started.returncode is not None and started.stdout is not None:
        said = (await started.stdout.read()).decode(errors="replace") + said
    raise Failed("\n".join(["LiteLLM's proxy did not become ready:", *said.strip().splitlines()[-12:]]))
