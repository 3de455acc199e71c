"""The embedded Valkey, for real: where it is, and what survives a kill."""

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as Unconnected

from ringback import embedded
from tests.unit.cli.children import wait_until


@contextmanager
def running(data_dir: Path) -> Iterator[tuple["subprocess.Popen[bytes]", "Redis"]]:
    store = embedded.prepare(data_dir)
    with subprocess.Popen(store.argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        client = Redis.from_url(store.url)
        try:
            wait_until(lambda: _answers(client) or process.poll() is not None)
            assert process.poll() is None, process.stdout and process.stdout.read()
            yield process, client
        finally:
            client.close()
            process.kill()


def _answers(client: "Redis") -> bool:
    try:
        return bool(client.ping())
    except Unconnected:
        return False


def kill_once_written(process: "subprocess.Popen[bytes]", client: "Redis") -> None:
    """Kills the server when its log is on disk: under `everysec` a write waits in memory while a sync is under way."""
    assert client.waitaof(1, 0, 20_000)[0] == 1
    process.kill()
    process.wait()


def test_it_listens_on_a_socket_of_its_owner_only_and_on_no_port(tmp_path: Path) -> None:
    with running(tmp_path) as (_, client):
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("save") == {"save": ""}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("append*")["appendfsync"] == "everysec"
        assert client.config_get("append*")["appendonly"] == "yes"
        assert stat.S_IMODE((tmp_path / "valkey").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "valkey" / "socket").stat().st_mode) == 0o700
        assert embedded.find(tmp_path) == embedded.prepare(tmp_path).url


def test_what_was_written_survives_a_kill(tmp_path: Path) -> None:
    with running(tmp_path) as (process, client):
        for number in range(1000):
            client.set(f"key{number}", number)
        kill_once_written(process, client)
    with running(tmp_path) as (_, client):
        assert client.dbsize() == 1000
        assert client.get("key999") == b"999"


def test_a_log_cut_in_mid_record_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    with running(tmp_path) as (process, client):
        client.set("whole", 1)
        client.set("cut", 2)
        kill_once_written(process, client)
    log = next((tmp_path / "valkey" / "appendonlydir").glob("*.incr.aof"))
    os.truncate(log, log.stat().st_size - 5)
    with running(tmp_path) as (_, client):
        assert client.get("whole") == b"1"
        assert client.get("cut") is None


@pytest.mark.parametrize("name", ["한글 폴더 100% #?", "long" * 40], ids=["odd", "long"])
def test_it_runs_in_any_directory(name: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    base = Path(tempfile.mkdtemp())  # a socket's path must be short, and tmp_path need not be
    request.addfinalizer(lambda: shutil.rmtree(base))
    short, home = base / "short", base / name
    short.mkdir()
    home.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    for _ in range(2):
        with running(home) as (_process, client):
            client.incr("runs")
            found = embedded.find(home)
            assert found
            assert Redis.from_url(found).get("runs")
            assert len(client.connection_pool.connection_kwargs["path"].encode()) <= 100
    with running(home) as (_process, client):
        assert client.get("runs") == b"2"
    assert len(list(short.iterdir())) == (1 if name.startswith("long") else 0)


def test_nothing_is_found_where_nothing_ran(tmp_path: Path) -> None:
    assert embedded.find(tmp_path) is None
    assert embedded.find(tmp_path / "missing") is None
