"""A job's events as the chunks of a streamed completion, which can take nothing back.

An answer that starts again (`stream.reset`) is held back until it has covered what was sent; it goes on from there if
it agrees with that to the character, and not at all if it does not.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from gateway.openai.completion import CompletionUsage, Finish, Outcome, Output, called
from gateway.openai.problems import ErrorDetail, Fault

TEXT, RESET = "text.delta", "stream.reset"
COMMENT = ""
"""The name of what is no event: it only keeps the stream alive."""
KEEP_ALIVE = b": keep-alive\n\n"
_DONE = b"data: [DONE]\n\n"


class _Text(msgspec.Struct, frozen=True):
    text: str


_text = msgspec.json.Decoder(_Text)
_encode = msgspec.json.Encoder().encode


def events(frames: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and data of each of the hub's frames."""
    for frame in frames.split(b"\n\n"):
        if frame.startswith(b"id:"):
            _, name, data = frame.split(b"\n", 2)
            yield name.removeprefix(b"event: ").decode(), data.removeprefix(b"data: ")
        elif frame:
            yield COMMENT, b""


class Differs(Exception):
    """The answer that started again is not the one that was sent in part."""


class Chunks:
    """Makes the chunks of one completion."""

    def __init__(self, job: Outcome, *, structured: bool, include_usage: bool) -> None:
        """`job`: as it was accepted. `structured`: the answer is JSON, which is checked, and sent, as a whole."""
        self.model: str | None = None
        """Who answers, as far as that is known; without it no text can be sent."""
        self._job = job
        self._structured = structured
        self._include_usage = include_usage
        self._begun = False
        self._sent: list[str] = []
        self._expected = ""
        """What was sent of an answer that has started again; empty once that has caught up."""
        self._matched = 0
        """Characters of `_expected` that it has covered."""

    def needs_model(self, name: str) -> bool:
        """Whether `model` must be known for that event."""
        return name == TEXT and self.model is None and not self._structured

    def text(self, data: bytes) -> bytes:
        """The chunks for more text, if there is anything to say. Raises `Differs`."""
        text = self._new(_text.decode(data).text)
        if self._structured or not text:
            return b""
        self._sent.append(text)
        return self._head() + self._chunk({"content": text})

    def _new(self, text: str) -> str:
        """Of the text, what was not sent yet. Raises `Differs`."""
        if not self._expected:
            return text
        overlap = self._expected[self._matched : self._matched + len(text)]
        if not text.startswith(overlap):
            raise Differs
        self._matched += len(overlap)
        if self._matched == len(self._expected):
            self._expected = ""
        return text[len(overlap) :]

    def pass_on(self, frame: bytes, write: Callable[[bytes], bool]) -> bool:
        """Writes the chunk of a frame that needs no thought; False: nothing was done."""
        if not self._begun or self._expected or self._structured or self.model is None:
            return False
        _, name, data = frame.split(b"\n", 2)
        if name != b"event: text.delta":
            return False
        text = _text.decode(data[len(b"data: ") : -2]).text
        if not write(self._chunk({"content": text})):
            return False
        self._sent.append(text)
        return True

    def reset(self) -> None:
        """The answer starts again, by whomever."""
        self.model = None
        self._sent = ["".join(self._sent)]
        self._expected, self._matched = self._sent[0], 0

    def end(self, ended: Outcome) -> bytes | None:
        """The last chunks of an answer that has ended as it should; `None`: it has not. Raises `Differs`."""
        finish = ended.finish
        if finish is None and self._filtered_midway(ended):
            finish = "content_filter"
        if finish is None:
            return None
        self.model = ended.model
        return self._head() + self._rest(ended, finish) + self._tail(ended, finish)

    def _filtered_midway(self, ended: Outcome) -> bool:
        """Whether the provider's filter ended an answer of which a part was sent; OpenAI's streams say so likewise."""
        filtered = ended.error is not None and ended.error.code == "content_filtered"
        return filtered and any(self._sent) and not self._expected

    def _rest(self, ended: Outcome, finish: Finish) -> bytes:
        """What the whole answer has beyond what was sent. Raises `Differs`."""
        sent = "".join(self._sent)
        if ended.output is None:
            # Cut off, with nothing to show as a whole: what was sent must then be the last that was said.
            if self._expected:
                raise Differs
            return b""
        output = ended.output
        if not output.content.startswith(sent):
            raise Differs
        rest = output.content[len(sent) :]
        chunks = self._chunk({"content": rest}) if rest else b""
        return chunks + self._calls(output)

    def _calls(self, output: Output) -> bytes:
        calls = called(output.tool_calls)
        if not calls:
            return b""
        indexed = [{"index": index, **msgspec.to_builtins(call)} for index, call in enumerate(calls)]
        return self._chunk({"tool_calls": indexed})

    def _tail(self, ended: Outcome, finish: Finish) -> bytes:
        tail = self._chunk({}, finish)
        if self._include_usage:
            tail += self._data({"choices": [], "usage": CompletionUsage.of(ended.usage)})
        return tail + _DONE

    def _head(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def _chunk(self, delta: dict[str, Any], finish: Finish | None = None) -> bytes:
        return self._data({"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]})

    def _data(self, fields: dict[str, Any]) -> bytes:
        document = {
            "id": self._job.completion_id,
            "object": "chat.completion.chunk",
            "created": self._job.created,
            "model": self.model,
        }
        if self._include_usage:
            document["usage"] = None
        return b"data: " + _encode(document | fields) + b"\n\n"


def failure(fault: Fault, job_id: str) -> bytes:
    """The event that ends a stream in an error: the answer so far is not whole, and nothing will follow."""
    message = f"{fault.detail.message} The answer so far is not whole; see GET /v1/jobs/{job_id}."
    detail = msgspec.structs.replace(fault.detail, message=message)
    return b"data: " + _encode({"error": detail, "ringback_job_id": job_id}) + b"\n\n"


def differs() -> Fault:
    """The error for `Differs`."""
    return Fault(
        status=502,
        detail=ErrorDetail(
            message="The provider broke off, and the answer that was started again differs from what was sent.",
            type="server_error",
            param=None,
            code="stream_reset",
        ),
    )
