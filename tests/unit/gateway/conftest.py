"""A gateway within the test's own event loop, on a real store."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from gateway.app import Gateway
from jobs.settings import Settings
from prompts import registry


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """The app without its HTTP server, open to all."""
    made = Gateway(msgspec.structs.replace(settings, api_keys="off"), registry.load(None))
    yield made
    await made.aclose()
