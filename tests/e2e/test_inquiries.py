"""The example `examples/inquiries`, done as its README says, and what it does when something goes wrong."""

import base64
import hashlib
import hmac
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.e2e.test_readme import BLOCK, ROOT, matches
from tests.e2e.test_up import ANGRY, Up, environment
from tests.slack import Reply, SlackServer
from tests.stack import eventually, free_port, request

EXAMPLE = ROOT / "examples" / "inquiries"


class Desk:
    """The example as a process of its own."""

    def __init__(self, home: Path, up: Up, **variables: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.secret = (home / ".ringback" / "webhook-secret").read_text().strip()
        self.log = home / "desk.log"
        ours = {"RINGBACK_URL": up.url, "RINGBACK_WEBHOOK_SECRET": self.secret, "PORT": str(self.port)}
        with self.log.open("wb") as sink:
            argv = [sys.executable, str(EXAMPLE / "service.py")]
            self.process = subprocess.Popen(
                argv, cwd=home, env=environment(**ours, **variables), stdout=sink, stderr=sink
            )
        eventually(lambda: "open" in self.log.read_text(), what="the desk opens")

    def take(self, text: str) -> Any:
        """Hands in an inquiry; the desk's answer."""
        reply = request(f"{self.url}/inquiries", method="POST", body={"text": text})
        assert reply.status == 202, reply
        return reply.json

    def inquiries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = request(f"{self.url}/inquiries").json
        return found

    def call_back(self, webhook_id: str, body: bytes, secret: str) -> int:
        """Calls it back as Ringback would; the status of the answer."""
        now = str(int(time.time()))
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = hmac.new(key, f"{webhook_id}.{now}.".encode() + body, hashlib.sha256).digest()
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": now,
            "webhook-signature": "v1," + base64.b64encode(signed).decode(),
        }
        return request(f"{self.url}/callbacks", method="POST", body=body, headers=headers).status

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("up"), "--port", "0", RINGBACK_CALLBACK_ALLOW="127.0.0.0/8") as running:
        yield running.wait_ready()


def test_the_readme_shows_what_happens(up: Up) -> None:
    desk = Desk(up.home, up, DATABASE="readme.db")
    try:
        blocks = BLOCK.findall((EXAMPLE / "README.md").read_text())
        shown = [text for kind, text in blocks if kind == "text"]
        commands = [text for kind, text in blocks if kind == "sh" and text.startswith("curl")]

        def printed(text: str) -> str:
            return re.sub(r"\b(inq)_[0-9a-f]{12}", r"\1_ID", text.replace(str(desk.port), "9100"))

        def run(command: str) -> str:
            done = subprocess.run(
                ["bash", "-euc", command.replace("127.0.0.1:9100", f"127.0.0.1:{desk.port}")],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            return printed(done.stdout)

        accepted = run(commands[0])
        eventually(lambda: "To Slack" in desk.log.read_text(), timeout=30, what="the desk prints what goes to Slack")
        opened, told = printed(desk.log.read_text()).split("\n", 1)
        eventually(lambda: desk.inquiries()[0]["status"] == "succeeded")
        for real, expected in zip([opened, accepted, told, run(commands[1])], shown, strict=True):
            assert matches(real, printed(expected)), real
    finally:
        desk.close()


def test_while_slack_is_down_it_is_called_again_and_nothing_is_done_twice(up: Up) -> None:
    with SlackServer() as slack:
        desk = Desk(up.home, up, DATABASE="slack.db", SLACK_WEBHOOK_URL=f"{slack.url}/services/T/B/geheim")
        try:
            slack.replies.append(Reply(status=500, body="rollup_error"))
            taken = desk.take(f"<!channel> {ANGRY}")
            eventually(lambda: slack.posted, timeout=40, what="the second callback comes")
            (row,) = desk.inquiries()
            assert (row["id"], row["status"], row["category"]) == (taken["id"], "succeeded", "refund")
            assert row["softened"]
            assert "한심" not in row["softened"]
            deliveries = f"{up.url}/v1/jobs/{taken['job']}/deliveries"
            eventually(lambda: request(deliveries).json["items"][0]["status"] == "delivered")
            (delivery,) = request(deliveries).json["items"]
            assert [attempt["status_code"] for attempt in delivery["attempts"]] == [503, 204]

            job = request(f"{up.url}/v1/jobs/{taken['job']}").json
            body = msgspec.json.encode({"type": "job.succeeded", "timestamp": "x", "data": job | {"output": None}})
            assert desk.call_back(delivery["webhook_id"], body, desk.secret) == 204
            assert desk.call_back("msg_forged", body, "whsec_" + base64.b64encode(b"x" * 32).decode()) == 401
            assert desk.inquiries() == [row]
            (posted,) = slack.posted
            assert posted.content["text"].startswith(f"{taken['id']} (refund, negative)\n")
            assert "<" not in posted.content["text"]
        finally:
            desk.close()


def test_what_ringback_does_not_take_the_desk_does_not_take_either(up: Up) -> None:
    desk = Desk(up.home, up, DATABASE="refused.db")
    try:
        for body, status in (({"text": " "}, 422), ({"text": 5}, 400), ({}, 400), (b"{", 400)):
            assert request(f"{desk.url}/inquiries", method="POST", body=body).status == status
        assert desk.inquiries() == []
    finally:
        desk.close()
