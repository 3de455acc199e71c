"""Server-sent events, read incrementally: bytes in at any boundaries, the data of whole events out.

Source: WHATWG HTML, "Server-sent events". Only `data` matters here; other fields and comments are skipped.
"""

MAX_EVENT = 16 * 1024 * 1024
"""Bytes of one event; a server that sends more without ending it is not sending events."""


class EventTooLong(Exception):
    """An event passed `MAX_EVENT` bytes without an end."""


class EventReader:
    """Splits a stream into events. Works on bytes, so characters may be torn anywhere between two reads."""

    __slots__ = ("_data", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of each event that `chunk` completes; lines of one event are joined by a newline.

        Raises `EventTooLong`.
        """
        lines = (self._rest + chunk if self._rest else chunk).splitlines(keepends=True)
        # A last line without newline goes on in the next chunk; after a mere CR a LF may follow, which belongs to it.
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        if len(self._rest) > MAX_EVENT:
            raise EventTooLong
        events: list[bytes] = []
        data = self._data
        for raw in lines:
            line = raw.rstrip(b"\r\n")
            if line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                data.append(b"")
            elif not line and data:
                events.append(data[0] if len(data) == 1 else b"\n".join(data))
                data.clear()
        return events

    def end(self) -> list[bytes]:
        """The data of an event that the stream's end cut off before its empty line."""
        return self.feed(b"\n\n")
