"""The registry: every provider, made lazily, once, and only if it is on; and none that escapes the contract."""

import os
import subprocess
import sys

import pytest
import structlog

from jobs import errors
from jobs.model import PROVIDERS
from jobs.settings import Settings
from providers.registry import CONSTRUCTORS, Services
from ringback.testing.vendors.server import VendorServer
from tests.contract.cases import collect


def test_every_provider_can_be_made_and_is_under_contract() -> None:
    assert set(CONSTRUCTORS) == set(PROVIDERS)
    assert {case.provider for case in collect()} == set(PROVIDERS)


async def test_makes_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    services = Services(Settings(providers=("openai", "fake")))

    assert services.get("openai") is services.get("openai")
    assert services.get("fake").name == "fake"
    await services.aclose()


@pytest.mark.parametrize("provider", ["gemini", "nobody"])
def test_what_is_off_is_refused(provider: str) -> None:
    with pytest.raises(errors.ProviderDisabled, match=provider):
        Services(Settings(providers=("offline",))).get(provider)


def test_no_sdk_is_imported_before_it_is_asked() -> None:
    script = (
        "import sys; from jobs.settings import Settings; from providers.registry import Services;"
        "s = Services(Settings(providers=('openai', 'anthropic', 'bedrock', 'gemini', 'fake')));"
        "[s.get(name) for name in ('openai', 'anthropic', 'bedrock', 'gemini', 'fake')];"
        "print(*{'anthropic', 'boto3', 'botocore', 'google.genai', 'openai'} & {*sys.modules})"
    )
    environment = os.environ | {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr


async def test_every_service_that_is_on_can_be_warmed_up(
    vendor_server: VendorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in vendor_server.environment().items():
        monkeypatch.setenv(name, value)
    services = Services(Settings(providers=PROVIDERS))
    with structlog.testing.capture_logs() as logs:
        await services.warm_up()
    await services.aclose()
    assert logs == []
    assert vendor_server.received == [], "nobody is asked anything"
