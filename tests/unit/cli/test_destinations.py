"""`ringback destinations`: what there is, without secrets, and tables made once."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.settings import Destination
from ringback import cli, destinations
from tests.slack import TOKEN, SlackServer

CONFIG = """
[destinations.support]
slack_webhook = "https://hooks.slack.com/services/T0/B0/geheim"
[destinations.bot]
slack_token = "xoxb-geheim"
[destinations.archive]
database_url = "sqlite:///results.db"
[destinations.reports]
database_url = "postgresql+pg8000://ringback:ge/heim@db.internal:5432/reports?password=geheim"
table = "ai.results"
[destinations.orders]
url = "https://orders.internal/hooks"
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("RINGBACK_CONFIG", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "ringback.toml").write_text(CONFIG)
    return tmp_path


def test_destinations_are_listed_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["destinations", "list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "support  slack webhook at hooks.slack.com",
        "bot  slack bot at slack.com",
        "archive  database sqlite:///results.db, table ringback_results",
        "reports  database postgresql+pg8000://db.internal:5432/reports, table ai.results",
        "orders  url https://orders.internal/hooks",
    ]


def test_a_table_is_made_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = "database sqlite:///results.db, table ringback_results"
    assert [cli.main(["destinations", "init", "archive"]) for _ in range(2)] == [0, 0]
    assert capsys.readouterr().out.splitlines() == [f"{place}: made", f"{place}: was there already"]
    with sqlite3.connect(home / "results.db") as database:
        assert database.execute("SELECT count(*) FROM ringback_results").fetchone() == (0,)
    database.close()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("archiv", "There is no destination 'archiv'; known: support, bot, archive, reports, orders"),
        ("support", "destinations.support is no database, so there is nothing to make"),
    ],
)
def test_what_cannot_be_made_is_told(name: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["destinations", "init", name]) == 1
    assert capsys.readouterr().err == f"ringback: {says}\n"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ('table = "a;b"', "destinations.x.table: must be the name of a table, or schema.table"),
        ('table = "a.b.c"', "destinations.x.table: must be the name of a table, or schema.table"),
        ('slack_api_url = "geheim"', "destinations.x.slack_api_url: must be an https:// or http:// URL"),
        ('slack_token = "xoxb-geheim"', "destinations.x: exactly one of url, slack_webhook, slack_token, database_url"),
        ("database = 5", "unknown field `database`"),
    ],
)
def test_a_destination_that_cannot_be_is_told_without_its_secrets(
    home: Path, given: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "ringback.toml").write_text(f'[destinations.x]\ndatabase_url = "sqlite:///geheim.db"\n{given}\n')
    assert cli.main(["destinations", "list"]) == 1
    told = capsys.readouterr().err
    assert says in told
    assert "geheim" not in told


def test_the_doctor_says_which_destinations_would_not_work(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own_logging: None
) -> None:
    monkeypatch.setenv("RINGBACK_REDIS_URL", "redis://127.0.0.1:1/0")
    with SlackServer() as slack:
        bot = f'slack_token = "xoxb-old"\nslack_api_url = "{slack.url}/api/"\n'
        archive = '[destinations.archive]\ndatabase_url = "sqlite:///results.db"\n'
        (home / "ringback.toml").write_text(f"{archive}[destinations.bot]\n{bot}")
        assert cli.main(["doctor"]) == 1
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    missing = "there is no table ringback_results; `ringback destinations init archive` makes it"
    assert f"fail archive {missing}" in lines
    assert "fail bot Slack refuses the slack_token: invalid_auth" in lines


def test_what_would_work_has_no_problem() -> None:
    with SlackServer() as slack:
        bot = Destination(slack_token=TOKEN, slack_api_url=f"{slack.url}/api/")
        assert destinations.problem("bot", bot) is None
    assert destinations.problem("bot", bot) == "Slack cannot be reached: URLError"
    assert cli.main(["destinations", "init", "archive"]) == 0
    assert destinations.problem("archive", Destination(database_url="sqlite:///results.db")) is None


def test_a_worker_without_such_destinations_loads_no_libraries_for_them() -> None:
    check = "import sys, workers.runtime; print([m for m in ('slack_sdk', 'sqlalchemy', 'pg8000') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
