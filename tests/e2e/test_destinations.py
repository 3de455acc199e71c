"""Results delivered into Slack and a database by a whole Ringback that is configured by its `ringback.toml`."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import pytest

from tests.e2e.test_up import ANGRY, Up
from tests.slack import TOKEN, SlackServer
from tests.stack import eventually, free_port, request

CONFIG = """
[destinations.support]
slack_webhook = "{slack}/services/T0/B0/geheim-webhook"

[destinations.bot]
slack_token = "{token}"
slack_api_url = "{slack}/api/"

[destinations.archive]
database_url = "sqlite:///results.db"

[destinations.gone]
database_url = "postgresql+pg8000://ringback:geheim-password@127.0.0.1:{closed}/x"
"""


class Running(Up):
    """A `ringback up` with Slack on loopback."""

    slack: SlackServer


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("up")
    with SlackServer() as slack:
        config = CONFIG.format(slack=slack.url, token=TOKEN, closed=free_port())
        (home / "ringback.toml").write_text(config)
        with Running(home, "--port", "0", RINGBACK_LOG_LEVEL="debug") as running:
            running.slack = slack
            running.wait_ready()
            yield running


def submit(up: Up, callback: dict[str, Any]) -> Any:
    body = {"type": "inquiry", "input": {"text": ANGRY}, "callback": callback, "metadata": {"ticket": 4711}}
    return request(f"{up.url}/v1/jobs", method="POST", body=body)


def deliveries(up: Up, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = request(f"{up.url}/v1/jobs/{job_id}/deliveries").json["items"]
    return found


def delivered(up: Up, job_id: str) -> dict[str, Any]:
    """The job's delivery, once it is."""
    eventually(lambda: [d for d in deliveries(up, job_id) if d["status"] == "delivered"], timeout=40)
    (delivery,) = deliveries(up, job_id)
    return delivery


@pytest.mark.parametrize(
    ("callback", "path"),
    [
        ({"webhook": "support"}, "/services/T0/B0/geheim-webhook"),
        ({"channel": "#support"}, "/api/chat.postMessage"),
    ],
)
def test_a_result_is_posted_to_slack(up: Running, callback: dict[str, str], path: str) -> None:
    job = submit(up, {"slack": callback}).json
    delivery = delivered(up, job["id"])
    (posted,) = [posted for posted in up.slack.posted if posted.path == path]
    assert posted.texts[0] == "inquiry · 성공"
    assert posted.content["metadata"]["event_payload"]["webhook_id"] == delivery["webhook_id"]
    kind, name = next(iter(callback.items()))
    assert delivery["destination"] == f"slack:{kind}:{name}"


def test_a_result_waits_for_its_table_and_is_then_written_once(up: Running) -> None:
    job = submit(up, {"database": "archive"}).json
    first = eventually(lambda: (found := deliveries(up, job["id"])) and found[0]["attempts"])[0]
    assert first["error"] == "there is no table ringback_results; `ringback destinations init archive` makes it"
    made = up.command("destinations", "init", "archive")
    assert (made.returncode, made.stdout) == (0, "database sqlite:///results.db, table ringback_results: made\n")
    delivery = delivered(up, job["id"])
    with closing(sqlite3.connect(up.home / "results.db")) as database:
        database.row_factory = sqlite3.Row
        (row,) = database.execute("SELECT * FROM ringback_results").fetchall()
    assert (row["webhook_id"], row["job_id"], row["event"]) == (delivery["webhook_id"], job["id"], "job.succeeded")
    assert msgspec.json.decode(row["metadata"]) == {"ticket": 4711}
    assert msgspec.json.decode(row["output"]) == request(f"{up.url}/v1/jobs/{job['id']}").json["output"]


def test_what_is_not_named_is_refused(up: Running) -> None:
    reply = submit(up, {"slack": {"webhook": "sales"}})
    assert (reply.status, reply.json["code"]) == (422, "unknown_destination")
    assert reply.json["errors"][0]["pointer"] == "#/callback/slack/webhook"


def test_no_secret_is_told_anywhere(up: Running) -> None:
    job = submit(up, {"database": "gone"}).json
    eventually(lambda: (found := deliveries(up, job["id"])) and found[0]["attempts"])
    listed, doctor = up.command("destinations", "list"), up.command("doctor")
    told = [up.said(), *up.lines, str(deliveries(up, job["id"])), listed.stdout, doctor.stdout, doctor.stderr]
    assert listed.stdout.count("\n") == 4
    assert "slack webhook at 127.0.0.1" in doctor.stdout
    assert not [text for text in told if "geheim" in text]
