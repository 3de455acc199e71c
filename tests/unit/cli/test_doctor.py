"""The doctor, with a real store, without one, and with one that hangs."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from jobs.store.circuits import Circuits
from jobs.store.connection import Connection
from jobs.store.presence import Presence
from ringback import doctor, embedded
from tests.unit.cli.test_embedded import running

pytestmark = pytest.mark.usefixtures("own_logging", "surroundings")


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current directory, only the fake provider, no variables of ours or of a vendor's."""
    for name in os.environ:
        if name.startswith(("RINGBACK_", "AWS_", "GEMINI_", "GOOGLE_", "ANTHROPIC_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RINGBACK_PROVIDERS", "fake")
    monkeypatch.setenv("RINGBACK_DEFAULT_MODEL", "fake/echo")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator["Redis"]:
    """The store of an `up` that runs in the default data directory."""
    (tmp_path / ".ringback").mkdir()
    with running(tmp_path / ".ringback") as (_, client):
        yield client


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def examine(
    capsys: pytest.CaptureFixture[str], *models: str, store_s: float = 10.0, provider_s: float = 10.0
) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code, and verdict and detail of each check."""
    code = doctor.examine(models=models, limits=doctor.Limits(store_s=store_s, provider_s=provider_s))
    out, err = capsys.readouterr()
    assert err == ""
    lines = [line.split(maxsplit=2) for line in out.splitlines() if not line.startswith(" ")]
    return code, {name: (verdict, detail) for verdict, name, detail in lines}


def verdicts(found: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Only the verdicts."""
    return {name: verdict for name, (verdict, _) in found.items()}


async def _prove(url: str) -> None:
    connection = Connection(url, timeout=5)
    await Presence(connection).prove("worker")
    await connection.aclose()


def test_all_is_well_beside_a_running_up(
    store: "Redis", tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGBACK_WEBHOOK_SECRET", "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0")
    monkeypatch.setenv("RINGBACK_KEY_SECRET", "geheim" * 6)
    asyncio.run(_prove(embedded.find(tmp_path / ".ringback") or ""))
    code, found = examine(capsys)
    assert set(verdicts(found).values()) == {"ok"}
    assert code == 0
    assert set(found) == {
        *("configuration", "signing", "keys", "prompts", "store", "durability", "eviction"),
        *("broker", "worker", "circuits", "fake/echo"),
    }
    assert "valkey 9" in found["store"][1]
    assert found["worker"][1] == "consuming: 1"


def test_what_would_lose_jobs_is_said_loudly(store: "Redis", capsys: pytest.CaptureFixture[str]) -> None:
    store.config_set("appendonly", "no")
    store.config_set("maxmemory-policy", "allkeys-lru")
    code, found = examine(capsys)
    assert code == 0
    assert found["durability"][0] == found["eviction"][0] == found["worker"][0] == found["signing"][0] == "warn"
    assert "LOSES ACCEPTED JOBS" in found["durability"][1]
    assert "the policy is allkeys-lru: a full store DROPS ACCEPTED JOBS" in found["eviction"][1]
    assert found["worker"][1] == "no worker is consuming: jobs are accepted, but none will run"


def test_without_a_store_it_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    monkeypatch.setenv("RINGBACK_REDIS_URL", f"redis://127.0.0.1:{closed}/0")
    code, found = examine(capsys)
    assert code == 1
    assert found["store"][0] == found["broker"][0] == "fail"
    assert found["store"][1].endswith("; start `ringback up`, or name one in RINGBACK_REDIS_URL")
    assert f"redis://127.0.0.1:{closed}/0" in found["store"][1]
    assert "worker" not in found
    assert found["fake/echo"][0] == "ok"


def test_a_store_that_hangs_is_not_waited_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, silent_port: int
) -> None:
    monkeypatch.setenv("RINGBACK_REDIS_URL", f"redis://127.0.0.1:{silent_port}/0")
    code, found = examine(capsys, store_s=0.3)
    assert code == 1
    url = f"redis://127.0.0.1:{silent_port}/0"
    assert found["store"][0] == "fail"
    assert found["store"][1].startswith(f"{url}: no answer within 0.3 s; ")
    assert found["broker"] == ("fail", f"{url} does not answer within 0.3 s")


def test_models_that_fail_hang_or_are_off_are_told(store: "Redis", capsys: pytest.CaptureFixture[str]) -> None:
    failing = "fake/x?fail=provider_overloaded"
    code, found = examine(capsys, failing, "fake/x?fail=hang", "gemini/gemini-2.5-flash", provider_s=0.3)
    assert code == 1
    assert found[failing][0] == "fail"
    assert found[failing][1].startswith("provider_overloaded: ")
    assert found["fake/x?fail=hang"] == ("fail", "no answer within 0.3 s")
    assert found["gemini/gemini-2.5-flash"][0] == "fail"
    assert found["gemini/gemini-2.5-flash"][1].startswith("provider_disabled: ")
    assert found["fake/echo"][0] == "ok"


def test_a_provider_without_a_named_model_is_told(
    store: "Redis", capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGBACK_PROVIDERS", "fake,openai")
    code, found = examine(capsys)
    assert code == 0
    assert found["openai"] == (
        "warn",
        "configured, but no model of it is named; try one with --model openai/MODEL",
    )


def test_models_of_routes_are_tried(store: "Redis", tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ringback.toml").write_text('[routes]\nfast = ["fake/echo", "fake/other"]\n')
    _, found = examine(capsys, "fast")
    assert {name for name in found if "/" in name} == {"fake/echo", "fake/other"}


def test_no_secret_is_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGBACK_REDIS_URL", "redis://user:geheim@127.0.0.1:1/0")
    monkeypatch.setenv("RINGBACK_BROKER_URL", "amqp://user:geheim@127.0.0.1:1//")
    monkeypatch.setenv("RINGBACK_WEBHOOK_SECRET", "whsec_Z2VoZWltZ2VoZWltZ2VoZWltZ2VoZWlt")
    monkeypatch.setenv("RINGBACK_KEY_SECRET", "geheim" * 6)
    assert doctor.examine(models=()) == 1
    out, _ = capsys.readouterr()
    assert "geheim" not in out
    assert "Z2VoZWlt" not in out
    assert "redis_url = redis://***@127.0.0.1:1/0" in out
    assert "webhook_secret = (set)" in out
    assert "key_secret = (set)" in out


@pytest.mark.parametrize(
    ("variable", "value", "check"),
    [
        ("RINGBACK_PORT", "99999", "configuration"),
        ("RINGBACK_PROVIDERS", "nobody", "configuration"),
        ("RINGBACK_PROMPTS_DIR", "missing", "prompts"),
        ("RINGBACK_WEBHOOK_SECRET", "secret", "signing"),
        ("RINGBACK_KEY_SECRET", "secret", "keys"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    store: "Redis",
    variable: str,
    value: str,
    check: str,
) -> None:
    monkeypatch.setenv(variable, value)
    code, found = examine(capsys)
    assert code == 1
    assert found[check][0] == "fail"
    assert variable in found[check][1] or value in found[check][1]


@pytest.mark.usefixtures("store")
def test_targets_that_are_left_alone_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    async def fail() -> None:
        connection = Connection(embedded.find(Path(".ringback")) or "", timeout=5)
        for _ in range(5):
            await Circuits(connection).seen("bedrock/claude eu-west-1", failure="provider_overloaded")
        await connection.aclose()

    asyncio.run(fail())
    _, found = examine(capsys)
    verdict, detail = found["circuits"]
    assert verdict == "warn"
    assert detail.startswith("bedrock/claude in eu-west-1 is left alone after provider_overloaded (")
