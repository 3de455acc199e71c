"""The public contract of the job routes, as a caller sees it, on a whole Ringback."""

import re
from datetime import datetime
from typing import Any

import pytest

from ringback.testing.inbox import CallbackInbox
from tests.conftest import Ringback
from tests.integration.gateway.conftest import Gateways, Hand, post, submit
from tests.stack import Reply, eventually, request

JOB_ID = re.compile(r"job_[0-9A-HJKMNP-TV-Z]{26}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
JOB_FIELDS = {
    *("id", "type", "status", "created_at", "started_at", "ended_at", "attempt", "model", "provider", "prompt"),
    *("input", "output", "error", "usage", "cost", "calls", "metadata", "session_id", "callback", "links"),
}


def check_problem(reply: Reply, status: int, code: str) -> dict[str, Any]:
    """Asserts that the answer is a problem in the contract's form; its body."""
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = reply.json
    assert problem.keys() - {"errors"} == {"type", "title", "status", "detail", "code"}
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["detail"]
    for error in problem.get("errors", ()):
        assert error.keys() == {"pointer", "detail"}
    return problem


def ended(url: str, job_id: str) -> dict[str, Any]:
    """The job, once it has ended."""

    def look() -> Any:
        found = request(f"{url}/v1/jobs/{job_id}").json
        return found if found["status"] not in ("queued", "running") else None

    result: dict[str, Any] = eventually(look)
    return result


def test_a_job_from_submission_to_its_end(ringback: Ringback) -> None:
    accepted = submit(ringback.url, model="fake/x?text=네, 안녕하세요.", metadata={"ticket": 4711})

    assert accepted.status == 202
    assert accepted.headers["content-type"] == "application/json"
    queued = accepted.json
    assert queued.keys() == JOB_FIELDS
    assert JOB_ID.fullmatch(queued["id"])
    assert accepted.headers["location"] == queued["links"]["self"] == f"/v1/jobs/{queued['id']}"
    assert queued["links"].keys() == {"self", "events", "deliveries", "cancel"}
    assert TIME.fullmatch(queued["created_at"])
    assert (queued["type"], queued["status"], queued["attempt"]) == ("generate", "queued", 0)
    assert (queued["model"], queued["provider"]) == ("fake/x?text=네, 안녕하세요.", "fake")
    for empty in ("started_at", "ended_at", "output", "error", "session_id", "callback", "cost"):
        assert queued[empty] is None, empty

    job = ended(ringback.url, queued["id"])
    assert job.keys() == JOB_FIELDS
    assert job["status"] == "succeeded"
    assert job["output"] == {"text": "네, 안녕하세요."}
    assert job["attempt"] == 1
    created, begun, over = (datetime.fromisoformat(job[f"{name}_at"]) for name in ("created", "started", "ended"))
    assert created <= begun <= over
    assert all(TIME.fullmatch(job[name]) for name in ("created_at", "started_at", "ended_at"))
    assert job["usage"]["output_tokens"] == 2
    assert job["cost"] == {"usd": 0.0, "complete": True}
    assert [(call["model"], call["outcome"], call["cost_usd"]) for call in job["calls"]] == [
        ("fake/x?text=네, 안녕하세요.", "answered", 0.0)
    ]
    assert job["prompt"].keys() >= {"name", "version"}
    for same in ("id", "type", "created_at", "model", "input", "metadata", "prompt", "links"):
        assert job[same] == queued[same], same


def test_a_failed_job_tells_why(ringback: Ringback) -> None:
    reply = submit(ringback.url, model="fake/x?fail=content_filtered", headers={"Prefer": "wait=20"})

    assert reply.status == 200
    assert reply.json["status"] == "failed"
    error = reply.json["error"]
    assert error.keys() == {"code", "message", "provider", "retryable"}
    assert (error["code"], error["provider"], error["retryable"]) == ("content_filtered", "fake", False)
    assert error["message"]


class TestWait:
    """`Prefer: wait=N`."""

    @pytest.mark.parametrize(
        "prefer", ["wait=20", "WAIT=20", "respond-async, wait=20", "wait=9999", 'wait="20"', "wait=20; x=1, wait=0"]
    )
    def test_a_job_that_ends_in_time_is_answered_whole(self, ringback: Ringback, prefer: str) -> None:
        reply = submit(ringback.url, model="fake/x?text=네", headers={"Prefer": prefer})

        assert (reply.status, reply.json["status"]) == (200, "succeeded")
        assert reply.headers["preference-applied"].startswith("wait")
        assert reply.headers["content-type"] == "application/json"
        assert reply.json == request(ringback.url + reply.json["links"]["self"]).json

    @pytest.mark.parametrize("prefer", ["wait=0", "wait=abc", "wait=-5", "wait", "return=minimal", "", "wait=1"])
    def test_a_job_that_does_not_is_accepted(self, gateways: Gateways, prefer: str) -> None:
        reply = submit(gateways.url, headers={"Prefer": prefer})

        assert (reply.status, reply.json["status"]) == (202, "queued")
        assert reply.headers["location"] == f"/v1/jobs/{reply.json['id']}"
        assert "preference-applied" not in reply.headers


class TestCancel:
    """`POST /v1/jobs/{id}/cancel`."""

    def test_a_queued_job_is_cancelled_at_once(self, gateways: Gateways) -> None:
        job_id = submit(gateways.url).json["id"]

        reply = request(f"{gateways.url}/v1/jobs/{job_id}/cancel", method="POST")

        assert (reply.status, reply.json["status"]) == (202, "cancelled")
        assert reply.json["ended_at"]
        assert reply.json == request(f"{gateways.url}/v1/jobs/{job_id}").json

    def test_a_running_job_is_cancelled_by_its_worker(self, ringback: Ringback) -> None:
        job_id = submit(ringback.url, model="fake/x?fail=stall&text=하나 둘&after=1").json["id"]
        url = f"{ringback.url}/v1/jobs/{job_id}"
        eventually(lambda: request(url).json["status"] == "running")

        reply = request(f"{url}/cancel", method="POST")

        assert (reply.status, reply.json["id"]) == (202, job_id)
        assert ended(ringback.url, job_id)["status"] == "cancelled"
        check_problem(request(f"{url}/cancel", method="POST"), 409, "job_already_ended")

    def test_an_ended_job_is_409(self, ringback: Ringback) -> None:
        job_id = submit(ringback.url, headers={"Prefer": "wait=20"}).json["id"]

        check_problem(request(f"{ringback.url}/v1/jobs/{job_id}/cancel", method="POST"), 409, "job_already_ended")

    def test_a_cancelled_job_calls_back(self, ringback: Ringback, callback_inbox: CallbackInbox) -> None:
        job_id = submit(
            ringback.url, model="fake/x?fail=hang", callback={"url": callback_inbox.url, "events": ["job.cancelled"]}
        ).json["id"]

        assert request(f"{ringback.url}/v1/jobs/{job_id}/cancel", method="POST").status == 202

        eventually(lambda: callback_inbox.received)
        assert [(c.type, c.json["data"]["id"]) for c in callback_inbox.received] == [("job.cancelled", job_id)]


class TestDeliveries:
    """`GET /v1/jobs/{id}/deliveries`."""

    def test_every_attempt_is_shown(self, ringback: Ringback, callback_inbox: CallbackInbox) -> None:
        callback_inbox.fail(503)
        job_id = submit(ringback.url, callback={"url": callback_inbox.url}).json["id"]

        def tried() -> Any:
            items = request(f"{ringback.url}/v1/jobs/{job_id}/deliveries").json["items"]
            return items if items and items[0]["attempts"] else None

        (delivery,) = eventually(tried)

        assert delivery["id"].startswith("dlv_")
        assert delivery["webhook_id"].startswith("msg_")
        assert (delivery["job_id"], delivery["event"]) == (job_id, "job.succeeded")
        assert delivery["destination"] == callback_inbox.url
        assert delivery["status"] == "pending"
        assert TIME.fullmatch(delivery["next_attempt_at"])
        (attempt,) = delivery["attempts"]
        assert (attempt["number"], attempt["status_code"]) == (1, 503)
        assert TIME.fullmatch(attempt["at"])
        assert attempt["duration_ms"] >= 0

    def test_a_job_without_callback_has_none(self, gateways: Gateways) -> None:
        job_id = submit(gateways.url).json["id"]

        reply = request(f"{gateways.url}/v1/jobs/{job_id}/deliveries")

        assert (reply.status, reply.json) == (200, {"items": []})


class TestList:
    """`GET /v1/jobs`."""

    def test_newest_first_a_page_at_a_time(self, gateways: Gateways) -> None:
        made = [submit(gateways.url, metadata={"list": "pages"}).json["id"] for _ in range(7)]

        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = request(f"{gateways.url}/v1/jobs?metadata.list=pages&limit=3&cursor={cursor}").json
            assert page.keys() == {"items", "next_cursor"}
            assert len(page["items"]) <= 3
            seen += [job["id"] for job in page["items"]]
            cursor = page["next_cursor"]
        assert seen == made[::-1]

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("metadata.n=7", [7]),
            ("metadata.n=8", []),
            ("metadata.word=b%C3%A9", [7, 8.0]),
            ("metadata.word=b%C3%A9&metadata.n=7", [7]),
            ("metadata.yes=true", [8.0]),
            ("metadata.word=b%C3%A9&status=cancelled", []),
            ("metadata.word=b%C3%A9&status=queued&type=generate", [7, 8.0]),
            ("metadata.word=b%C3%A9&type=summarize", []),
            ("metadata.word=b%C3%A9&session_id=ses_none", []),
            ("metadata.nothing=", []),
        ],
    )
    def test_filters(self, gateways: Gateways, query: str, found: list[object]) -> None:
        for metadata in ({"n": 7, "word": "bé"}, {"n": 8.0, "word": "bé", "yes": True}):
            key = {"Idempotency-Key": f"test_filters {metadata['n']}"}
            submit(gateways.url, metadata=metadata, headers=key)

        items = request(f"{gateways.url}/v1/jobs?{query}").json["items"]

        assert sorted(job["metadata"]["n"] for job in items) == found

    async def test_a_job_moves_from_status_to_status(self, gateways: Gateways, hand: Hand) -> None:
        job = await hand.start(gateways.url, metadata={"list": "moves"})
        url = f"{gateways.url}/v1/jobs?metadata.list=moves&status="

        assert [request(url + s).json["items"][:1] != [] for s in ("queued", "running", "failed")] == [
            False,
            True,
            False,
        ]
        await job.end("failed")
        assert [request(url + s).json["items"][:1] != [] for s in ("queued", "running", "failed")] == [
            False,
            False,
            True,
        ]

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=-1", "limit"),
            ("limit=abc", "limit"),
            ("limit=1.5", "limit"),
            ("limit=%C2%B2", "limit"),
            ("limit=99999999999999999999", "limit"),
            ("status=done", "status"),
            ("status=QUEUED", "status"),
            ("cursor=x", "cursor"),
            ("cursor=job_", "cursor"),
            ("cursor=%00", "cursor"),
            ("cursor=dlv_01M803BGRZDM8GVW9FKT2J040B", "cursor"),
            ("color=red", "color"),
            ("metadata.=1", "metadata."),
            ("metadata=1", "metadata"),
            ("Type=generate", "Type"),
        ],
    )
    def test_wrong_queries_name_the_parameter(self, gateways: Gateways, query: str, pointer: str) -> None:
        problem = check_problem(request(f"{gateways.url}/v1/jobs?{query}"), 422, "validation_error")

        assert [error["pointer"] for error in problem["errors"]] == [f"query:{pointer}"]

    @pytest.mark.parametrize(
        "query", ["", "type=", "status=&limit=&cursor=", "type=%ED%A0%80", "session_id=%00", "&&="]
    )
    def test_odd_queries_are_harmless(self, gateways: Gateways, query: str) -> None:
        assert request(f"{gateways.url}/v1/jobs?{query}").status in (200, 422)


