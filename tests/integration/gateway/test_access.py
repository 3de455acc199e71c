"""API keys, and what the logs of a whole run must not hold."""

import functools
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobs.model import Usage
from jobs.store.access_keys import SCOPES, AccessKeys, Rate, Scope, TokenBudgets
from ringback.testing.inbox import CallbackInbox
from ringback.testing.script import Fault, Script
from ringback.testing.vendors.server import VendorServer
from tests.conftest import Ringback
from tests.integration.gateway.conftest import Gateways, Hand, post, submit
from tests.integration.gateway.test_contract import check_problem, ended
from tests.integration.store.sample import now_ms
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


@pytest.fixture
def keys(hand: Hand) -> AccessKeys:
    """The keys of `guarded`."""
    return AccessKeys(hand.connection, KEY_SECRET)


async def test_a_key_opens_what_jobs_need(guarded: str, keys: AccessKeys) -> None:
    key = await keys.create("orders")

    reply = submit(guarded, headers=bearer(key))

    assert reply.status == 202
    assert request(guarded + reply.headers["location"], headers={"authorization": f"bearer   {key} "}).status == 200
    assert request(f"{guarded}/v1/job-types", headers=bearer(key)).status == 200
    for almost in (key[:-1], key + "0", key.upper(), key.replace("rb_", "", 1)):
        check_problem(request(f"{guarded}/v1/jobs", headers=bearer(almost)), 401, "unauthorized")


async def test_a_revoked_key_opens_nothing_more(guarded: str, keys: AccessKeys) -> None:
    key = await keys.create("orders")
    assert request(f"{guarded}/v1/jobs", headers=bearer(key)).status == 200

    assert await keys.revoke(key.split("_")[1])

    check_problem(request(f"{guarded}/v1/jobs", headers=bearer(key)), 401, "unauthorized")


async def test_a_rotated_key_works_with_both_secrets_until_the_overlap_is_over(guarded: str, keys: AccessKeys) -> None:
    old = await keys.create("orders")
    job = guarded + submit(guarded, headers=bearer(old)).headers["location"]

    new = await keys.rotate(old.split("_")[1], overlap_s=1.0)

    assert [request(job, headers=bearer(key)).status for key in (old, new)] == [200, 200]
    eventually(lambda: request(job, headers=bearer(old)).status == 401)
    assert request(job, headers=bearer(new)).status == 200
    newest = await keys.rotate(old.split("_")[1], overlap_s=0)
    assert [request(job, headers=bearer(key)).status for key in (new, newest)] == [401, 200]


SCOPE_OF: dict[str, Scope] = {
    "submit_job": "jobs:write",
    "cancel_job": "jobs:write",
    "list_jobs": "jobs:read",
    "get_job": "jobs:read",
    "stream_events": "jobs:read",
    "get_audio": "jobs:read",
    "list_deliveries": "jobs:read",
    "list_job_types": "jobs:read",
    "create_chat_completion": "jobs:write",
    "get_usage": "jobs:read",
    "metrics": "jobs:read",
    "list_models": "jobs:read",
    "get_model": "jobs:read",
    "create_session": "jobs:write",
    "get_session": "jobs:read",
    "delete_session": "jobs:write",
    "take_text_turn": "jobs:write",
    "take_voice_turn": "jobs:write",
    "get_session_history": "jobs:read",
    "get_user_history": "jobs:read",
    "list_dead_letters": "jobs:read",
    "replay_delivery": "deliveries:write",
    "replay_deliveries": "deliveries:write",
}
"""What each operation needs."""


def operations(url: str) -> dict[str, tuple[str, str]]:
    """Method and URL of every operation that a key is needed for, by its id."""
    ids = {
        "{job_id}": "job_01M803BGRZDM8GVW9FKT2J040B",
        "{delivery_id}": "dlv_01M803BGRZDM8GVW9FKT2J040B",
        "{session_id}": "ses_01M803BGRZDM8GVW9FKT2J040B",
        "{user_id}": "u",
        "{model_id}": "fake/echo",
    }
    found = {}
    for path, methods in request(f"{url}/openapi.json").json["paths"].items():
        for method, operation in methods.items():
            if operation.get("security") != []:
                filled = functools.reduce(lambda left, pair: left.replace(*pair), ids.items(), path)
                found[operation["operationId"]] = (method.upper(), url + filled)
    return found


@pytest.mark.parametrize("scope", SCOPES)
async def test_each_operation_needs_its_scope(guarded: str, keys: AccessKeys, scope: Scope) -> None:
    key = await keys.create("narrow", scopes=(scope,))
    found = operations(guarded)
    assert found.keys() >= {"submit_job", "list_jobs"}
    for operation, (method, url) in found.items():
        body = b"{}" if method == "POST" else None
        reply = request(url, method=method, body=body, headers=bearer(key))
        if scope in ("admin", SCOPE_OF[operation]):
            assert reply.status not in (401, 403), operation
            continue
        lacks = f"this needs an API key with the scope {SCOPE_OF[operation]}; this one has {scope}"
        if "error" in reply.json:  # in OpenAI's shape
            assert (reply.status, reply.json["error"]["code"]) == (403, "forbidden")
            assert reply.json["error"]["message"] == lacks
        else:
            (error,) = check_problem(reply, 403, "forbidden")["errors"]
            assert (error["pointer"], error["detail"]) == ("header:Authorization", lacks)


