"""The fake vendors from a shell, as docs/testing.md has it: a Korean turn by voice through all of Amazon's clients."""

import base64
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from speech.audio import decoding
from tests.e2e.test_up import environment
from tests.integration.speech import talk
from tests.stack import Stack, eventually, request

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^```sh\n(\.venv/bin/python -m ringback\.testing\.vendors.*?)^```$", re.MULTILINE | re.DOTALL)
HEARD = "주문한 게 아직 안 왔어요."
REPLY = "주문하신 상품은 오늘 출발했습니다. 내일 오후 3시쯤 도착해요!"


@pytest.fixture
def vendors(tmp_path: Path) -> Iterator[str]:
    """What the command of the document has printed, once it serves."""
    (command,) = COMMAND.findall(DOCUMENT)
    assert HEARD in command
    assert REPLY in command
    command = command.replace(".venv/bin/python", f"exec {sys.executable}")
    with subprocess.Popen(["bash", "-euc", command], cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT))) as process:
        try:
            printed = tmp_path / "vendors.env"
            eventually(lambda: printed.exists() and "RINGBACK_S3_BUCKET" in printed.read_text(), what="it serves")
            yield printed.read_text()
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def variables(vendors: str) -> dict[str, str]:
    """What a shell has that was told so."""
    shell = ["env", "-i", "bash", "-euc", f"{vendors}\nenv -0"]
    told = subprocess.run(shell, capture_output=True, check=True).stdout.decode().split("\0")
    return dict(entry.split("=", 1) for entry in told if entry.startswith(("RINGBACK_", "AWS_")))


async def test_a_korean_turn_by_voice(variables: dict[str, str], tmp_path: Path) -> None:
    stack = Stack(tmp_path, variables)
    try:
        stack.worker()
        url = stack.gateway()
        stack.wait_ready(url)
        session = talk.session(url, language="ko-KR")
        question = (ROOT / "examples" / "question.wav").read_bytes()
        turn = await talk.take(url, session, by="voice", data=question, headers={"content-type": "audio/wav"})
        output = turn.job["output"]
        assert (turn.job["status"], turn.job["provider"]) == ("succeeded", "bedrock")
        assert (output["transcript"], output["text"]) == (HEARD, REPLY)
        for sentence in output["sentences"]:
            assert sentence["audio"]["voice"] == "Seoyeon"
            assert decoding.decoded(base64.b64decode(sentence["audio"]["base64"]), provider="test").duration_s > 0.1
        assert {call["model"].split("/")[0] for call in turn.job["calls"]} == {"transcribe", "bedrock", "polly"}

        linked = await talk.take(
            url, session, by="voice", data=question, headers={"content-type": "audio/wav"}, params={"delivery": "url"}
        )
        link = linked.job["output"]["sentences"][0]["audio"]["url"]
        assert link.startswith(variables["AWS_ENDPOINT_URL_S3"]), "the bucket's"
        assert decoding.decoded(request(link).body, provider="test").duration_s > 0.1

        phones = b"\0\0\0\x20ftypM4A " + bytes(500)
        turn = await talk.take(url, session, by="voice", data=phones, headers={"content-type": "audio/mp4"})
        assert turn.job["output"]["transcript"] == HEARD, "by a batch"
    finally:
        stack.close()
