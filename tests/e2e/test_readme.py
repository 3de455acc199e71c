"""The README, done as it says: its commands are run and its outputs are compared with the real ones."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.test_up import Up, environment
from tests.stack import eventually, free_port

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARIABLE = (
    (re.compile(r"\b(job|msg|dlv)_[0-9A-Z]{26}\b"), r"\1_ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "TIME"),
    (re.compile(r'"sha256":"[0-9a-f]{64}"'), '"sha256":"HASH"'),
    (re.compile(r'"duration_ms":\d+'), '"duration_ms":N'),
)


def normal(text: str) -> str:
    for pattern, name in VARIABLE:
        text = pattern.sub(name, text)
    return text.strip()


def matches(real: str, shown: str) -> bool:
    """`…` in what is shown stands for anything within a line."""
    parts = [re.escape(part) for part in normal(shown).split("…")]
    return re.fullmatch("[^\n]*".join(parts), normal(real)) is not None


@pytest.fixture
def tour(tmp_path: Path) -> Iterator[tuple[Up, Callable[[str], str], Path]]:
    """A running `ringback up`, a shell that runs the README's commands against it, and the inbox's log."""
    port = free_port()
    with Up(tmp_path, "--port", "0", RINGBACK_CALLBACK_ALLOW="127.0.0.0/8") as up:
        up.wait_ready()
        log = tmp_path / "inbox.log"
        secret = (tmp_path / ".ringback" / "webhook-secret").read_text().strip()
        with log.open("wb") as sink:
            inbox = subprocess.Popen(
                [sys.executable, ROOT / "examples" / "inbox.py", secret, str(port)], stdout=sink, stderr=sink
            )

        def shell(command: str) -> str:
            command = command.replace("http://localhost:8000", up.url).replace("localhost:8000", up.url)
            command = command.replace("127.0.0.1:9000", f"127.0.0.1:{port}").replace("python3", sys.executable)
            command = command.replace("examples/", f"{ROOT}/examples/")
            done = subprocess.run(
                ["bash", "-euc", f"touch .vars; source .vars; {command}\ndeclare -p JOB > .vars 2>/dev/null || true"],
                cwd=tmp_path,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            return done.stdout.replace(str(port), "9000")

        try:
            eventually(lambda: b"Waiting" in log.read_bytes(), what="the inbox listens")
            yield up, shell, log
        finally:
            inbox.kill()
            inbox.wait()


def test_the_tour_prints_what_it_shows(tour: tuple[Up, Callable[[str], str], Path]) -> None:
    up, shell, log = tour
    blocks = BLOCK.findall((ROOT / "README.md").read_text())
    (_, start), (_, banner), (_, _inbox), *steps = blocks
    assert "make up" in start
    for line in banner.strip().splitlines():
        assert line.split(":")[0].split(" whsec_")[0].split(" in ")[0] in "\n".join(up.lines)
    ran = 0
    while steps:
        kind, text = steps.pop(0)
        if kind == "text":
            continue
        _, shown = steps.pop(0)
        real = shell(text)
        assert matches(real, shown), f"{text}\nprinted\n{normal(real)}\nnot\n{normal(shown)}"
        ran += 1
        if "/events" in text:
            _, shown = steps.pop(0)
            deadline = time.monotonic() + 20
            while log.read_text().count("\n") < 3 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert matches(log.read_text().replace(re.findall(r"127.0.0.1:(\d+)", log.read_text())[0], "9000"), shown)
    assert ran == 6
