"""The stores on a real Valkey, empty before each test."""

import pytest

from jobs.settings import Settings
from jobs.store.connection import Connection
from jobs.store.dead_letters import DeadLetters
from jobs.store.deliveries import Outbox
from jobs.store.listing import Listing


@pytest.fixture
def outbox(connection: Connection, settings: Settings) -> Outbox:
    """The deliveries."""
    return Outbox(connection, settings)


@pytest.fixture
def dead_letters(connection: Connection, settings: Settings) -> DeadLetters:
    """The lists of deliveries, and replays."""
    return DeadLetters(connection, settings)


@pytest.fixture
def listing(connection: Connection, settings: Settings) -> Listing:
    """The lists of jobs."""
    return Listing(connection, settings)
