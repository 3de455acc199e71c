"""`submit` and `watch` against a gateway that says just what each test needs it to say."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ringback import cli, follow
from ringback.remote import Gateway as Remote
from ringback.testing import loopback
from ringback.testing.loopback import LoopbackServer
from tests.unit.cli.children import wait_until

ROOT = Path(__file__).parents[3]
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Gateway(LoopbackServer):
    """Answers with one of `answers` after the other, then with the last one again and again."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__()
        self.answers = list(answers)
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.method, request.path, headers, await request.read()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)

    def last_ids(self) -> list[str | None]:
        """The Last-Event-ID of each request."""
        return [headers.get("last-event-id") for _, _, headers, _ in self.requests]


def job(status: str = "succeeded", output: Any = None, error: Any = None) -> dict[str, Any]:
    return {"id": "job_1", "type": "soften", "status": status, "output": output, "error": error}


def frame(number: int, name: str, **data: Any) -> bytes:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def end(number: int, status: str = "succeeded", **fields: Any) -> bytes:
    return frame(number, f"job.{status}", **job(status, **fields))


def stream(*blocks: bytes, cut: bool = False) -> Answer:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for block in blocks:
            await response.write(block)
        if cut:
            loopback.cut(request)
        return response

    return answer


def document(status: int, body: Any) -> Answer:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        return web.Response(status=status, text=text, content_type="application/problem+json")

    return answer


STARTED = frame(1, "job.started", attempt=1, provider="fake", model="fake/echo")


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell of whoever runs this may have a key."""
    monkeypatch.delenv("RINGBACK_API_KEY", raising=False)


def run(capsys: pytest.CaptureFixture[str], gateway: Gateway, *argv: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `ringback ARGV` at that gateway."""
    with gateway:
        code = cli.main([*argv, "--url", gateway.url])
    out, err = capsys.readouterr()
    return code, out, err


def test_watch_prints_the_text_and_nothing_else_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    text = [frame(2, "text.delta", text="안녕하세요, "), b": keep-alive\n\n", frame(3, "text.delta", text="고객님.")]
    gateway = Gateway(stream(STARTED, *text, end(4, output={"text": "안녕하세요, 고객님."})))
    code, out, err = run(capsys, gateway, "watch", "job_1")
    assert (code, out) == (0, "안녕하세요, 고객님.\n")
    assert err == "ringback: fake/echo, attempt 1\n"
    assert gateway.requests[0][:2] == ("GET", "/v1/jobs/job_1/events")
    assert gateway.requests[0][2]["accept"] == "text/event-stream"


@pytest.mark.parametrize(
    ("output", "printed"),
    [
        ({"summary": "짧게"}, "짧게\n"),
        ({"text": "hi", "language": "en"}, "hi\n"),
        ({"summary": "s", "sentiment": "n"}, '{\n  "summary": "s",\n  "sentiment": "n"\n}\n'),
        ({"data": {"이름": 1}}, '{\n  "data": {\n    "이름": 1\n  }\n}\n'),
    ],
)
def test_a_result_that_was_not_streamed_is_printed_at_the_end(
    capsys: pytest.CaptureFixture[str], output: Any, printed: str
) -> None:
    assert run(capsys, Gateway(stream(end(1, output=output))), "watch", "job_1")[:2] == (0, printed)


def test_watch_resumes_after_a_broken_connection_and_after_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    gateway = Gateway(
        stream(STARTED, frame(2, "text.delta", text="one "), b"id: 3\nevent: text.delta\nda", cut=True),
        stream(frame(3, "text.delta", text="two "), b": reconnect\n\n"),
        document(503, {"detail": "shutting down", "code": "shutting_down", "status": 503}),
        stream(),
        stream(frame(4, "text.delta", text="three"), end(5, output={"text": "one two three"})),
    )
    pauses: list[float] = []
    with gateway:
        assert follow.follow(Remote(gateway.url), "job_1", sleep=pauses.append) == 0
    assert capsys.readouterr().out == "one two three\n"
    assert pauses == [0.2, 0.2, 0.4, 0.8]
    assert gateway.last_ids() == [None, "2", "3", "3", "3"]


def test_watch_gives_up_in_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    pauses: list[float] = []
    lost = pytest.raises(follow.Lost, match="the gateway ends the stream again and again; the job goes on: ringback wa")
    with Gateway(stream(STARTED, b": reconnect\n\n"), stream(b": reconnect\n\n")) as gateway, lost:
        follow.follow(Remote(gateway.url), "job_1", sleep=pauses.append)
    assert capsys.readouterr().out == ""
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 5.0, 5.0]


