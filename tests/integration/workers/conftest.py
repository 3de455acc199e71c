"""A floor that the tests of real worker processes share; each finds it without workers and jobs."""

from collections.abc import Iterator

import pytest

from ringback.testing.vendors.server import VendorServer
from tests.integration.workers.floor import Floor


@pytest.fixture(scope="package")
def _floor(tmp_path_factory: pytest.TempPathFactory, _vendor_server: VendorServer) -> Iterator[Floor]:
    env = {**_vendor_server.environment(), "RINGBACK_PROVIDERS": "openai,offline,fake"}
    floor = Floor(tmp_path_factory.mktemp("floor"), env)
    try:
        floor.url = floor.gateway()
        yield floor
    finally:
        floor.close()


@pytest.fixture
def floor(_floor: Floor, vendor_server: VendorServer) -> Iterator[Floor]:
    """A store and a gateway without workers; the vendors are those of `vendor_server`."""
    yield _floor
    _floor.clear()