async def test_asking_what_can_be_done_needs_a_key_but_no_scope(guarded: str, keys: AccessKeys) -> None:
    key = await keys.create("narrow", scopes=("deliveries:write",))
    assert request(f"{guarded}/v1/jobs", method="OPTIONS", headers=bearer(key)).status == 204
    check_problem(request(f"{guarded}/v1/jobs", method="OPTIONS"), 401, "unauthorized")


async def test_a_key_submits_only_its_job_types(guarded: str, keys: AccessKeys) -> None:
    headers = bearer(await keys.create("narrow", types=("soften", "generate")))
    assert submit(guarded, headers=headers).status == 202
    reply = submit(guarded, type="summarize", input={"text": "x"}, headers=headers)
    assert check_problem(reply, 403, "forbidden")["errors"] == [
        {"pointer": "#/type", "detail": "this API key may submit only soften, generate, not summarize"}
    ]


async def test_a_key_has_only_its_hosts_called_back(guarded: str, keys: AccessKeys) -> None:
    headers = bearer(await keys.create("narrow", callback_hosts=("hooks.example", "*.shop.example")))
    assert submit(guarded, headers=headers).status == 202
    for url in ("https://hooks.example/x", "https://HOOKS.example.:8443/", "http://a.shop.example"):
        assert submit(guarded, headers=headers, callback={"url": url}).status == 202, url
    for url in ("https://other.example/hooks.example", "https://shop.example", "https://hooks.example.evil.example"):
        reply = submit(guarded, headers=headers, callback={"url": url})
        (error,) = check_problem(reply, 403, "forbidden")["errors"]
        assert error["pointer"] == "#/callback/url"
        assert "may have only hooks.example, *.shop.example called back" in error["detail"]


@pytest.mark.parametrize("limit", [1, 13])
async def test_exactly_as_many_requests_as_the_rate_pass(
    guarded: str, gateways: Gateways, keys: AccessKeys, limit: int
) -> None:
    """Fifty at once, over two gateways."""
    other = gateways.gateway(RINGBACK_API_KEYS="required")
    key, unlimited = await keys.create("busy", rate=Rate(requests=limit, seconds=60)), await keys.create("calm")
    with ThreadPoolExecutor(50) as pool:
        urls = [f"{(guarded, other)[number % 2]}/v1/jobs" for number in range(50)]
        replies = list(pool.map(lambda url: request(url, headers=bearer(key)), urls))
    refused = [reply for reply in replies if reply.status != 200]
    assert len(replies) - len(refused) == limit
    for reply in refused:
        check_problem(reply, 429, "rate_limited")
        assert 1 <= int(reply.headers["retry-after"]) <= 60
    assert request(f"{guarded}/v1/jobs", headers=bearer(unlimited)).status == 200


async def test_without_tokens_left_a_key_submits_nothing_but_still_reads(
    guarded: str, keys: AccessKeys, hand: Hand
) -> None:
    key = await keys.create("spender", tokens_per_day=100)
    job = guarded + submit(guarded, headers=bearer(key)).headers["location"]
    await TokenBudgets(hand.connection).spend(key.split("_")[1], "job", 1, Usage(output_tokens=100), at_ms=now_ms())

    reply = submit(guarded, headers=bearer(key))

    check_problem(reply, 429, "budget_exhausted")
    assert 1 <= int(reply.headers["retry-after"]) <= 86_400
    assert request(job, headers=bearer(key)).status == 200
    assert request(f"{job}/cancel", method="POST", headers=bearer(key)).status == 202


async def test_what_a_job_used_is_taken_from_its_keys_tokens(ringback: Ringback, new_hand: Callable[..., Hand]) -> None:
    url = ringback.gateway(RINGBACK_API_KEYS="required")
    keys = AccessKeys(new_hand(ringback).connection, KEY_SECRET)
    spender, other = [bearer(await keys.create("x", tokens_per_day=10)) for _ in range(2)]
    wait = {"Prefer": "wait=20"}
    done = submit(url, model="fake/x?input_tokens=6&output_tokens=4", headers=spender | wait)
    assert done.json["status"] == "succeeded"

    eventually(lambda: submit(url, headers=spender).status == 429)

    assert submit(url, headers=other).status == 202


async def test_a_gateway_without_a_key_secret_has_one_in_its_store(
    ringback: Ringback, new_hand: Callable[..., Hand]
) -> None:
    url = ringback.gateway(RINGBACK_API_KEYS="required", RINGBACK_KEY_SECRET="")
    keys = AccessKeys(new_hand(ringback).connection, "")
    key = await keys.create("orders")
    assert submit(url).status == 401
    assert submit(url, headers=bearer(key)).status == 202
    assert (
        submit(url, headers=bearer(await AccessKeys(new_hand(ringback).connection, KEY_SECRET).create("x"))).status
        == 401
    )


def test_a_gateway_with_a_short_key_secret_does_not_start(gateways: Gateways) -> None:
    env = gateways.env | {"RINGBACK_API_KEYS": "required", "RINGBACK_KEY_SECRET": "short", "RINGBACK_PORT": "0"}
    argv = [sys.executable, "-m", "ringback", "gateway"]
    done = subprocess.run(argv, check=False, env=env, capture_output=True, timeout=60)
    assert done.returncode == os.EX_CONFIG
    assert b"RINGBACK_KEY_SECRET: API keys are hashed with it" in done.stderr


async def test_an_idempotency_key_belongs_to_its_access_key(guarded: str, keys: AccessKeys) -> None:
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
