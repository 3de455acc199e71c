"""One theatre for all tests of failover."""

from collections.abc import Iterator

import pytest

from ringback.testing.script import Vendor
from ringback.testing.vendors.server import VendorServer
from tests.failover.catalogue import Seen, Theatre

CONFIG = """
[targets."openai/limited-to-two"]
concurrency = 2
[targets."openai/no-prefill"]
prefill = false
"""


@pytest.fixture(scope="package")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    """A gateway, a worker, and vendors of their own."""
    with VendorServer() as server:
        found = Theatre(tmp_path_factory.mktemp("theatre"), server, CONFIG)
        try:
            yield found
        finally:
            found.close()


@pytest.fixture(scope="package")
def seen(theatre: Theatre) -> dict[tuple[str, Vendor], Seen]:
    """What came of every case at every vendor."""
    return theatre.act()
