"""The main road on real parts: submit, run, GET, SSE, callback."""

from ringback.testing.inbox import CallbackInbox
from ringback.testing.script import Script
from ringback.testing.vendors.server import VendorServer
from tests.conftest import Ringback
from tests.stack import eventually, request


def test_one_job_three_outlets(ringback: Ringback, vendor_server: VendorServer, callback_inbox: CallbackInbox) -> None:
    vendor_server.script(Script(deltas=("배송이 ", "늦어 ", "속상합니다.")))
    accepted = request(
        f"{ringback.url}/v1/jobs",
        method="POST",
        body={
            "type": "soften",
            "input": {"text": "배송 왜 이렇게 늦어!!!"},
            "model": "openai/gpt-4o",
            "metadata": {"ticket": 4711},
            "callback": {"url": callback_inbox.url},
        },
    )
    assert accepted.status == 202
    job = accepted.json
    assert accepted.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["status"] == "queued"

    def ended() -> object:
        found = request(ringback.url + job["links"]["self"]).json
        return found if found["status"] == "succeeded" else None

    by_get = eventually(ended)
    assert by_get["output"] == {"text": "배송이 늦어 속상합니다."}
    assert by_get["metadata"] == {"ticket": 4711}
