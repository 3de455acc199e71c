"""Chunks of a stream, whatever the job goes through: what is sent is always the beginning of what it ended with."""

import itertools
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.openai import chunks
from gateway.openai.chunks import Chunks, Differs
from gateway.openai.completion import Outcome, Output
from jobs import event
from jobs.event import LoggedEvent
from jobs.job import JobError
from jobs.model import Usage

texts = st.text("ab\n", max_size=6)
attempts = st.lists(st.lists(texts.filter(bool), max_size=4), min_size=1, max_size=4)


def outcome(text: str | None, *, code: str | None = None) -> Outcome:
    error = JobError(code=code, message="x") if code else None
    return Outcome(
        id="job_x",
        status="failed" if code else "succeeded",
        created_at=datetime(2026, 11, 1, tzinfo=UTC),
        model="fake/b",
        output=None if text is None else Output(text=text),
        error=error,
        usage=Usage(),
    )


def made(*, structured: bool = False, include_usage: bool = False) -> Chunks:
    one = Chunks(outcome(None), structured=structured, include_usage=include_usage)
    one.model = "fake/a"
    return one


def documents(sent: bytes) -> list[dict[str, Any]]:
    """The chunks but for `[DONE]`."""
    lines = [frame.removeprefix(b"data: ") for frame in sent.split(b"\n\n") if frame]
    return [msgspec.json.decode(line) for line in lines if line != b"[DONE]"]


def said(sent: bytes) -> str:
    return "".join(d["choices"][0]["delta"].get("content") or "" for d in documents(sent) if d["choices"])


def played(one: Chunks, through: list[list[str]], *, direct: bool) -> bytes:
    """What is sent for attempts, each in pieces; `direct`: as the hub pushes them."""
    sent: list[bytes] = []

    def write(chunk: bytes) -> bool:
        sent.append(chunk)
        return True

    for number, pieces in enumerate(through):
        if number:
            one.reset()
            one.model = "fake/b"
        for piece in pieces:
            logged = LoggedEvent(1, "text.delta", event.text_delta(piece).data)
            if not (direct and one.pass_on(logged.frame(), write)):
                sent.append(one.text(logged.data))
    return b"".join(sent)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(through=attempts, direct=st.booleans(), ends=st.sampled_from(["stop", "length", "broken", "filtered"]))
def test_no_gap_no_repeat_no_lie(
    through: list[list[str]], direct: bool, ends: Literal["stop", "length", "broken", "filtered"]
) -> None:
    answers = ["".join(pieces) for pieces in through]
    codes = {"stop": None, "length": "output_truncated", "broken": "stream_interrupted", "filtered": "content_filtered"}
    one = made()
    agree = all(b.startswith(a) or a.startswith(b) for a, b in itertools.combinations(answers, 2))
    covered = all(answers[-1].startswith(answer) for answer in answers)
    try:
        sent = played(one, through, direct=direct)
        tail = one.end(outcome(answers[-1] if ends in ("stop", "length") else None, code=codes[ends]))
    except Differs:
        assert not (agree and covered)
        return
    if tail is None:
        assert ends in ("broken", "filtered")
        return
    assert tail.endswith(b"data: [DONE]\n\n")
    finish = [d["choices"][0]["finish_reason"] for d in documents(sent + tail)]
    assert [reason for reason in finish if reason] == [{"filtered": "content_filter"}.get(ends, ends)]
    if ends in ("stop", "length"):
        assert said(sent + tail) == answers[-1]
        assert covered


def test_structured_answers_are_sent_as_a_whole() -> None:
    one = made(structured=True)
    assert played(one, [['{"a":', ' "x"}'], ['{"a": ', "1}"]], direct=True) == b""
    ended = msgspec.structs.replace(outcome(None), output=Output(data=msgspec.Raw(b'{"a":1}')))
    tail = one.end(ended)
    assert tail is not None
    assert said(tail) == '{"a":1}'


def test_frames_of_all_kinds_are_told_apart() -> None:
    logged = LoggedEvent(7, "text.delta", event.text_delta("a\n\nb").data)
    found = list(chunks.events(chunks.KEEP_ALIVE + logged.frame() + chunks.KEEP_ALIVE))
    assert found == [(chunks.COMMENT, b""), ("text.delta", logged.data), (chunks.COMMENT, b"")]


def test_what_could_not_be_written_was_not_sent() -> None:
    one = made()
    played(one, [["a"]], direct=False)
    frame = LoggedEvent(2, "text.delta", event.text_delta("b").data).frame()
    assert not one.pass_on(frame, lambda _: False)
    tail = one.end(outcome("ab"))
    assert tail is not None
    assert said(tail) == "b"
