"""A support desk that has Ringback prepare its customers' inquiries. One file, nothing but the standard library.

An inquiry comes in, Ringback is asked, and the answer to the customer's request is given at once. Later the callback
comes: the softened text goes into our own database, the summary into Slack.

POST /inquiries {"text": "…"}   202 with the inquiry's id
GET  /inquiries                 all of them, as they are in the database
POST /callbacks                 for Ringback

Environment: RINGBACK_WEBHOOK_SECRET (whsec_…, needed), RINGBACK_URL (http://127.0.0.1:8000), RINGBACK_API_KEY (where
keys are on), SLACK_WEBHOOK_URL (without it, what would be posted is printed), PORT (9100), DATABASE (inquiries.db).
"""

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ.get("PORT", "9100"))
DATABASE = os.environ.get("DATABASE", "inquiries.db")
RINGBACK = os.environ.get("RINGBACK_URL", "http://127.0.0.1:8000")
API_KEY = os.environ.get("RINGBACK_API_KEY")
SLACK = os.environ.get("SLACK_WEBHOOK_URL")
KEY = base64.b64decode(os.environ["RINGBACK_WEBHOOK_SECRET"].removeprefix("whsec_"))

SCHEMA = """
CREATE TABLE IF NOT EXISTS inquiries (
    id TEXT PRIMARY KEY, text TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'waiting',
    softened TEXT, summary TEXT, sentiment TEXT, category TEXT, error TEXT
);
CREATE TABLE IF NOT EXISTS callbacks (webhook_id TEXT PRIMARY KEY, posted INTEGER NOT NULL DEFAULT 0);
"""
one_callback_at_a_time = threading.Lock()


def database() -> sqlite3.Connection:
    """A connection to our own database; used in a `with`, it commits."""
    connection = sqlite3.connect(DATABASE, timeout=10)
    connection.row_factory = sqlite3.Row
    return connection


def post(url: str, body: dict, headers: dict | None = None) -> bytes:
    """POSTs JSON; the answer's body. Raises `OSError`, also for an answer other than 2xx."""
    headers = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - our own URLs
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
        return answer.read()


def submit(inquiry_id: str, text: str) -> str:
    """Asks Ringback to prepare the inquiry; the job's id. Asked again for the same inquiry, it is the same job."""
    body = {
        "type": "inquiry",
        "input": {"text": text},
        "callback": {"url": f"http://127.0.0.1:{PORT}/callbacks"},
        "metadata": {"inquiry": inquiry_id},
    }
    headers = {"Idempotency-Key": inquiry_id} | ({"Authorization": f"Bearer {API_KEY}"} if API_KEY else {})
    return json.loads(post(f"{RINGBACK}/v1/jobs", body, headers))["id"]


def is_genuine(headers, body: bytes) -> bool:
    """Whether the callback was signed with our secret within the last five minutes (Standard Webhooks 1.0)."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    fresh = timestamp.isdigit() and abs(time.time() - int(timestamp)) < 300
    signatures = headers.get("webhook-signature", "").split(" ")
    return fresh and any(hmac.compare_digest(expected.encode(), signature.encode()) for signature in signatures)


def receive(webhook_id: str, job: dict) -> None:
    """Stores what the callback brings, once, and posts it to Slack. Raises `OSError` if Slack does not take it.

    Ringback repeats a callback until it gets a 2xx, always with the same `webhook-id`: whatever was done already is not
    done again.
    """
    inquiry_id, output, error = job["metadata"]["inquiry"], job["output"] or {}, job["error"] or {}
    columns = (output.get("softened"), output.get("summary"), output.get("sentiment"), output.get("category"))
    with closing(database()) as connection:
        with connection:
            new = connection.execute("INSERT OR IGNORE INTO callbacks (webhook_id) VALUES (?)", [webhook_id]).rowcount
            if new:
                known = connection.execute(
                    "UPDATE inquiries SET status = ?, softened = ?, summary = ?, sentiment = ?, category = ?, error = ?"
                    " WHERE id = ?",
                    [job["status"], *columns, error.get("code"), inquiry_id],
                ).rowcount
                if not known:
                    return  # its customer was told that it was not taken
        posted = "SELECT posted FROM callbacks WHERE webhook_id = ?"
        if connection.execute(posted, [webhook_id]).fetchone()["posted"]:
            return
        tell_support(inquiry_id, output, error)
        with connection:
            connection.execute("UPDATE callbacks SET posted = 1 WHERE webhook_id = ?", [webhook_id])


def tell_support(inquiry_id: str, output: dict, error: dict) -> None:
    """Posts the summary to Slack, with what Slack would take for markup escaped."""
    about = f"{output['category']}, {output['sentiment']}" if output else f"not prepared: {error.get('code')}"
    text = f"{inquiry_id} ({about})\n{output.get('summary', '')}"
    text = text.strip().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if SLACK:
        post(SLACK, {"text": text})
    else:
        print(f"To Slack: {text}", flush=True)


class Desk(BaseHTTPRequestHandler):
    """The service's requests."""

    def do_GET(self) -> None:
        """All inquiries."""
        with closing(database()) as connection:
            rows = [dict(row) for row in connection.execute("SELECT * FROM inquiries ORDER BY rowid")]
        self.answer(200, rows)

    def do_POST(self) -> None:
        """An inquiry, or a callback."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/inquiries":
            self.take(body)
        elif self.path == "/callbacks":
            self.call_back(body)
        else:
            self.answer(404, {"error": "there is nothing here"})

    def take(self, body: bytes) -> None:
        """Stores an inquiry and hands it on."""
        try:
            text = json.loads(body)["text"]
        except (ValueError, TypeError, KeyError):
            text = None
        if not isinstance(text, str):
            return self.answer(400, {"error": 'send {"text": "…"}'})
        inquiry_id = f"inq_{uuid.uuid4().hex[:12]}"
        with closing(database()) as connection, connection:
            connection.execute("INSERT INTO inquiries (id, text) VALUES (?, ?)", [inquiry_id, text])
        try:
            job_id = submit(inquiry_id, text)
        except OSError as error:
            with closing(database()) as connection, connection:
                connection.execute("DELETE FROM inquiries WHERE id = ?", [inquiry_id])
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            return self.answer(422 if refused else 503, {"error": f"not taken: {error}"})
        return self.answer(202, {"id": inquiry_id, "job": job_id})

    def call_back(self, body: bytes) -> None:
        """Takes a callback: 204 once all is done, 503 to be called again."""
        if not is_genuine(self.headers, body):
            return self.answer(401, {"error": "the signature is wrong"})
        try:
            with one_callback_at_a_time:
                receive(self.headers["webhook-id"], json.loads(body)["data"])
        except OSError as error:
            return self.answer(503, {"error": f"Slack: {error}"})
        return self.answer(204)

    def answer(self, status: int, body: object = None) -> None:
        """Answers with JSON."""
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.end_headers()
        if body is not None:
            self.wfile.write(json.dumps(body, ensure_ascii=False, indent=1).encode() + b"\n")

    def log_message(self, *_: object) -> None:
        """Only what goes to Slack is printed."""


with closing(database()) as opened, opened:
    opened.executescript(SCHEMA)
server = ThreadingHTTPServer(("127.0.0.1", PORT), Desk)
print(f"The support desk is open at http://127.0.0.1:{PORT}", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    sys.exit(0)