class TestMethodsAndPaths:
    """What HTTP asks of a server."""

    @pytest.mark.parametrize(
        "path", ["/v1/jobs", "/v1/job-types", "/health/live", "/health/ready", "/openapi.json", "/docs"]
    )
    def test_head_is_get_without_the_body(self, ringback: Ringback, path: str) -> None:
        get, head = (request(ringback.url + path, method=method) for method in ("GET", "HEAD"))

        assert (get.status, head.status, head.body) == (200, 200, b"")
        assert get.body
        assert get.headers["content-type"] == head.headers["content-type"]

    def test_head_of_a_job(self, gateways: Gateways) -> None:
        url = gateways.url + submit(gateways.url).headers["location"]

        assert [request(url + x, method="HEAD").status for x in ("", "/deliveries", "/events")] == [200, 200, 200]

    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            ("/v1/jobs", "GET, HEAD, OPTIONS, POST"),
            ("/v1/jobs/job_x", "GET, HEAD, OPTIONS"),
            ("/v1/jobs/job_x/cancel", "OPTIONS, POST"),
            ("/v1/jobs/job_x/events", "GET, HEAD, OPTIONS"),
            ("/v1/jobs/job_x/deliveries", "GET, HEAD, OPTIONS"),
            ("/v1/job-types", "GET, HEAD, OPTIONS"),
            ("/health/ready", "GET, HEAD, OPTIONS"),
            ("/openapi.json", "GET, HEAD, OPTIONS"),
        ],
    )
    def test_options_and_wrong_methods_tell_what_is_possible(self, gateways: Gateways, path: str, allowed: str) -> None:
        options = request(gateways.url + path, method="OPTIONS")
        wrong = request(gateways.url + path, method="DELETE")

        assert options.status == 204
        assert options.headers["allow"] == allowed
        problem = check_problem(wrong, 405, "method_not_allowed")
        assert "DELETE" in problem["detail"]
        assert sorted(wrong.headers["allow"].split(", ")) == allowed.split(", ")

    @pytest.mark.parametrize("path", ["/v1/jobs/", "//v1/jobs", "/v1//jobs"])
    def test_superfluous_slashes_do_not_matter(self, gateways: Gateways, path: str) -> None:
        assert request(gateways.url + path).status == 200

    @pytest.mark.parametrize(
        "path", ["/v1", "/v2/jobs", "/v1/job", "/health", "/v1/jobs/a/b/c", "/favicon.ico", "/V1/JOBS"]
    )
    def test_unknown_paths(self, gateways: Gateways, path: str) -> None:
        check_problem(request(gateways.url + path), 404, "not_found")

    def test_unknown_query_parameters_elsewhere_do_not_matter(self, gateways: Gateways) -> None:
        location = submit(gateways.url).headers["location"]

        assert request(f"{gateways.url}{location}?utm_source=x").status == 200

    def test_the_root_leads_to_the_documentation(self, gateways: Gateways) -> None:
        page = request(f"{gateways.url}/")

        assert page.headers["content-type"].startswith("text/html")

    @pytest.mark.parametrize("rest", ["", "/events", "/deliveries"])
    @pytest.mark.parametrize(
        "job_id",
        [
            "job_01M803BGRZDM8GVW9FKT2J040B",
            "job_ZZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "job_",
            "x",
            "%00",
            "%F0%9F%99%87",
            "%ff%fe",
            "..%2f..%2f..%2fetc%2fpasswd",
            "%2e%2e",
            "job_01m803bgrzdm8gvw9fkt2j040b",
            "job_01M803BGRZDM8GVW9FKT2J040B%0a",
            "dlv_01M803BGRZDM8GVW9FKT2J040B",
            "job_" + "A" * 10_000,
            "{07}:key",
            "*",
        ],
    )
    def test_ids_of_no_job(self, gateways: Gateways, job_id: str, rest: str) -> None:
        reply = request(f"{gateways.url}/v1/jobs/{job_id}{rest}")

        assert (reply.status, reply.headers["content-type"]) == (404, "application/problem+json")
        assert reply.json["code"] in ("not_found", "job_not_found")
        assert len(reply.body) < 500

    def test_ids_of_no_job_cannot_be_cancelled(self, gateways: Gateways) -> None:
        url = f"{gateways.url}/v1/jobs/job_01M803BGRZDM8GVW9FKT2J040B/cancel"

        check_problem(request(url, method="POST"), 404, "job_not_found")


