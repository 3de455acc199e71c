"""Runs the contract suite once for each case; the services talk to the vendor server through their real clients."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from providers.service import AIService
from ringback.testing.vendors.server import VendorServer
from tests.contract.case import Case
from tests.contract.cases import collect

CASES = collect()
WIRED = tuple(case for case in CASES if case.vendor is not None)

_NOT_FROM_OUTSIDE = (
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_ENDPOINT_URL",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_CUSTOM_HEADERS",
    "GOOGLE_API_KEY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
)
"""Variables of the developer's own shell that would lead a vendor's SDK elsewhere."""


@pytest.fixture(params=CASES, ids=lambda case: case.id)
def case(request: pytest.FixtureRequest) -> Case:
    """Each implementation."""
    given: Case = request.param
    return given


@pytest.fixture(params=WIRED, ids=lambda case: case.id)
def wired(request: pytest.FixtureRequest) -> Case:
    """Each implementation that speaks a vendor's wire."""
    given: Case = request.param
    return given


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services() -> AsyncIterator[dict[str, AIService]]:
    """The services made so far, by the id of their case: one for all tests, as one serves all jobs of a process."""
    made: dict[str, AIService] = {}
    yield made
    for service in made.values():
        await service.aclose()


@pytest.fixture
def service(
    request: pytest.FixtureRequest,
    vendor_server: VendorServer,
    monkeypatch: pytest.MonkeyPatch,
    services: dict[str, AIService],
) -> AIService:
    """The service of `case` or `wired`, whichever the test asks for."""
    case: Case = request.getfixturevalue("wired" if "wired" in request.fixturenames else "case")
    for name in _NOT_FROM_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in {**vendor_server.environment(), **case.environment}.items():
        monkeypatch.setenv(name, value)
    if case.id not in services:
        services[case.id] = case.make()
    return services[case.id]
