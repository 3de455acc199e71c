"""A job's callback as messages of Slack's Block Kit, within its limits, in Korean or English as the result is."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import msgspec

from jobs.job import JobError
from workers.destinations.passages import escaped, passages, size

SECTION_SIZE = 3_000
"""UTF-16 units in the text of a section."""
BLOCKS = 50
"""In a message."""
MESSAGE_SIZE = 9_000
"""UTF-16 units in the blocks of a message: Slack refuses somewhat above 11,000 with `msg_blocks_too_long`, and does not
say what it counts (slackapi/bolt-js, issues 2509 and 2867)."""
MESSAGES = 10
"""For one result; what is longer is cut, and says so."""
_HEADER_SIZE = 150
_LABEL_SIZE = 100
_FIELD_SIZE = 200
"""A value up to this size is shown as a field; Slack would take 2,000."""
_FIELDS = 10
"""In a section."""
_ALWAYS_LONG = ("text", "summary", "softened")
_HANGUL = re.compile("[가-힣]")

_WORDS = {
    "queued": "대기",
    "running": "진행 중",
    "succeeded": "성공",
    "failed": "실패",
    "cancelled": "취소됨",
    "expired": "만료됨",
    "summary": "요약",
    "softened": "순화한 글",
    "sentiment": "감정",
    "category": "분류",
    "positive": "긍정",
    "neutral": "중립",
    "negative": "부정",
    "delivery": "배송",
    "refund": "환불",
    "payment": "결제",
    "product": "상품",
    "account": "계정",
    "service": "서비스",
    "other": "기타",
}
"""What statuses and the parts of built-in job types' outputs are called in Korean."""
_CUT = {
    True: "너무 길어 여기서 줄였습니다. 전체 결과는 작업 {id}에 있습니다.",
    False: "Too long: cut here. The whole result is in job {id}.",
}

Block = dict[str, Any]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of a job."""

    id: str
    type: str
    status: str
    model: str
    output: Any = None
    error: JobError | None = None


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a callback's body."""

    data: Result


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message; the text stands in for the blocks in notifications."""

    blocks: list[Block]
    text: str


_callback = msgspec.json.Decoder(Callback)


def messages(body: bytes) -> list[Message]:
    """The messages, at least one, that show the callback whose JSON `body` is, in the order to post them."""
    result = _callback.decode(body).data
    korean = bool(_HANGUL.search(msgspec.json.encode((result.output, result.error)).decode()))
    title = f"{result.type} · {_word(result.status, korean)}"
    everything = chain([_header(title)], _error(result), _output(result.output, korean))
    parts = list(islice(_packed(everything), MESSAGES + 1))
    if len(parts) > MESSAGES:
        parts = parts[:MESSAGES]
        parts[-1].append(_section(f"✂️ _{_CUT[korean].format(id=result.id)}_"))
    made = []
    for number, blocks in enumerate(parts, 1):
        place = f" · {number}/{len(parts)}" if len(parts) > 1 else ""
        foot = {"type": "context", "elements": [_text(f"{escaped(result.id)} · {escaped(result.model)}{place}")]}
        made.append(Message(blocks=[*blocks, foot], text=_fallback(title + place, blocks)))
    return made


def _output(output: Any, korean: bool) -> Iterator[Block]:
    """Short values as fields, then each long one in sections under its name."""
    if output is None:
        return
    named = output if isinstance(output, dict) else {"": output}
    short = {name: _plain(value) for name, value in named.items() if len(named) > 1 and _is_short(name, value)}
    fields = [_text(f"{_label(name, korean)}{escaped(_word(value, korean))}") for name, value in short.items()]
    for first in range(0, len(fields), _FIELDS):
        yield {"type": "section", "fields": fields[first : first + _FIELDS]}
    for name, value in named.items():
        if name in short:
            continue
        label = _label(name, korean) if len(named) > 1 else ""
        for passage in passages(_prose(value), SECTION_SIZE - 2 * _LABEL_SIZE):
            yield _section(label + passage)
            label = ""


def _is_short(name: str, value: Any) -> bool:
    scalar = isinstance(value, str | int | float) and name not in _ALWAYS_LONG
    return scalar and 0 < size(_plain(value).strip()) <= _FIELD_SIZE


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _prose(value: Any) -> str:
    """Text as it is, anything else as a block of JSON, whose own backticks cannot end it."""
    if isinstance(value, str):
        return value
    pretty = msgspec.json.format(msgspec.json.encode(value), indent=2).decode().replace("`", "\\u0060")
    return f"```\n{pretty}\n```"


def _error(result: Result) -> Iterator[Block]:
    if (error := result.error) is not None:
        lines = passages(error.message, SECTION_SIZE - 2 * _LABEL_SIZE)
        yield _section(f"⚠️ `{escaped(error.code)}`\n{next(lines, '')}")


def _packed(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """The blocks in as few messages as they fit into, each with room for two more blocks."""
    message: list[Block] = []
    room = MESSAGE_SIZE
    for block in blocks:
        taken = size_of(block)
        if message and (taken > room or len(message) == BLOCKS - 2):
            yield message
            message, room = [], MESSAGE_SIZE
        message.append(block)
        room -= taken
    yield message


def size_of(block: Block) -> int:
    """The UTF-16 units of all texts in a block."""
    texts = [block["text"]] if "text" in block else block.get("fields", []) + block.get("elements", [])
    return sum(len(text["text"].encode("utf-16-le")) // 2 for text in texts)


def _fallback(title: str, blocks: list[Block]) -> str:
    """The title and the first of the texts; far below the 40,000 characters that Slack takes."""
    texts = [block["text"]["text"] for block in blocks if block["type"] == "section" and "text" in block]
    return "\n".join([escaped(title), *texts[:1]])


def _word(word: str, korean: bool) -> str:
    return _WORDS.get(word, word) if korean else word


def _label(name: str, korean: bool) -> str:
    shown = next(passages(_word(name, korean).replace("\n", " "), _LABEL_SIZE), "")
    return f"*{shown if korean else shown[:1].upper() + shown[1:]}*\n" if shown else ""


def _header(title: str) -> Block:
    return {"type": "header", "text": {"type": "plain_text", "text": title[:_HEADER_SIZE], "emoji": False}}


def _section(text: str) -> Block:
    return {"type": "section", "text": _text(text)}


def _text(mrkdwn: str) -> dict[str, Any]:
    # Verbatim: Slack looks for no URLs, users or channels of its own accord.
    return {"type": "mrkdwn", "text": mrkdwn, "verbatim": True}