class TestHealth:
    """`/health`."""

    def test_live_and_ready(self, ringback: Ringback) -> None:
        assert request(f"{ringback.url}/health/live").json == {"status": "live"}
        assert request(f"{ringback.url}/health/ready").json == {"status": "ready", "workers": 1}

    def test_ready_without_workers(self, gateways: Gateways) -> None:
        reply = request(f"{gateways.url}/health/ready")

        assert (reply.status, reply.json) == (200, {"status": "no_worker", "workers": 0})


class TestLastEventId:
    """Resume points that are none."""

    @pytest.mark.parametrize("last", ["abc", "-1", "1.5", "0x1", "99999999999999999999", "²", "1 2", "null", "2"])
    def test_wrong_ones_are_named(self, gateways: Gateways, last: str) -> None:
        from urllib.parse import quote

        url = gateways.url + submit(gateways.url).json["links"]["events"]

        by_header = check_problem(request(url, headers={"Last-Event-ID": last}), 422, "validation_error")
        by_query = check_problem(request(f"{url}?last_event_id={quote(last)}"), 422, "validation_error")
        assert by_header["errors"][0]["pointer"] == "header:Last-Event-ID"
        assert by_query["errors"][0]["pointer"] == "query:last_event_id"

    @pytest.mark.parametrize("last", ["", " ", "0", "00"])
    async def test_none_is_the_start(self, gateways: Gateways, hand: Hand, last: str) -> None:
        job = await hand.start(gateways.url)
        await job.end()

        reply = request(f"{gateways.url}/v1/jobs/{job.id}/events", headers={"Last-Event-ID": last})

        assert reply.body.startswith(b"id: 1\n")


