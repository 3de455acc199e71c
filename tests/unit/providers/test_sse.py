"""The reader of server-sent events: whatever the boundaries, the same events."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import sse
from providers.sse import EventReader, EventTooLong

STREAM = (
    ": 주석\r\n\r\n"
    "event: message\ndata: 첫째 🙂\nid: 1\n\n"
    "data:둘째\r\n\r\n"
    "data: a\ndata:  b\ndata\ndata: c\n\n"
    "retry: 10\n\n"
    "event: ping\ndata: {]\n\n"
    "data:\n\ndata\n\n"
    "data: {}\r\rdata: lone CR\r\r"
    "data:[DONE]\n\n"
).encode()
EVENTS = ["첫째 🙂", "둘째", "a\n b\n\nc", "{}", "lone CR", "[DONE]"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
def test_boundaries_do_not_matter(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    reader = EventReader()

    events = [event for a, b in pairwise(edges) for event in reader.feed(STREAM[a:b])]

    assert [event.decode() for event in events] == EVENTS
    assert reader.end() == []


def test_byte_by_byte() -> None:
    reader = EventReader()

    events = [event.decode() for n in range(len(STREAM)) for event in reader.feed(STREAM[n : n + 1])]

    assert events == EVENTS


def test_an_event_is_out_as_soon_as_it_is_complete() -> None:
    assert EventReader().feed(b"data: now\n\n") == [b"now"]
    assert EventReader().feed(b"data: now\r\n\r\n") == [b"now"]


def test_the_end_completes_the_last_event() -> None:
    reader = EventReader()
    assert reader.feed(b"data: [DONE]") == []
    assert reader.end() == [b"[DONE]"]


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 10)
    reader = EventReader()
    reader.feed(b"data: 7890")
    with pytest.raises(EventTooLong):
        reader.feed(b"1")