def test_text_made_void_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    reset = frame(3, "stream.reset", reason="provider_overloaded", provider="openai", model="openai/gpt")
    text = [frame(2, "text.delta", text="wro"), reset, frame(4, "text.delta", text="right")]
    code, out, err = run(capsys, Gateway(stream(STARTED, *text, end(5))), "watch", "job_1")
    assert (code, out) == (0, "wro\nright\n")
    assert err.splitlines()[1:] == [
        "ringback: the text so far is void",
        "ringback: starting again on openai/gpt: provider_overloaded",
    ]


def test_a_file_gets_only_the_final_text(tmp_path: Path) -> None:
    reset = frame(3, "stream.reset", reason="stalled", provider="openai", model="openai/gpt")
    text = [frame(2, "text.delta", text="wro"), reset, frame(4, "text.delta", text="right")]
    gateway = Gateway(stream(STARTED, *text, end(5, output={"text": "right"})))
    with gateway, (tmp_path / "out").open("wb") as out:
        command = [sys.executable, "-m", "ringback", "watch", "job_1", "--url", gateway.url]
        subprocess.run(command, stdout=out, stderr=subprocess.PIPE, check=True, timeout=30, cwd=ROOT)
    assert (tmp_path / "out").read_text() == "right\n"


def test_a_failed_job_is_told_and_fails_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    error = {"code": "provider_overloaded", "message": "The provider is overloaded.", "retryable": True}
    gateway = Gateway(stream(frame(1, "text.delta", text="Dear"), end(2, "failed", error=error)))
    code, out, err = run(capsys, gateway, "watch", "job_1")
    assert (code, out) == (1, "Dear\n")
    assert err == "ringback: job_1 failed: The provider is overloaded. (provider_overloaded)\n"
    assert run(capsys, Gateway(stream(end(1, "cancelled"))), "watch", "job_1") == (1, "", "ringback: job_1 cancelled\n")


def test_events_that_are_gone_leave_the_job_itself(capsys: pytest.CaptureFixture[str]) -> None:
    gone = document(410, {"detail": "gone", "code": "events_gone", "status": 410})
    pauses: list[float] = []
    with Gateway(gone, document(200, job("running")), document(200, job("succeeded", {"text": "late"}))) as gateway:
        assert follow.follow(Remote(gateway.url), "job_1", sleep=pauses.append) == 0
    assert capsys.readouterr().out == "late\n"
    assert pauses == [1.0]
    assert [path for _, path, _, _ in gateway.requests] == ["/v1/jobs/job_1/events", "/v1/jobs/job_1", "/v1/jobs/job_1"]


def test_an_unknown_job_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    gateway = Gateway(document(404, {"detail": "There is no such job.", "code": "job_not_found", "status": 404}))
    assert run(capsys, gateway, "watch", "job/../x") == (1, "", "ringback: There is no such job.\n")
    assert len(gateway.requests) == 1


