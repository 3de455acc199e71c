"""What `ringback up` decides before it starts anything."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs import errors, settings
from ringback import data_dir, up


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current directory, no variables of ours or of a vendor's."""
    for name in os.environ:
        if name.startswith(("RINGBACK_", "AWS_", "GEMINI_", "GOOGLE_", "ANTHROPIC_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def plan(host: str | None = None, port: int | None = 0) -> up.Plan:
    given = settings.load(defaults={"redis_url": ""}, host=host, port=port)
    given.data_dir.mkdir(exist_ok=True)
    return up.complete(given)


def test_with_nothing_set_all_is_embedded_and_open_on_loopback(tmp_path: Path) -> None:
    decided = plan()
    assert decided.store
    assert decided.settings.redis_url == decided.store.url
    assert decided.settings.host == "127.0.0.1"
    assert decided.settings.port > 0
    assert decided.settings.api_keys == "off"
    assert decided.settings.providers == ("offline", "fake")
    assert decided.settings.data_dir == tmp_path / ".ringback"
    assert decided.made_secret
    secret = tmp_path / ".ringback" / "webhook-secret"
    assert secret.read_text().strip() == decided.settings.webhook_secret == plan().settings.webhook_secret
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_what_is_set_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RINGBACK_API_KEYS", "required")
    monkeypatch.setenv("RINGBACK_WEBHOOK_SECRET", "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0")
    monkeypatch.setenv("RINGBACK_REDIS_URL", "redis://elsewhere:6379/3")
    (tmp_path / "ringback.toml").write_text('providers = ["offline"]\ndata_dir = "here"\n')
    decided = plan()
    assert decided.store is None
    assert decided.settings.redis_url == "redis://elsewhere:6379/3"
    assert decided.settings.api_keys == "required"
    assert decided.settings.providers == ("offline",)
    assert decided.settings.data_dir == tmp_path / "here"
    assert decided.settings.webhook_secret == "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
    assert not decided.made_secret
    assert [child.name for child in up.children(decided, lock=99)] == ["worker", "gateway"]


def test_the_fake_is_added_to_the_providers_whose_keys_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    assert plan().settings.providers == ("gemini", "offline", "fake")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", "off"), ("localhost", "off"), ("127.3.2.1", "off"), ("0.0.0.0", "required")],
)
def test_keys_are_off_on_loopback_only(host: str, expected: str) -> None:
    assert plan(host=host).settings.api_keys == expected


def test_a_port_in_use_is_named(busy_port: int) -> None:
    with pytest.raises(errors.ConfigurationError, match=f"Port {busy_port} on 127.0.0.1 is already in use"):
        plan(port=busy_port)
    with pytest.raises(errors.ConfigurationError, match=f"Port {busy_port} on 0.0.0.0 is already in use"):
        plan(host="0.0.0.0", port=busy_port)


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(errors.ConfigurationError, match=r"on 192\.0\.2\.1 cannot be used: "):
        plan(host="192.0.2.1")
    with pytest.raises(errors.ConfigurationError, match=r"on no such host cannot be used: "):
        plan(host="no such host")


def test_a_data_directory_in_use_is_told(tmp_path: Path) -> None:
    taken = pytest.raises(errors.ConfigurationError, match=f"in use by another `ringback up`, process {os.getpid()};")
    with data_dir.claimed(tmp_path / "data"), taken:
        up.up(host=None, port=0, directory=tmp_path / "data")


def test_the_children_are_told_what_was_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGBACK_LOG_FORMAT", "json")
    decided = plan()
    store, worker, gateway = up.children(decided, lock=99)
    assert [store.name, worker.name, gateway.name] == ["valkey", "worker", "gateway"]
    assert store.keep_fds == (99,)
    assert settings.load(gateway.env) == settings.load(worker.env) == decided.settings
    assert gateway.argv[-3:] == ("-m", "ringback", "gateway")
    assert worker.argv[-3:] == ("-m", "ringback", "worker")
