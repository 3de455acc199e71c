"""The events of a job's log, as appended by workers and served over SSE."""

from typing import Any

import msgspec

from jobs.job import TERMINAL_EVENTS

TERMINAL_NAMES = frozenset(str(e) for e in TERMINAL_EVENTS)


class Event(msgspec.Struct, frozen=True):
    """An event not yet in the log: its SSE name and its data as compact JSON (one line)."""

    name: str
    data: bytes


class LoggedEvent(msgspec.Struct, frozen=True):
    """An event in the log. Ids count 1, 2, 3, … within a job without gaps, so a gap is a loss."""

    id: int
    name: str
    data: bytes

    @property
    def terminal(self) -> bool:
        """Whether this is the job's last event."""
        return self.name in TERMINAL_NAMES

    def frame(self) -> bytes:
        """The event as one SSE frame."""
        return b"id: %d\nevent: %b\ndata: %b\n\n" % (self.id, self.name.encode(), self.data)


def make(name: str, **data: Any) -> Event:
    """An event with these data fields."""
    return Event(name, msgspec.json.encode(data))


def text_delta(text: str) -> Event:
    """More of the answer."""
    return make("text.delta", text=text)


def stream_reset(reason: str, target: str, **more: int) -> Event:
    """The text so far is void: the answer starts again on `target` (`provider/model`).

    Of a reply in sentences only those from `from_index` on are, if that is among `more`.
    """
    return make("stream.reset", reason=reason, provider=target.partition("/")[0], model=target, **more)
