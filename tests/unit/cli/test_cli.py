"""The commands as typed: usage, exit codes, and how little they load."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ringback import cli

ROOT = Path(__file__).parents[3]
COMMANDS = ("up", "gateway", "worker", "submit", "watch", "doctor", "keys")


def ringback(*argv: str, cwd: Path = ROOT, **variables: str) -> "subprocess.CompletedProcess[str]":
    env = {name: value for name, value in os.environ.items() if not name.startswith("RINGBACK_")} | variables
    command = [sys.executable, "-P", "-m", "ringback", *argv]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"ringback {version}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main([command, "--help"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: ringback {command}")


@pytest.mark.parametrize(
    "argv",
    [[], ["nonsense"], ["submit"], ["watch"], ["up", "--port", "x"], ["up", "--port", "70000"], ["up", "extra"]],
)
def test_wrong_usage_exits_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(argv)
    assert exit_.value.code == 2
    assert "usage: ringback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--input", "{"], "--input is not valid JSON: "),
        (["--input", "[1]", "--text", "x"], "--text goes into --input, which is not a JSON object"),
        (["--input", "-", "--text", "-"], "Only one of --input and --text can be read from stdin"),
        (["--text", "x", "--metadata", "nope"], "--metadata is not valid JSON: "),
    ],
)
def test_input_that_cannot_be_sent_is_told(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["submit", "soften", *argv]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"ringback: {message}")
    assert len(err.splitlines()) == 1


def test_an_argument_that_is_no_text_is_wrong_usage() -> None:
    command: list[str | bytes] = [sys.executable, "-m", "ringback", "submit", "soften", "--text", b"\xff"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert b"argument --text: not valid UTF-8" in done.stderr


@pytest.mark.parametrize("command", ["gateway", "worker", "up", "doctor"])
def test_a_broken_configuration_is_told_in_one_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "ringback.toml").write_text("port = \n")
    done = ringback(command, cwd=tmp_path)
    assert done.returncode == (os.EX_CONFIG if command in ("gateway", "worker") else 1)
    assert "ringback.toml: not valid TOML: Invalid value" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert len((done.stderr + done.stdout).splitlines()) == 1


def test_a_data_directory_with_something_else_in_it_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "valkey").write_text("")
    done = ringback("up", "--port", "0", "--data-dir", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"ringback: [Errno 17] File exists: '{tmp_path}/valkey'\n"


@pytest.mark.parametrize("role", ["gateway", "worker"])
def test_a_broken_prompt_file_stops_a_role_with_its_name(role: str, tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_text("no front matter\n")
    done = ringback(role, cwd=tmp_path, RINGBACK_PROMPTS_DIR=str(tmp_path), RINGBACK_PORT="0")
    assert done.returncode == os.EX_CONFIG
    assert "mine.md:1: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_role_does_not_run_what_lies_in_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text("raise SystemExit('the wrong jobs')\n")
    assert "the wrong jobs" not in ringback("watch", "x", "--url", "nonsense", cwd=tmp_path).stderr


def test_the_supervisor_and_the_client_load_nothing_heavy() -> None:
    program = "import sys; from ringback import cli, follow, remote, supervisor, up; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, timeout=60)
    loaded = set(done.stdout.decode().split())
    heavy = {"litestar", "uvicorn", "celery", "kombu", "aiohttp", "redis", "structlog", "jinja2", "boto3", "anthropic"}
    assert "ringback.up" in loaded
    assert not loaded & heavy


def test_the_commands_in_the_documentation_can_be_typed() -> None:
    text = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    commands = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert {shlex.split(command)[1] for command in commands} == set(COMMANDS)
    for command in commands:
        assert cli.parser().parse_args(shlex.split(command)[1:]).run


def test_the_commands_for_keys_in_the_documentation_can_be_typed() -> None:
    text = (ROOT / "docs" / "access.md").read_text(encoding="utf-8")
    commands = [
        shlex.split(line) for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
    ]
    assert {command[2] for command in commands} == {"create", "list", "rotate", "revoke"}
    for command in commands:
        assert cli.parser().parse_args(command[1:]).run
