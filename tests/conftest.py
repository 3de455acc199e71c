"""Fixtures shared by all tests: a real store, and a whole running Ringback."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

from jobs.settings import Settings
from jobs.store.connection import Connection
from jobs.store.events import EventLog
from jobs.store.history import RedisArchive
from jobs.store.jobs import JobStore
from jobs.store.sessions import Sessions
from ringback.testing.speech.server import SpeechServer
from ringback.testing.vendors.server import VendorServer
from tests.stack import Process, Stack

# The same examples in every run, however busy the machine is; HYPOTHESIS_PROFILE=random looks for new ones.
hypothesis.settings.register_profile(
    "same",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("random", hypothesis.settings.get_profile("same"), derandomize=False)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(scope="session")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Valkey of the tests' own."""
    stack = Stack(tmp_path_factory.mktemp("store"), {})
    yield stack.store_spec.url
    stack.close()


@pytest.fixture
def settings(store_url: str) -> Settings:
    """Settings on that store."""
    return Settings(redis_url=store_url, providers=("offline", "fake"))


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[Connection]:
    """A connection to that store, which is empty."""
    connection = Connection(settings.redis_url, timeout=5.0)
    await connection.redis.flushall()
    yield connection
    await connection.aclose()


@pytest.fixture
def store(connection: Connection, settings: Settings) -> JobStore:
    """The job records."""
    return JobStore(connection, settings)


@pytest.fixture
def log(connection: Connection, settings: Settings) -> EventLog:
    """The event logs."""
    return EventLog(connection, settings)


@pytest.fixture
def sessions(connection: Connection, settings: Settings) -> Sessions:
    """The sessions."""
    return Sessions(connection, settings)


@pytest.fixture
def archive(connection: Connection, settings: Settings) -> RedisArchive:
    """What was said in them."""
    return RedisArchive(connection, settings)


@pytest.fixture(scope="session")
def _speech_server() -> Iterator[SpeechServer]:
    with SpeechServer() as server:
        yield server


@pytest.fixture
def speech_server(_speech_server: SpeechServer) -> Iterator[SpeechServer]:
    """Amazon's speech services, without scripts and requests."""
    _speech_server.reset()
    yield _speech_server
    _speech_server.reset()


@pytest.fixture(scope="session")
def amazon_environment(_speech_server: SpeechServer, _vendor_server: VendorServer) -> dict[str, str]:
    """What leads to the fakes of models and speech services."""
    return {
        **_vendor_server.environment(),
        **_speech_server.environment(),
        "RINGBACK_PROVIDERS": "bedrock,openai,anthropic,fake,offline",
        "RINGBACK_TTS": "polly",
        "RINGBACK_STT": "transcribe",
    }


class Ringback(Stack):
    """A stack with one gateway and one worker on fake vendors."""

    url: str
    worker_process: Process


@pytest.fixture(scope="session")
def ringback(tmp_path_factory: pytest.TempPathFactory, _vendor_server: VendorServer) -> Iterator[Ringback]:
    """A whole Ringback, shared by the tests that do not break it; its vendors are those of `vendor_server`."""
    vendors = {**_vendor_server.environment(), "RINGBACK_PROVIDERS": "bedrock,gemini,anthropic,openai,offline,fake"}
    stack = Ringback(tmp_path_factory.mktemp("ringback"), vendors)
    try:
        stack.worker_process = stack.worker()
        stack.url = stack.gateway()
        stack.wait_ready(stack.url)
        yield stack
    finally:
        stack.close()


@pytest.fixture
def own_stack(tmp_path: Path, _vendor_server: VendorServer) -> Iterator[Stack]:
    """A store of the test's own, for gateways and workers that it starts and breaks."""
    vendors = {**_vendor_server.environment(), "RINGBACK_PROVIDERS": "bedrock,gemini,anthropic,openai,offline,fake"}
    stack = Stack(tmp_path, vendors)
    yield stack
    stack.close()
