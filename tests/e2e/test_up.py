"""`ringback up` as a new user meets it, and what it survives."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import pytest

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="finds the children in /proc")

RINGBACK = (sys.executable, "-P", "-m", "ringback")
READY = re.compile(r"^Ringback is ready at (http://127\.0\.0\.1:\d+)$")
LIMIT_S = 60.0
ANGRY = "주문한 지 3주나 지났는데 도대체 왜 안 와요?! 주문번호 20261121입니다. 당장 환불해 주세요. 정말 한심하네요."


def environment(**variables: str) -> dict[str, str]:
    """Ours and the vendors' variables are left out: a fresh machine."""
    ours = ("RINGBACK_", "AWS_", "GEMINI_", "GOOGLE_", "ANTHROPIC_", "OPENAI_", "PYTHONDONTWRITEBYTECODE")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return clean | {"AWS_SHARED_CREDENTIALS_FILE": os.devnull + "/none"} | variables


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


class Up:
    """A `ringback up` in a directory of its own."""

    def __init__(self, home: Path, *options: str, **variables: str) -> None:
        self.home = home
        self.lines: list[str] = []
        self.errors = (home / "stderr").open("a+b")
        self.process = subprocess.Popen(
            [*RINGBACK, "up", *options],
            cwd=home,
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def said(self) -> str:
        """What it wrote to stderr, its children's logs included."""
        return (self.home / "stderr").read_text(encoding="utf-8")

    def urls(self) -> list[str]:
        """The URL of every ready line."""
        return [match[1] for line in list(self.lines) if (match := READY.match(line))]

    @property
    def url(self) -> str:
        return self.urls()[0]

    def wait_ready(self) -> Self:
        wait_until(lambda: bool(self.urls()) or self.process.poll() is not None, "the ready line")
        assert self.process.poll() is None, self.said()
        return self

    def healthy(self) -> bool:
        """Whether the gateway takes jobs and a worker runs them."""
        try:
            with urllib.request.urlopen(f"{self.url}/health/ready", timeout=5) as answer:
                return b'"ready"' in answer.read()
        except (OSError, urllib.error.HTTPError):
            return False

    def children(self) -> dict[str, int]:
        """Process id of each child, by role."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except (OSError, ProcessLookupError):
                continue  # it has ended meanwhile
            if parent == self.process.pid:  # one that is just being made, or ended, has no name of its own
                if b"valkey-server" in words[0]:  # it writes where it listens behind its name
                    found["valkey"] = int(entry.name)
                elif words[-2:-1] in ([b"worker"], [b"gateway"]):
                    found[words[-2].decode()] = int(entry.name)
        return found

    def command(self, *argv: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Runs another command of ours beside it."""
        return subprocess.run(
            [*RINGBACK, *argv],
            cwd=self.home,
            env=environment(RINGBACK_URL=self.url, **variables),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=LIMIT_S,
            check=False,
        )

    def echo(self, text: str) -> None:
        """Runs a whole job."""
        done = self.command("submit", "summarize", "--text", text, "--model", "fake/x?text=heard", "--watch")
        assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr + self.said()

    def kill_child(self, role: str) -> None:
        """Kills the child and waits until there is another one."""
        before = self.children()[role]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: self.children().get(role, before) != before, f"a new {role}")

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(LIMIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        children = self.children().values()
        self.process.kill()
        self.process.wait(LIMIT_S)
        wait_until(lambda: not any(map(exists, children)), "children gone")
        self._reader.join(LIMIT_S)
        assert self.process.stdout
        self.process.stdout.close()
        self.errors.close()


def exists(pid: int) -> bool:
    """Whether that process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, ProcessLookupError):
        return False


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One that is ready, for tests that leave it as it is."""
    with Up(tmp_path_factory.mktemp("up"), "--port", "0") as running:
        yield running.wait_ready()


@pytest.fixture
def own_up(tmp_path: Path) -> Iterator[Up]:
    """One that is ready, for tests that harm it."""
    with Up(tmp_path, "--port", "0") as running:
        yield running.wait_ready()


def test_it_says_what_a_new_user_needs_to_know(up: Up) -> None:
    assert up.urls() == [up.url]
    banner = "\n".join(up.lines)
    assert "API keys are off" in banner
    secret = (up.home / ".ringback" / "webhook-secret").read_text().strip()
    assert secret in banner
    wait_until(lambda: "ringback submit soften" in up.lines[-1], "a hint of what to do next")


def test_an_angry_inquiry_is_softened_without_any_key(up: Up) -> None:
    done = up.command("submit", "soften", "--text", ANGRY, "--watch")
    assert done.returncode == 0, done.stderr
    assert "20261121" in done.stdout
    assert "한심" not in done.stdout
    assert re.match(r"ringback: job_\w+\nringback: offline/\w+, attempt 1\n$", done.stderr)


def test_a_job_can_be_submitted_now_and_watched_later(up: Up) -> None:
    job_id = up.command("submit", "summarize", "--text", "x", "--model", "fake/x?text=나중에").stdout.strip()
    assert re.fullmatch(r"job_\w+", job_id)
    for _ in range(2):
        done = up.command("watch", job_id)
        assert (done.returncode, done.stdout) == (0, "나중에\n")


def test_a_job_that_fails_fails_the_command(up: Up) -> None:
    done = up.command("submit", "summarize", "--text", "x", "--model", "fake/x?fail=content_filtered", "--watch")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "failed: " in done.stderr
    assert "(content_filtered)" in done.stderr


def test_what_is_wrong_with_a_request_is_shown(up: Up) -> None:
    done = up.command("submit", "nonsense", "--text", "x")
    assert (done.returncode, done.stdout) == (1, "")
    assert "#/type" in done.stderr
    assert "nonsense" in done.stderr


def test_the_doctor_finds_it_well(up: Up) -> None:
    done = up.command("doctor", RINGBACK_PROVIDERS="fake", RINGBACK_DEFAULT_MODEL="fake/echo")
    assert done.returncode == 0, done.stdout + done.stderr
    verdicts = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")}
    assert verdicts.items() >= {"store": "ok", "broker": "ok", "worker": "ok", "fake/echo": "ok"}.items()


def test_keys_can_be_made_listed_and_revoked(up: Up) -> None:
    key = up.command("keys", "create", "주문 서비스").stdout.strip()
    assert re.fullmatch(r"rb_[0-9a-f]{12}_[0-9a-f]{64}", key)
    key_id = key.split("_")[1]
    listed = up.command("keys", "list").stdout
    assert key_id in listed
    assert "주문 서비스" in listed
    assert key.split("_")[2] not in listed
    assert up.command("keys", "revoke", key_id).returncode == 0
    again = up.command("keys", "revoke", key_id)
    assert again.returncode == 1
    assert key_id in again.stderr


def test_a_second_one_on_the_same_data_is_refused(up: Up) -> None:
    done = up.command("up", "--port", "0")
    assert done.returncode == 1
    assert f"in use by another `ringback up`, process {up.process.pid};" in done.stderr
    assert up.healthy()


def test_a_second_one_on_the_same_port_is_refused(up: Up, tmp_path: Path) -> None:
    port = up.url.rpartition(":")[2]
    done = up.command("up", "--port", port, "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == (
        f"ringback: Port {port} on 127.0.0.1 is already in use; choose another with --port (0: any free one)\n"
    )


def test_ctrl_c_drains_and_exits_with_0(own_up: Up) -> None:
    own_up.echo("x")
    children = own_up.children()
    assert set(children) == {"valkey", "worker", "gateway"}
    os.killpg(own_up.process.pid, signal.SIGINT)  # all that a terminal's Ctrl-C would reach
    assert own_up.process.wait(LIMIT_S) == 0
    assert not any(map(exists, children.values()))
    assert "Traceback" not in own_up.said()


def test_whatever_is_killed_comes_back_and_nothing_is_lost(own_up: Up) -> None:
    job_id = own_up.command("submit", "summarize", "--text", "x", "--model", "fake/x?text=kept").stdout.strip()
    assert own_up.command("watch", job_id).stdout == "kept\n"
    for role in ("worker", "gateway", "valkey"):
        own_up.kill_child(role)
        wait_until(own_up.healthy, f"healthy after the {role} was killed")
        own_up.echo(role)
    assert own_up.command("watch", job_id).stdout == "kept\n"
    assert own_up.stop() == 0


def test_a_killed_supervisor_leaves_nothing_behind_and_can_be_followed(own_up: Up) -> None:
    job_id = own_up.command("submit", "summarize", "--text", "x", "--model", "fake/x?text=kept").stdout.strip()
    assert own_up.command("watch", job_id).stdout == "kept\n"
    children = own_up.children()
    own_up.process.kill()
    wait_until(lambda: not any(map(exists, children.values())), "children gone")
    with Up(own_up.home, "--port", "0") as next_up:
        next_up.wait_ready()
        assert next_up.command("watch", job_id).stdout == "kept\n"
        next_up.echo("x")


def test_a_job_under_way_is_finished_before_it_stops(own_up: Up) -> None:
    slow = "fake/x?text=a b c d&deltas=4&first_ms=500&delta_ms=300"
    job_id = own_up.command("submit", "summarize", "--text", "x", "--model", slow).stdout.strip()
    wait_until(lambda: status(own_up, job_id) == "running", "the job runs")
    assert own_up.stop() == 0
    with Up(own_up.home, "--port", "0") as next_up:
        next_up.wait_ready()
        assert status(next_up, job_id) == "succeeded"


def status(up: Up, job_id: str) -> str:
    with urllib.request.urlopen(f"{up.url}/v1/jobs/{job_id}", timeout=10) as answer:
        return str(msgspec.json.decode(answer.read())["status"])
