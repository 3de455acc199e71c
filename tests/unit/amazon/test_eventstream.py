"""Frames of event streams: as botocore reads them, however they are cut; and those that are none."""

from typing import Any

import msgspec
import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from amazon.eventstream import EventReader
from amazon.failures import Failure
from ringback.testing.vendors import eventstream

EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "안녕하세요 👋"}}),
    ("metadata", {"usage": {"inputTokens": 1}, "p": "x" * 5000}),
]
FRAMES = b"".join(eventstream.event(kind, msgspec.json.encode(content)) for kind, content in EVENTS)


@given(cuts=st.lists(st.integers(0, len(FRAMES)), max_size=8))
def test_events_are_the_same_however_the_bytes_come(cuts: list[int]) -> None:
    reader, at = EventReader(), 0
    found: list[tuple[str, dict[str, Any]]] = []
    for cut in [*sorted(cuts), len(FRAMES)]:
        found += reader.read(FRAMES[at:cut])
        at = max(at, cut)
    assert found == EVENTS


def test_botocore_reads_the_same() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(FRAMES)
    theirs = [(frame.headers[":event-type"], msgspec.json.decode(frame.payload)) for frame in buffer]
    assert theirs == list(EventReader().read(FRAMES))


def test_headers_of_all_types_are_passed_over() -> None:
    typed = {
        *((b"t", b"\x00"), (b"f", b"\x01"), (b"b", b"\x02\x07"), (b"s", b"\x03\x00\x07"), (b"i", b"\x04" + bytes(4))),
        *(
            (b"l", b"\x05" + bytes(8)),
            (b"y", b"\x06\x00\x02ab"),
            (b"m", b"\x08" + bytes(8)),
            (b"u", b"\x09" + bytes(16)),
        ),
    }
    extra = b"".join(bytes([len(name)]) + name + value for name, value in sorted(typed))
    plain = eventstream.event("messageStop", b"{}")
    head, payload = plain[12 : 12 + int.from_bytes(plain[4:8])], b"{}"
    assert list(EventReader().read(framed(extra + head, payload))) == [("messageStop", {})]


def framed(headers: bytes, payload: bytes) -> bytes:
    """A frame with these headers."""
    from zlib import crc32

    prelude = (16 + len(headers) + len(payload)).to_bytes(4) + len(headers).to_bytes(4)
    message = prelude + crc32(prelude).to_bytes(4) + headers + payload
    return message + crc32(message).to_bytes(4)


@given(place=st.integers(0, len(FRAMES) - 1), bit=st.integers(0, 7))
def test_a_single_wrong_bit_is_noticed(place: int, bit: int) -> None:
    damaged = bytearray(FRAMES)
    damaged[place] ^= 1 << bit
    reader = EventReader()
    with pytest.raises(Failure, match="cannot be read"):
        list(reader.read(bytes(damaged)))


def test_an_exception_repeats_no_text() -> None:
    frame = eventstream.exception(
        "validationException", '{"message": "»비밀번호는 4711입니다.« is not valid"}'.encode()
    )
    with pytest.raises(Failure) as caught:
        list(EventReader(["비밀번호는 4711입니다."]).read(frame))
    assert caught.value.kind == "validation"
    assert "4711" not in str(caught.value)


@pytest.mark.parametrize("headers", [b"\xff", b"\x01a\x07\xff", b"\x01a\x0f", b"\x01\xff\x07\x00\x01\xff"])
def test_headers_that_are_none(headers: bytes) -> None:
    with pytest.raises(Failure, match="cannot be read"):
        list(EventReader().read(framed(headers, b"{}")))
