"""The log lines: one renderer for all, and nothing in them that does not belong there."""

import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
import structlog

from jobs import logs
from jobs.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def configure(own_logging: None) -> Callable[..., None]:
    def configured(log_format: Literal["console", "json"] = "json", **changes: Any) -> None:
        logs.configure(msgspec.structs.replace(Settings(), log_format=log_format, **changes), "worker")

    return configured


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_ours_and_a_librarys_look_the_same(configure: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    structlog.get_logger("jobs.store").info("job_accepted", job_id="job_1", size=12)
    logging.getLogger("celery.worker").warning("lost %s", "it")
    ours, theirs = lines(capsys)
    assert ours["event"] == "job_accepted"
    assert (ours["job_id"], ours["size"], ours["level"], ours["role"]) == ("job_1", 12, "info", "worker")
    assert theirs["event"] == "lost it"
    assert (theirs["logger"], theirs["level"], theirs["role"]) == ("celery.worker", "warning", "worker")
    assert ours["pid"] == theirs["pid"]
    for line in (ours, theirs):
        assert datetime.fromisoformat(line["timestamp"]).utcoffset() == timedelta(0)


def test_libraries_are_heard_from_warning_up_only(
    configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(log_level="debug")
    structlog.get_logger().debug("ours")
    logging.getLogger("httpx2").info("GET https://example.com/?key=secret")
    logging.getLogger("botocore").debug("the whole request")
    warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert [line["level"] for line in lines(capsys)] == ["debug", "warning"]


def test_the_level_is_the_settings(configure: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    configure(log_level="error")
    structlog.get_logger().warning("no")
    logging.getLogger("celery").warning("no")
    structlog.get_logger().error("yes")
    assert [line["event"] for line in lines(capsys)] == ["yes"]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_tracebacks_show_no_local_variables(
    configure: Callable[..., None], capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    configure(log_format)

    def fail(prompt: str) -> None:
        raise ValueError(len(prompt))

    words = "a customer's " + "private words"
    try:
        fail(words)
    except ValueError:
        structlog.get_logger().exception("job_failed")
        logging.getLogger("celery").exception("job_failed")
    _, err = capsys.readouterr()
    assert err.count("ValueError: 26") == 2
    assert "customer's private" not in err
    if log_format == "json":
        assert len(err.splitlines()) == 2


def test_console_lines_are_plain_where_nobody_watches(
    configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure("console")
    structlog.get_logger().info("작업", job_id="job_1")
    _, err = capsys.readouterr()
    assert "작업" in err
    assert "job_id=job_1" in err
    assert "\x1b" not in err


def test_configuring_again_doubles_nothing(configure: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    configure()
    structlog.get_logger().info("once")
    assert len(lines(capsys)) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_broken_stderr_breaks_nothing_else() -> None:
    program = """
from jobs import logs
from jobs.settings import Settings
logs.configure(Settings(), "worker")
import logging, structlog, sys
structlog.get_logger().info("lost")
logging.getLogger("celery").warning("lost")
print("still here", "rich.console" in sys.modules)
"""
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, cwd=ROOT, check=False, timeout=30)
    assert done.stdout == b"still here False\n"
