"""A gateway and a worker whose speech services are Amazon's, as the fake speaks them; and one with the offline ones."""

from collections.abc import Iterator

import pytest

from tests.stack import Process, Stack


class Talking(Stack):
    """A stack with a gateway and a worker."""

    url: str
    worker_process: Process


@pytest.fixture(scope="session")
def talking(tmp_path_factory: pytest.TempPathFactory, amazon_environment: dict[str, str]) -> Iterator[Talking]:
    """A whole Ringback on the fake Amazon, shared by the tests that do not break it."""
    stack = Talking(tmp_path_factory.mktemp("talking"), amazon_environment)
    try:
        stack.worker_process = stack.worker()
        stack.url = stack.gateway(RINGBACK_MAX_AUDIO_BYTES="2000000")
        stack.wait_ready(stack.url)
        yield stack
    finally:
        stack.close()


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talking]:
    """A whole Ringback without any vendor."""
    environment = {"RINGBACK_PROVIDERS": "offline,fake", "RINGBACK_TTS": "offline", "RINGBACK_STT": "offline"}
    stack = Talking(tmp_path_factory.mktemp("offline"), environment)
    try:
        stack.worker_process = stack.worker()
        stack.url = stack.gateway()
        stack.wait_ready(stack.url)
        yield stack
    finally:
        stack.close()
