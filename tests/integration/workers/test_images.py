"""Images by URL through a whole Ringback: checked when the job is submitted, fetched when it runs."""

from collections.abc import Iterator
from typing import Any

import pytest

from ringback.testing.vendors.server import VendorServer
from tests.conftest import Ringback
from tests.contract.cases.openai import CASES
from tests.gallery import PNG, Gallery
from tests.stack import Reply, eventually, request


@pytest.fixture
def gallery() -> Iterator[Gallery]:
    with Gallery() as gallery:
        yield gallery


def submit(ringback: Ringback, url: str, **fields: Any) -> Reply:
    content = [{"type": "text", "text": "영수증의 합계는?"}, {"type": "image", "url": url}]
    asks = {"messages": [{"role": "user", "content": content}]}
    body = {"type": "generate", "model": "openai/gpt-4o", "input": asks, **fields}
    return request(f"{ringback.url}/v1/jobs", method="POST", body=body)


def ended(ringback: Ringback, reply: Reply) -> dict[str, Any]:
    """The job once it has ended."""
    assert reply.status == 202, reply.body

    def over() -> dict[str, Any] | None:
        job: dict[str, Any] = request(f"{ringback.url}/v1/jobs/{reply.json['id']}").json
        return job if job["status"] not in ("queued", "running") else None

    found: dict[str, Any] = eventually(over, timeout=30, what="the job ends")
    return found


def test_an_image_is_fetched_and_shown_to_the_model(
    ringback: Ringback, vendor_server: VendorServer, gallery: Gallery
) -> None:
    job = ended(ringback, submit(ringback, f"{gallery.url}/hops/1"))
    assert (job["status"], job["output"]) == ("succeeded", {"text": "Hello, world."})
    assert job["input"]["messages"][0]["content"][1] == {"type": "image", "url": f"{gallery.url}/hops/1"}
    assert CASES[0].sent is not None
    assert CASES[0].sent(vendor_server.received[-1]).images == (("image/png", PNG),)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (
            "http://10.0.0.1/a.png",
            "10.0.0.1 is a private address; the operator can allow it with RINGBACK_CALLBACK_ALLOW",
        ),
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254 is a private address"),
        ("file:///etc/passwd", "must start with https:// or http://"),
        ("data:image/png;base64,iVBORw0KGgo=", "must start with https:// or http://"),
        ("https://a:b@example.com/", "must not hold a user name or password"),
        ("https://example.com:22/", "has port 22, where no HTTP is spoken"),
    ],
)
def test_a_url_that_may_not_be_fetched_is_refused_at_once(ringback: Ringback, url: str, why: str) -> None:
    reply = submit(ringback, url)
    assert (reply.status, reply.json["code"]) == (422, "validation_error")
    (error,) = reply.json["errors"]
    assert error["pointer"] == "#/input/messages/0/content/1/url"
    assert why in error["detail"]


def test_an_image_that_cannot_be_had_is_the_jobs_own_failure(
    ringback: Ringback, vendor_server: VendorServer, gallery: Gallery
) -> None:
    job = ended(ringback, submit(ringback, f"{gallery.url}/status/404"))
    assert (job["status"], job["output"], job["calls"]) == ("failed", None, [])
    assert job["error"] == {
        "code": "image_unavailable",
        "message": "#/input/messages/0/content/1/url: its host answered 404",
        "provider": None,
        "retryable": False,
    }
    assert vendor_server.received == []


def test_waiting_for_an_image_counts_for_the_jobs_deadline_and_can_be_cancelled(
    ringback: Ringback, gallery: Gallery
) -> None:
    job = ended(ringback, submit(ringback, f"{gallery.url}/silent", deadline={"total_s": 0.2}))
    assert job["error"]["code"] == "deadline_exceeded"
    reply = submit(ringback, f"{gallery.url}/silent")
    eventually(lambda: gallery.asked.count("/silent") == 2, what="the image is asked for")
    assert request(f"{ringback.url}/v1/jobs/{reply.json['id']}/cancel", method="POST").status == 202
    assert ended(ringback, reply)["status"] == "cancelled"
    eventually(lambda: gallery.open == 0, what="both requests are given up")
