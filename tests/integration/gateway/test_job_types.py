"""Job types as callers find them: in `/v1/job-types`, in OpenAPI, and when they submit one; also their own."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from ringback.testing.script import Script
from ringback.testing.vendors.server import VendorServer
from tests.conftest import Ringback
from tests.integration.gateway.conftest import Gateways, submit
from tests.integration.gateway.test_contract import ended
from tests.stack import Stack, request

BUILT_IN = ["generate", "inquiry", "soften", "speak", "summarize", "text_turn", "transcribe", "voice_turn"]
PROMPT = """\
---
name: {name}
description: 배송 문의에 답합니다. Answers delivery questions.
version: "2"
input:
  required: [question]
  properties:
    question: {{type: string, minLength: 2, maxLength: 100}}
    urgent: {{type: boolean, default: false}}
output:
  text: answer
model: openai/gpt-4o
---
# system
Answer between <{{{{ fence }}}}> tags only.
# user
{{{{ question | fenced }}}}
"""


@pytest.fixture(scope="module")
def own_types(ringback: Ringback, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A gateway with a type of the user's own and one that overrides a built-in one; and where they are."""
    directory = tmp_path_factory.mktemp("prompts")
    (directory / "delivery.md").write_text(PROMPT.format(name="delivery_answer"))
    (directory / "soften.md").write_text(PROMPT.format(name="soften"))
    return ringback.gateway(RINGBACK_PROMPTS_DIR=str(directory)), directory


def job_types(url: str) -> dict[str, dict[str, Any]]:
    reply = request(f"{url}/v1/job-types")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    return {item["name"]: item for item in reply.json["items"]}


def test_the_built_in_types_are_listed_with_their_schemas(gateways: Gateways) -> None:
    found = job_types(gateways.url)

    assert list(found) == BUILT_IN
    for item in found.values():
        assert item["description"]
        assert item["prompt"].keys() == {"name", "version", "sha256"}
        assert item["prompt"]["version"] == item["version"]
        for part in ("input_schema", "output_schema"):
            jsonschema_rs.meta.validate(item[part])


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_schema_accepts_what_the_gateway_accepts(gateways: Gateways, name: str) -> None:
    schema = jsonschema_rs.validator_for(job_types(gateways.url)[name]["input_schema"])
    text = "prompt" if name == "generate" else "text"
    values: list[Any] = [
        {text: "안녕하세요"},
        {text: ""},
        {text: " "},
        {text: 5},
        {},
        {text: "x", "nonsense": 1},
        [],
        None,
    ]
    for value in values:
        accepted = submit(gateways.url, type=name, input=value, model=None).status == 202
        assert accepted == schema.is_valid(value), value


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_examples_of_a_type_can_be_submitted(gateways: Gateways, name: str) -> None:
    examples = job_types(gateways.url)[name]["input_schema"]["examples"]

    assert examples
    statuses = [submit(gateways.url, type=name, input=example, model=None).status for example in examples]
    assert statuses == [202] * len(examples)


def test_a_type_of_ones_own_is_listed_documented_checked_and_run(
    ringback: Ringback, own_types: tuple[str, Path], vendor_server: VendorServer
) -> None:
    url, directory = own_types
    vendor_server.script(Script(deltas=("내일 ", "도착합니다.")))
    worker = ringback.worker(RINGBACK_PROMPTS_DIR=str(directory))
    ringback.worker_process.send(signal.SIGSTOP)  # this one does not know the type
    try:
        item = job_types(url)["delivery_answer"]
        assert (item["version"], item["model"]) == ("2", "openai/gpt-4o")
        assert item["input_schema"]["properties"]["question"]["maxLength"] == 100
        assert item["output_schema"]["required"] == ["answer"]
        document = request(f"{url}/openapi.json").json
        assert "delivery_answer_request" in document["components"]["schemas"]
        assert "delivery_answer" not in job_types(ringback.url), "other gateways know nothing of it"

        body: dict[str, Any] = {
            "type": "delivery_answer",
            "input": {"question": "언제 오나요?"},
            "model": "openai/gpt-4o",
        }
        wrong = submit(url, **body | {"input": {"question": "?"}})
        assert (wrong.status, wrong.json["errors"][0]["pointer"]) == (422, "#/input/question")
        job = ended(url, submit(url, **body).json["id"])
        assert (job["status"], job["output"]) == ("succeeded", {"answer": "내일 도착합니다."})
        assert job["prompt"] == item["prompt"]
        assert "언제 오나요?" in str(vendor_server.received[-1].body)
    finally:
        worker.stop()
        ringback.worker_process.send(signal.SIGCONT)
        ringback.wait_ready(url)


def test_a_type_of_ones_own_can_override_a_built_in_one(own_types: tuple[str, Path], gateways: Gateways) -> None:
    url, _ = own_types

    assert list(job_types(url)) == ["delivery_answer", *BUILT_IN]
    assert job_types(url)["soften"]["input_schema"]["required"] == ["question"]
    assert job_types(url)["soften"]["prompt"]["sha256"] != job_types(gateways.url)["soften"]["prompt"]["sha256"]
    assert submit(url, type="soften", input={"text": "x"}).status == 422


@pytest.mark.parametrize(
    ("broken", "line", "why"),
    [
        (PROMPT.format(name="x").replace("minLength: 2", "minLenght: 2"), 8, "minLenght"),
        (PROMPT.format(name="x").replace("version:", "version"), 5, "YAML"),
    ],
)
def test_a_broken_file_stops_the_start_with_file_and_line(
    gateways: Gateways, tmp_path: Path, broken: str, line: int, why: str
) -> None:
    (tmp_path / "broken.md").write_text(broken)

    done = start_gateway(gateways, RINGBACK_PROMPTS_DIR=str(tmp_path))

    assert done.returncode == 78
    assert f"broken.md:{line}:" in done.stderr
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_a_prompts_directory_that_is_not_there_stops_the_start(gateways: Gateways, tmp_path: Path) -> None:
    done = start_gateway(gateways, RINGBACK_PROMPTS_DIR=str(tmp_path / "nowhere"))

    assert done.returncode == 78
    assert "nowhere" in done.stderr


def test_a_port_that_is_taken_stops_the_start(gateways: Gateways) -> None:
    done = start_gateway(gateways, RINGBACK_PORT=gateways.url.rpartition(":")[2])

    assert done.returncode == 78
    assert "in use" in done.stderr


def start_gateway(stack: Stack, **env: str) -> subprocess.CompletedProcess[str]:
    """A gateway that is expected not to start."""
    argv = [sys.executable, "-m", "ringback", "gateway"]
    return subprocess.run(argv, env=stack.env | env, capture_output=True, text=True, timeout=30, check=False)
