"""Receives callbacks on loopback and checks their signatures with nothing but the standard library.

python3 examples/inbox.py SECRET [PORT]      SECRET: the whsec_… that `make up` prints; PORT: 9000
"""

import base64
import hashlib
import hmac
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 9000
KEY = base64.b64decode(sys.argv[1].removeprefix("whsec_"))


def is_genuine(headers, body: bytes) -> bool:
    """Whether the callback was signed with our secret within the last five minutes (Standard Webhooks 1.0)."""
    message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    signatures = headers["webhook-signature"].split(" ")
    return abs(time.time() - int(timestamp)) < 300 and any(hmac.compare_digest(expected, s) for s in signatures)


class Inbox(BaseHTTPRequestHandler):
    """Answers 204 to genuine callbacks and 401 to all others."""

    def do_POST(self) -> None:
        """One callback."""
        body = self.rfile.read(int(self.headers["content-length"]))
        genuine = is_genuine(self.headers, body)
        self.send_response(204 if genuine else 401)
        self.end_headers()
        event = json.loads(body)
        print(event["type"], "genuine" if genuine else "FORGED", self.headers["webhook-id"], flush=True)
        print(json.dumps(event["data"]["output"], ensure_ascii=False), flush=True)

    def log_message(self, *_: object) -> None:
        """Only callbacks are printed."""


print(f"Waiting for callbacks on http://127.0.0.1:{PORT}", flush=True)
HTTPServer(("127.0.0.1", PORT), Inbox).serve_forever()
