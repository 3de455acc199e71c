"""The two sides: each takes turns at once, and tells when each of them was heard."""

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import msgspec

from benchmarks import children
from benchmarks.callers import expect
from benchmarks.children import Child, Failed
from benchmarks.voice.script import Script

ROOT = Path(__file__).resolve().parent.parent.parent
RECORDING = ROOT / "examples" / "question.wav"
"""What is said: 1.65 s of speech at 16 kHz."""
ENVIRONMENT = ROOT / ".venv-voice"
"""Where `make bench-voice` installs pipecat."""
_LIMIT_S = 60.0
_SOUND = re.compile(rb'"base64": ?"[^"]')
_NAMED = re.compile(rb"^event: ?(\S+)\ndata: ?(.*)$", re.MULTILINE)
_OTHER_ENDS = ("job.failed", "job.cancelled", "job.expired")


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """One turn; seconds from the moment the whole recording was there."""

    first_audio_s: float
    last_audio_s: float
    failure: str = ""
    arrived: Mapping[str, float] = {}
    """Ringback only: when the first event of each kind, and the last sound (`last`), arrived."""
    accepted_s: float = math.nan
    """When the job was made, by the store's clock, which tells whole milliseconds."""
    claimed_s: float = math.nan
    """When a worker took it, likewise."""
    timings: Mapping[str, float] = {}
    """The worker's own: seconds from the beginning of the attempt, which is a little later."""


class Side(Protocol):
    """Whoever takes turns."""

    async def turns(self, script: Script, at_once: int, spread_s: float) -> list[Heard]:
        """So many turns, begun one after the other within `spread_s` seconds. Raises `Failed`."""
        ...


class Ringback:
    """The whole service, over HTTP. Use as an async context manager."""

    def __init__(self, url: str) -> None:
        """The gateway's base URL."""
        self._url = url
        self._recording = RECORDING.read_bytes()

    async def __aenter__(self) -> "Ringback":
        """Opens the HTTP client."""
        trace = aiohttp.TraceConfig()
        trace.on_request_chunk_sent.append(_sent)
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60.0),
            timeout=aiohttp.ClientTimeout(total=_LIMIT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"accept-encoding": "identity"},
            auto_decompress=False,
            trace_configs=[trace],
            read_bufsize=1024 * 1024,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes it."""
        await self._http.close()

    async def turns(self, script: Script, at_once: int, spread_s: float) -> list[Heard]:
        """See `Side`. Each turn has a session of its own."""
        sessions = await asyncio.gather(*(self._session(script) for _ in range(at_once)))

        async def one(number: int, session: str) -> Heard:
            await asyncio.sleep(spread_s * number / at_once)
            return await self._turn(session)

        return list(await asyncio.gather(*(one(number, session) for number, session in enumerate(sessions))))

    async def _session(self, script: Script) -> str:
        asked = {"language": script.language, "voice": script.voice, "model": f"openai/{script.model}"}
        async with self._http.post(f"{self._url}/v1/sessions", json=asked) as response:
            await expect(response, 201)
            return str((await response.json())["id"])

    async def _turn(self, session: str) -> Heard:
        url = f"{self._url}/v1/sessions/{session}/voice"
        headers = {"accept": "text/event-stream", "content-type": "audio/wav"}
        stream = _Stream()
        async with self._http.post(
            url, data=self._recording, headers=headers, trace_request_ctx={"stream": stream}
        ) as response:
            await expect(response, 200)
            async for chunk in response.content.iter_any():
                stream.read(chunk)
        return stream.heard()


async def _sent(_: aiohttp.ClientSession, context: Any, __: aiohttp.TraceRequestChunkSentParams) -> None:
    """The last of it is handed to the kernel now."""
    if context.trace_request_ctx:
        context.trace_request_ctx["stream"].begin()


class _Stream:
    """The events of one turn, as they arrive."""

    def __init__(self) -> None:
        self._rest = b""
        self._began, self._wall = math.nan, math.nan
        self._arrived: dict[str, float] = {}
        self._job: dict[str, Any] = {}

    def begin(self) -> None:
        """Time counts from now."""
        self._began, self._wall = time.monotonic(), time.time()

    def read(self, chunk: bytes) -> None:
        """More of it. Raises `Failed` if the job does not succeed."""
        now = time.monotonic() - self._began
        *events, self._rest = (self._rest + chunk).split(b"\n\n")
        for event in events:
            if (found := _NAMED.search(event)) is None:
                continue
            name, data = found[1].decode(), found[2]
            if name in _OTHER_ENDS:
                raise Failed(f"a turn ended with {name}: {data[-300:].decode(errors='replace')}")
            if name == "audio" and not _SOUND.search(data):
                continue
            self._arrived.setdefault(name, now)
            if name == "audio":
                self._arrived["last"] = now
            if name == "job.succeeded":
                self._job = msgspec.json.decode(data)

    def heard(self) -> Heard:
        """The turn, which is over. Raises `Failed` if there was nothing to be heard."""
        if "audio" not in self._arrived or not self._job:
            raise Failed(f"a turn ended without sound, after {', '.join(self._arrived) or 'nothing'}")
        return Heard(
            first_audio_s=self._arrived["audio"],
            last_audio_s=self._arrived["last"],
            arrived=self._arrived,
            accepted_s=self._since(self._job["created_at"]),
            claimed_s=self._since(self._job["started_at"]),
            timings=self._job["usage"]["timings"],
        )

    def _since(self, moment: str) -> float:
        return datetime.fromisoformat(moment).timestamp() - self._wall


class Pipecat:
    """As many pipelines as there are turns at once, in one process."""

    def __init__(self, running: Child) -> None:
        """See `pipecat`."""
        self.pid = running.pid
        self._running = running

    async def turns(self, script: Script, at_once: int, spread_s: float) -> list[Heard]:
        """See `Side`."""
        told = {
            "model": script.model,
            "language": script.language,
            "voice": script.voice,
            "recording": str(RECORDING),
            "turns": at_once,
            "spread_s": spread_s,
        }
        found = msgspec.convert(await self._running.ask(told, limit_s=_LIMIT_S), list[Heard])
        for turn in found:
            if turn.failure:
                raise Failed(f"pipecat: {turn.failure}")
        return found


def installed(environment: Path = ENVIRONMENT) -> str | None:
    """The version of pipecat that is installed there; `None` if there is none."""
    for packages in environment.glob("lib/python*/site-packages"):
        for found in metadata.distributions(name="pipecat-ai", path=[str(packages)]):
            return found.version
    return None


@asynccontextmanager
async def pipecat(vendors: Mapping[str, str], environment: Path = ENVIRONMENT) -> AsyncIterator[Pipecat]:
    """pipecat's process, on the vendors that the variables `vendors` lead to."""
    command = (str(environment / "bin" / "python"), "-P", str(Path(__file__).with_name("pipeline.py")))
    env = children.environment(**vendors, LOGURU_LEVEL="ERROR")
    async with children.process(*command, env=env, cwd=ROOT) as running:
        side = Child(running)
        await side.read(limit_s=_LIMIT_S)
        yield Pipecat(side)