def test_an_answer_for_each_of_many_requests_at_once(gateways: Gateways) -> None:
    """More at once than there are connections to the store."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(200) as pool:
        replies = list(pool.map(lambda n: submit(gateways.url, metadata={"n": n}), range(400)))
        assert {reply.status for reply in replies} == {202}
        found = list(pool.map(lambda reply: request(gateways.url + reply.headers["location"]), replies))
    assert [reply.json["metadata"]["n"] for reply in found] == list(range(400))


def test_metadata_comes_back_byte_for_byte_everywhere(ringback: Ringback, callback_inbox: CallbackInbox) -> None:
    metadata = (
        rb'{"z":1.0,"a":1e5,"big":12345678901234567890123,"n":-0,"s":"\u00e9\ud83d\ude47\/","\uac00":[],"z":{"b":null}}'
    )
    body = b'{"type":"generate","input":{"prompt":"x"},"model":"fake/echo","metadata": %b,"callback":{"url":"%b"}}'

    reply = post(ringback.url, body % (metadata.replace(b",", b" ,\n "), callback_inbox.url.encode()))

    expected = b'"metadata":' + metadata + b',"session_id"'
    assert expected in reply.body
    job = ended(ringback.url, reply.json["id"])
    url = f"{ringback.url}/v1/jobs/{job['id']}"
    assert expected in request(url).body
    assert expected in request(f"{url}/events").body
    eventually(lambda: callback_inbox.received)
    assert expected in callback_inbox.received[0].body
    assert expected in request(f"{ringback.url}/v1/jobs?limit=5").body
