"""A ground that the tests of broken conversations share; each finds it without workers, jobs and sessions."""

from collections.abc import Iterator

import pytest

from ringback.testing.speech.server import SpeechServer
from ringback.testing.vendors.server import VendorServer
from tests.chaos.ground import Ground


@pytest.fixture(scope="package")
def _ground(tmp_path_factory: pytest.TempPathFactory, amazon_environment: dict[str, str]) -> Iterator[Ground]:
    ground = Ground(tmp_path_factory.mktemp("ground"), amazon_environment)
    try:
        ground.url, ground.second = ground.gateway(), ground.gateway()
        yield ground
    finally:
        ground.close()


@pytest.fixture
def ground(_ground: Ground, vendor_server: VendorServer, speech_server: SpeechServer) -> Iterator[Ground]:
    """A store and two gateways without workers; the vendors are those of `vendor_server` and `speech_server`."""
    yield _ground
    _ground.clear()
