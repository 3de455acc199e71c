"""API keys, and what the logs of a whole run must not hold."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobs.store.access_keys import AccessKeys
from ringback.testing.inbox import CallbackInbox
from ringback.testing.script import Fault, Script
from ringback.testing.vendors.server import VendorServer
from tests.conftest import Ringback
from tests.integration.gateway.conftest import Gateways, Hand, post, submit
from tests.integration.gateway.test_contract import check_problem, ended
from tests.stack import KEY_SECRET, SECRET, Reply, eventually, request


@pytest.fixture(scope="module")
def guarded(gateways: Gateways) -> str:
    """A gateway that asks for keys."""
    return gateways.gateway(RINGBACK_API_KEYS="required")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def guarded_routes(url: str, headers: dict[str, str]) -> list[Reply]:
    job = f"{url}/v1/jobs/job_01M803BGRZDM8GVW9FKT2J040B"
    return [
        submit(url, headers=headers),
        submit(url, type="nonsense", headers=headers),
        post(url, b"{", headers),
        *(request(target, headers=headers) for target in (f"{url}/v1/jobs", job, f"{job}/events", f"{job}/deliveries")),
        request(f"{job}/cancel", method="POST", headers=headers),
        request(f"{url}/v1/job-types", headers=headers),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer(""),
        bearer("wrong"),
        bearer("rb_0123456789ab_" + "0" * 64),
        bearer("rb_{07}_x"),
        {"Authorization": "Basic cmI6eA=="},
        {"Authorization": "rb_0123456789ab_" + "0" * 64},
        {"X-API-Key": "rb_0123456789ab_" + "0" * 64},
        {"Authorization": "Bearer \xff\xfe"},
    ],
    ids=str,
)
def test_nothing_is_done_without_a_key(guarded: str, headers: dict[str, str]) -> None:
    for reply in guarded_routes(guarded, headers):
        check_problem(reply, 401, "unauthorized")
        assert reply.headers["www-authenticate"] == "Bearer"


def test_health_and_documentation_stay_open(guarded: str) -> None:
    for path in ("/health/live", "/health/ready", "/openapi.json", "/docs", "/"):
        assert request(guarded + path).status == 200


async def test_a_key_opens_everything(guarded: str, gateways: Gateways, hand: Hand) -> None:
    key = await AccessKeys(hand.connection, KEY_SECRET).create("orders")

    reply = submit(guarded, headers=bearer(key))

    assert reply.status == 202
    assert request(guarded + reply.headers["location"], headers={"authorization": f"bearer   {key} "}).status == 200
    assert request(f"{guarded}/v1/job-types", headers=bearer(key)).status == 200
    for almost in (key[:-1], key + "0", key.upper(), key.replace("rb_", "", 1)):
        check_problem(request(f"{guarded}/v1/jobs", headers=bearer(almost)), 401, "unauthorized")


async def test_a_revoked_key_opens_nothing_more(guarded: str, hand: Hand) -> None:
    keys = AccessKeys(hand.connection, KEY_SECRET)
    key = await keys.create("orders")
    assert request(f"{guarded}/v1/jobs", headers=bearer(key)).status == 200

    assert await keys.revoke(key.split("_")[1])

    check_problem(request(f"{guarded}/v1/jobs", headers=bearer(key)), 401, "unauthorized")


async def test_an_idempotency_key_belongs_to_its_access_key(guarded: str, hand: Hand) -> None:
    keys = AccessKeys(hand.connection, KEY_SECRET)
    one, other = await keys.create("orders"), await keys.create("billing")
    idempotency = {"Idempotency-Key": secrets.token_hex(8)}

    first = submit(guarded, headers=idempotency | bearer(one))
    again = submit(guarded, headers=idempotency | bearer(one))
    others = submit(guarded, headers=idempotency | bearer(other), metadata={"another": "body"})

    assert [r.status for r in (first, again, others)] == [202] * 3
    assert first.json["id"] == again.json["id"] != others.json["id"]


async def test_the_logs_of_a_run_hold_no_content(
    ringback: Ringback,
    vendor_server: VendorServer,
    callback_inbox: CallbackInbox,
    new_hand: Callable[..., Hand],
) -> None:
    """Also not where things go wrong: bad requests, failing vendors, replies that do not fit, failing callbacks."""
    mark = "m4rk3d" + secrets.token_hex(4)
    url = ringback.gateway(RINGBACK_API_KEYS="required", RINGBACK_LOG_LEVEL="debug")
    key = await AccessKeys(new_hand(ringback).connection, KEY_SECRET).create(f"name {mark}")
    headers = bearer(key) | {"Idempotency-Key": f"idem {mark}", "Prefer": "wait=20"}
    asked: dict[str, Any] = {
        "metadata": {mark: mark},
        "callback": {"url": f"{callback_inbox.url}/hook?token={mark}"},
        "input": {"prompt": f"prompt {mark}"},
    }
    callback_inbox.fail(500)
    callback_inbox.fail("reset")

    vendor_server.script(Script(deltas=(f"answer {mark} ", "and more")))
    replies = [submit(url, model="openai/gpt-4o", headers=headers, **asked)]
    vendor_server.script(Script(deltas=(f"not JSON {mark}",)))
    with_schema = asked | {"input": {"prompt": mark, "schema": {"type": "object", "required": [mark]}}}
    replies.append(submit(url, model="anthropic/claude", headers=headers | {"Idempotency-Key": mark}, **with_schema))
    faults: tuple[Fault, ...] = ("bad_request", "error_in_stream", "content_filter", "unauthorized")
    for fault in faults:
        vendor_server.script(Script(deltas=(mark,), fault=fault))
        idempotency = {"Idempotency-Key": f"{fault} {mark}"}
        replies.append(submit(url, model="openai/gpt-4o", headers=headers | idempotency, **asked))
    bad = [
        submit(url, type=mark, headers=headers),
        submit(url, headers=bearer(f"rb_{mark}")),
        submit(url, headers=headers, model=mark),
        submit(url, headers=headers, callback={"url": f"http://10.0.0.1/{mark}"}),
        post(url, f'{{"type": "{mark}'.encode(), headers),
        request(f"{url}/v1/jobs/{mark}", headers=bearer(key)),
        request(f"{url}/v1/jobs?metadata.x={mark}&limit={mark}", headers=bearer(key)),
    ]

    assert [reply.status for reply in replies] == [200] * 6
    assert [reply.status for reply in bad] == [422, 401, 422, 422, 400, 404, 422]
    assert {ended_["status"] for ended_ in (reply.json for reply in replies)} == {"succeeded", "failed"}
    eventually(lambda: len(callback_inbox.received) >= 6)
    logs = {path.name: path.read_text() for path in Path(ringback.home).glob("*.log")}
    assert replies[0].json["id"] in logs["worker.log"], "the logs are those of this run"
    for name, text in logs.items():
        for secret in (mark, key, key.rpartition("_")[2], SECRET, SECRET.removeprefix("whsec_"), KEY_SECRET):
            assert secret not in text, f"{name}: {_line_with(text, secret)}"
        for line in text.splitlines():
            entry = msgspec.json.decode(line)
            assert entry.keys() >= {"event", "level", "timestamp", "role", "pid"}, line


def _line_with(text: str, secret: str) -> str:
    return next(line for line in text.splitlines() if secret in line)


def test_a_run_without_trouble_logs_no_errors(ringback: Ringback) -> None:
    job_id = submit(ringback.url, model="fake/x?text=네").json["id"]
    ended(ringback.url, job_id)

    def told() -> Any:
        lines = (ringback.home / "worker.log").read_text().splitlines()
        return [entry for entry in map(msgspec.json.decode, lines) if entry.get("job_id") == job_id]

    entries = eventually(told)
    assert {entry["level"] for entry in entries} <= {"info", "debug"}
