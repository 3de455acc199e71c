"""The data directory: one user at a time, and the secret kept in it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from jobs import errors
from ringback import data_dir

_HOLDER = """
import sys, time
from pathlib import Path
from ringback import data_dir
with data_dir.claimed(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_it_is_made_for_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    with data_dir.claimed(home):
        pass
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_second_user_is_told_who_the_first_is_and_gets_it_after_that_one_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLDER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        taken = pytest.raises(errors.ConfigurationError, match=f"by another `ringback up`, process {holder.pid};")
        with taken, data_dir.claimed(tmp_path):
            pass
        holder.kill()
    with data_dir.claimed(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_what_inherits_the_lock_keeps_it(tmp_path: Path) -> None:
    with data_dir.claimed(tmp_path) as lock:
        heir = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock])
    with heir:
        with pytest.raises(errors.ConfigurationError, match="in use"), data_dir.claimed(tmp_path):
            pass
        heir.kill()
    with data_dir.claimed(tmp_path):
        pass


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(errors.ConfigurationError, match="data cannot be used: "), data_dir.claimed(tmp_path / "data"):
        pass


def test_the_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    secret = data_dir.webhook_secret(tmp_path)
    assert secret.startswith("whsec_")
    assert data_dir.webhook_secret(tmp_path) == secret
    assert stat.S_IMODE((tmp_path / "webhook-secret").stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"webhook-secret"}
    assert data_dir.webhook_secret(Path(os.fspath(tmp_path / ".." / tmp_path.name))) == secret


def test_secrets_differ_and_are_long_enough_for_the_standard(tmp_path: Path) -> None:
    from standardwebhooks import Webhook

    (tmp_path / "other").mkdir()
    secret = data_dir.webhook_secret(tmp_path)
    assert secret != data_dir.webhook_secret(tmp_path / "other")
    assert len(Webhook(secret)._whsecret) == 32


@pytest.mark.parametrize("content", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_***", "비밀", "c2VjcmV0" * 4])
def test_a_file_that_holds_something_else_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "webhook-secret").write_text(content, encoding="utf-8")
    with pytest.raises(errors.ConfigurationError, match="webhook-secret"):
        data_dir.webhook_secret(tmp_path)