def test_submit_sends_what_it_is_given_and_prints_the_id(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGBACK_API_KEY", "rb_key")
    gateway = Gateway(document(202, job("queued")))
    argv = ["submit", "soften", "--input", '{"tone": "warm"}', "--text", "왜 안 와요?!", "--model", "fake/echo"]
    argv += ["--callback", "http://127.0.0.1:9/hook", "--metadata", '{"ticket": 4711}']
    assert run(capsys, gateway, *argv) == (0, "job_1\n", "")
    method, path, headers, body = gateway.requests[0]
    assert (method, path) == ("POST", "/v1/jobs")
    assert headers["authorization"] == "Bearer rb_key"
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {
        "type": "soften",
        "input": {"tone": "warm", "text": "왜 안 와요?!"},
        "model": "fake/echo",
        "callback": {"url": "http://127.0.0.1:9/hook"},
        "metadata": {"ticket": 4711},
    }


def test_submit_can_follow_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    gateway = Gateway(document(202, job("queued")), stream(STARTED, end(2, output={"text": "done"})))
    code, out, err = run(capsys, gateway, "submit", "soften", "--text", "x", "--watch")
    assert (code, out) == (0, "done\n")
    assert err.splitlines()[0] == "ringback: job_1"


def test_every_field_of_a_refusal_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    fields = [{"pointer": "#/input/text", "detail": "is empty"}, {"pointer": "#/model", "detail": "is unknown"}]
    gateway = Gateway(document(422, {"title": "t", "detail": "Not valid.", "status": 422, "errors": fields}))
    code, out, err = run(capsys, gateway, "submit", "soften", "--text", "")
    assert (code, out) == (1, "")
    assert err == "ringback: Not valid.\n  #/input/text: is empty\n  #/model: is unknown\n"


@pytest.mark.parametrize("body", ["<html>", "[]", '{"id": 1}'])
def test_what_is_not_ringback_is_told(capsys: pytest.CaptureFixture[str], body: str) -> None:
    gateway = Gateway(document(200, body))
    code, out, err = run(capsys, gateway, "submit", "soften", "--text", "x")
    assert (code, out, err) == (1, "", f"ringback: What answers at {gateway.url} is not Ringback\n")
    gateway = Gateway(document(502, "<html>"))
    code, _, err = run(capsys, gateway, "submit", "soften", "--text", "x")
    assert (code, err) == (1, f"ringback: {gateway.url} answered 502 Bad Gateway\n")


def test_no_gateway_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Gateway() as gone:
        url = gone.url
    monkeypatch.setenv("RINGBACK_URL", url)
    assert cli.main(["submit", "soften", "--text", "x"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"ringback: No gateway answers at {url}; start one with `ringback up`, or name another with --url\n"


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://", "http://x:99999", "http://[::1"])
def test_a_url_that_is_none_is_told(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert cli.main(["watch", "job_1", "--url", url]) == 1
    assert capsys.readouterr().err.startswith(f"ringback: {url!r} is not the URL of a gateway")


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"},
    ],
    ids=["C", "C without Python's own remedies", "ascii"],
)
def test_korean_goes_in_and_out_whatever_the_locale(env: dict[str, str]) -> None:
    delta = frame(1, "text.delta", text="조금 기다려 주세요 🙏")
    with Gateway(document(202, job("queued")), stream(delta, end(2))) as gateway:
        command = [sys.executable, "-m", "ringback", "submit", "soften", "--text", "왜 안 와요?!", "--watch"]
        done = subprocess.run(
            [*command, "--url", gateway.url],
            env=_environ() | env,
            capture_output=True,
            timeout=30,
            check=True,
            cwd=ROOT,
        )
    assert done.stdout.decode("utf-8") == "조금 기다려 주세요 🙏\n"
    assert json.loads(gateway.requests[0][3])["input"] == {"text": "왜 안 와요?!"}


def test_stdin_can_be_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    with Gateway(document(202, job("queued"))) as gateway:
        command = [sys.executable, "-m", "ringback", "submit", "soften", "--text", "-", "--url", gateway.url]
        done = subprocess.run(command, input="긴 글\n".encode(), capture_output=True, timeout=30, check=True, cwd=ROOT)
        assert done.stdout == b"job_1\n"
        assert json.loads(gateway.requests[0][3])["input"] == {"text": "긴 글\n"}
        done = subprocess.run(command, input=b"\xff\xfe", capture_output=True, timeout=30, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (1, b"ringback: stdin is not valid UTF-8 at byte 0\n")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Commands that are started can be interrupted, also where this run is a job in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_it_at_once_and_without_a_trace() -> None:
    async def idle(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(STARTED + frame(2, "text.delta", text="begun"))
        await gateway.wait_until(lambda: gateway.closing, timeout=60)
        return response

    with Gateway(idle) as gateway:
        command = [sys.executable, "-m", "ringback", "watch", "job_1", "--url", gateway.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as watch:
            assert watch.stdout
            assert watch.stdout.read(5) == b"begun"  # text comes as it is said, not at the end
            watch.send_signal(signal.SIGINT)
            _, err = watch.communicate(timeout=30)
    assert watch.returncode == 130
    assert err == b"ringback: fake/echo, attempt 1\n"


def test_a_reader_that_leaves_is_no_drama() -> None:
    deltas = [frame(number, "text.delta", text="x" * 1000) for number in range(1, 200)]
    with Gateway(stream(*deltas, end(200))) as gateway:
        command = [sys.executable, "-m", "ringback", "watch", "job_1", "--url", gateway.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as watch:
            assert watch.stdout
            watch.stdout.close()
            assert watch.stderr
            assert watch.stderr.read() == b""
            wait_until(lambda: watch.poll() is not None)
    assert watch.returncode == 1


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
