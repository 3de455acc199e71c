"""`ringback keys`, for real: made, shown, rotated, revoked; and where the secret comes from that hashes them."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from jobs import errors
from jobs.store.access_keys import DEFAULT_SCOPES, AccessKey, AccessKeys, Rate
from jobs.store.connection import Connection
from ringback import cli, data_dir, embedded
from tests.unit.cli.test_embedded import running

pytestmark = pytest.mark.usefixtures("surroundings")


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current directory, no variables of ours."""
    for name in os.environ:
        if name.startswith("RINGBACK_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The data directory of an `up` that runs here, with its secret."""
    home = tmp_path / ".ringback"
    home.mkdir()
    data_dir.key_secret(home)
    with running(home):
        yield home


def ringback(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What the command prints; it must succeed."""
    assert cli.main(["keys", *argv]) == 0
    return capsys.readouterr().out.strip()


def admitted(home: Path, key: str) -> AccessKey | None:
    """What a gateway of that `up` knows of the key; `None` if it does not let it in."""

    async def ask() -> AccessKey | None:
        connection = Connection(embedded.find(home) or "", timeout=5.0)
        try:
            return await AccessKeys(connection, data_dir.key_secret(home)).admit(key)
        except errors.Unauthorized:
            return None
        finally:
            await connection.aclose()

    return asyncio.run(ask())


def test_a_key_from_its_making_to_its_end(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = ringback(capsys, "create", "주문")
    found = admitted(home, key)
    assert found is not None
    assert (found.name, found.scopes, found.rate, found.tokens_per_day) == ("주문", DEFAULT_SCOPES, None, None)
    line = ringback(capsys, "list")
    assert line.startswith(found.id)
    assert line.endswith("주문  jobs:read,jobs:write,deliveries:write")
    assert key.split("_")[2] not in line

    rotated = ringback(capsys, "rotate", found.id)
    assert rotated.split("_")[1] == found.id
    assert admitted(home, key) == admitted(home, rotated) == found

    again = ringback(capsys, "rotate", found.id, "--overlap", "0")
    assert admitted(home, rotated) is None
    assert admitted(home, again) == found

    assert ringback(capsys, "revoke", found.id) == ""
    assert admitted(home, again) is None
    assert ringback(capsys, "list") == ""


def test_what_a_key_may_do_is_said_when_it_is_made(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = (
        *("--name", "shop", "--scope", "jobs:write,jobs:read", "--types", "soften, summarize"),
        *("--callback-hosts", "Hooks.Example,*.shop.example", "--rate", "600/min", "--tokens-per-day", "50000"),
    )
    found = admitted(home, ringback(capsys, "create", *options))
    assert found is not None
    assert (found.name, found.scopes, found.types) == ("shop", ("jobs:write", "jobs:read"), ("soften", "summarize"))
    assert found.callback_hosts == ("hooks.example", "*.shop.example")
    assert (found.rate, found.tokens_per_day) == (Rate(requests=600, seconds=60), 50000)
    assert ringback(capsys, "list").endswith(
        "shop  jobs:write,jobs:read  types=soften,summarize  callback-hosts=hooks.example,*.shop.example"
        "  rate=600/min  tokens-per-day=50000"
    )


def test_programs_read_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = msgspec.json.decode(ringback(capsys, "create", "shop", "--json"))
    found = admitted(home, made["key"])
    assert found is not None
    assert made["id"] == found.id
    listed = ringback(capsys, "list", "--json")
    assert msgspec.json.decode(listed, type=AccessKey) == found
    rotated = msgspec.json.decode(ringback(capsys, "rotate", found.id, "--json"))
    assert admitted(home, rotated["key"]) == found


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("create", "x", "--scope", "jobs:all"), "'jobs:all' is no scope; there are jobs:read, jobs:write"),
        (("create", "x", "--rate", "10/h"), "--rate: '10/h' is no rate such as 10/s or 600/min"),
        (("rotate", "0123456789ab"), "There is no key with the id '0123456789ab'"),
        (("revoke", "0123456789ab"), "There is no key with the id '0123456789ab'; `ringback keys list` shows them"),
    ],
)
def test_what_cannot_be_is_told(
    home: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], message: str
) -> None:
    assert cli.main(["keys", *argv]) == 1
    assert message in capsys.readouterr().err
    assert ringback(capsys, "list") == ""


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("create",),
        ("create", "x", "--name", "y"),
        ("create", "x", "--scope", ""),
        ("create", "x", "--types", "soften,,summarize"),
        ("create", "x", "--tokens-per-day", "0"),
        ("create", "x", "--tokens-per-day", "-5"),
        ("create", "x", "--tokens-per-day", "many"),
        ("rotate",),
        ("rotate", "x", "--overlap", "-1"),
        ("revoke",),
    ],
)
def test_wrong_usage_exits_with_2(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["keys", *argv])
    assert exit_.value.code == 2
    assert "usage: ringback keys" in capsys.readouterr().err


def test_with_a_short_secret_no_key_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGBACK_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("RINGBACK_KEY_SECRET", "short")
    assert cli.main(["keys", "create", "x"]) == 1
    assert "RINGBACK_KEY_SECRET: API keys are hashed with it; set it to 32 random" in capsys.readouterr().err
    assert not (tmp_path / ".ringback").exists()


def test_the_secret_that_is_set_wins(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGBACK_KEY_SECRET", "another one, of 32 characters, or more")
    assert admitted(home, ringback(capsys, "create", "x")) is None
