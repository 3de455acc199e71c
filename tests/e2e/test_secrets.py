"""Secrets and content planted all over a real run, in good requests and bad, turn up in no line of its logs."""

import itertools
import secrets
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from jobs import signing
from jobs.store.access_keys import AccessKeys
from jobs.store.connection import Connection
from ringback.testing.inbox import CallbackInbox
from ringback.testing.script import Fault, Script
from ringback.testing.vendors.server import VendorServer
from tests.stack import KEY_SECRET, Reply, Stack, eventually, request

FAULTS: tuple[Fault, ...] = (
    *("unauthorized", "forbidden", "model_not_found", "bad_request", "context_too_long", "content_filter"),
    *("server_error", "error_in_stream", "malformed_event", "cut"),
)
MODELS = ("openai/gpt-4o", "anthropic/claude", "gemini/gemini-2.5-flash", "bedrock/some.model")
Planted = dict[str, str]


@pytest.fixture
def planted() -> Planted:
    """What must not be seen, by what it is."""
    names = ("prompt", "answer", "metadata", "path", "idempotency", "name", "schema", "type", "job", "header")
    marks = {name: f"m4rk3d{name}{secrets.token_hex(4)}" for name in names}
    return marks | {
        "webhook secret": signing.new_secret(),
        "openai key": "sk-proj-" + secrets.token_hex(16),
        "anthropic key": "sk-ant-" + secrets.token_hex(16),
        "gemini key": "AIza" + secrets.token_hex(16),
        "aws key": secrets.token_hex(20),
        "token in a query": "xoxb-" + secrets.token_hex(12),
    }


def environment(planted: Planted, log_format: str) -> dict[str, str]:
    return {
        "RINGBACK_API_KEYS": "required",
        "RINGBACK_LOG_LEVEL": "debug",
        "RINGBACK_LOG_FORMAT": log_format,
        "RINGBACK_WEBHOOK_SECRET": planted["webhook secret"],
        "OPENAI_API_KEY": planted["openai key"],
        "ANTHROPIC_API_KEY": planted["anthropic key"],
        "GEMINI_API_KEY": planted["gemini key"],
        "AWS_SECRET_ACCESS_KEY": planted["aws key"],
    }


async def new_key(stack: Stack, name: str) -> str:
    connection = Connection(stack.store_spec.url, timeout=5.0)
    try:
        return await AccessKeys(connection, KEY_SECRET).create(name)
    finally:
        await connection.aclose()


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_the_logs_of_a_run_hold_no_secret_and_no_content(
    own_stack: Stack, vendor_server: VendorServer, callback_inbox: CallbackInbox, planted: Planted, log_format: str
) -> None:
    env = environment(planted, log_format)
    worker = own_stack.worker(**env)
    url = own_stack.gateway(**env)
    own_stack.wait_ready(url)
    planted["api key"] = key = await new_key(own_stack, planted["name"])
    authorized = {"Authorization": f"Bearer {key}", "X-Own": planted["header"]}
    callback_inbox.fail(500)
    callback_inbox.fail("reset")

    def submit(model: str, **fields: Any) -> Reply:
        body = {
            "type": "generate",
            "model": model,
            "input": {"prompt": f"{planted['prompt']}, 안녕"},
            "metadata": {"ticket": planted["metadata"], planted["metadata"]: 1},
            "callback": {"url": f"{callback_inbox.url}/{planted['path']}?token={planted['token in a query']}"},
        }
        once = {"Idempotency-Key": f"{planted['idempotency']} {secrets.token_hex(4)}", "Prefer": "wait=60"}
        return request(f"{url}/v1/jobs", method="POST", body=body | fields, headers=authorized | once, timeout=90)

    vendor_server.script(Script(deltas=(f"{planted['answer']} ", "끝")))
    good = [submit(model) for model in MODELS]
    schema = {"type": "object", "required": [planted["schema"]]}
    failed = [submit("openai/gpt-4o", input={"prompt": planted["prompt"], "schema": schema})]

    def meet(fault: Fault, model: str) -> Reply:
        return submit(model, input={"prompt": f"{planted['prompt']}, {fault}!"})

    for fault in FAULTS:
        vendor_server.script(Script(deltas=(planted["answer"], planted["answer"]), fault=fault), about=f"{fault}!")
    with ThreadPoolExecutor(len(MODELS) * len(FAULTS)) as callers:
        failed += callers.map(meet, *zip(*itertools.product(FAULTS, MODELS), strict=True))
    bad = refused(url, submit, authorized, planted)

    assert [reply.json["status"] for reply in good] == ["succeeded"] * len(MODELS)
    assert {reply.status for reply in failed} == {200}
    assert {reply.json["status"] for reply in failed} <= {"failed", "succeeded"}
    assert any(reply.json["status"] == "failed" for reply in failed)
    assert {400, 401, 404, 422} <= {reply.status for reply in bad}
    eventually(lambda: len(callback_inbox.received) >= len(good) + len(failed))
    own_stack.gateways[url].stop(signal.SIGTERM)
    worker.stop(signal.SIGTERM)
    check_logs(own_stack, planted, log_format, known=good[0].json["id"])
    credentials = [secret for name, secret in planted.items() if name.endswith(" key")]
    for reply in (*good, *failed, *bad):
        assert not [secret for secret in credentials if secret in reply.body.decode()], reply.body


def refused(url: str, submit: Callable[..., Reply], authorized: dict[str, str], planted: Planted) -> list[Reply]:
    """Answers to requests that hold content and cannot be carried out."""
    jobs = f"{url}/v1/jobs"
    return [
        submit("openai/gpt-4o", type=planted["type"]),
        submit(planted["prompt"]),
        submit("openai/gpt-4o", callback={"url": f"http://10.0.0.1/{planted['path']}"}),
        request(jobs, method="POST", body=f'{{"type": "{planted["type"]}'.encode(), headers=authorized),
        request(jobs, method="POST", body={}, headers={"Authorization": f"Bearer rb_{planted['name']}"}),
        request(f"{jobs}/{planted['job']}", headers=authorized),
        request(f"{jobs}?metadata.x={planted['metadata']}&limit={planted['metadata']}", headers=authorized),
        request(f"{url}/{planted['path']}?key={planted['api key']}"),
    ]


def check_logs(stack: Stack, planted: Planted, log_format: str, known: str) -> None:
    """Asserts that the logs are those of this run, in that format, and hold nothing planted."""
    logs = {path.name: path.read_text() for path in stack.home.glob("*.log")}
    assert known in logs["worker.log"], "the logs are those of this run"
    assert "gateway_stopped" in logs["gateway.log"]
    looked_for = planted | {f"{name}, its end": secret.rpartition("_")[2] for name, secret in planted.items()}
    for name, text in logs.items():
        assert text.startswith("{") == (log_format == "json")
        for line in text.splitlines():
            seen = [what for what, secret in looked_for.items() if secret in line]
            assert not seen, f"{name} tells the {', '.join(seen)}: {line}"
            assert KEY_SECRET not in line
