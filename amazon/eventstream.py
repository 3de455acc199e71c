"""Event streams of Amazon's services: frames as they come, as events; exceptions among them as failures.

botocore reads them too, but takes three times as long for each.
Source of the format: smithy.io/2.0/aws/amazon-eventstream.html
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Any
from zlib import crc32

import msgspec

from amazon.failures import Failure, refusal

_BROKEN = 500
"""What no code tells: a stream that breaks off is the service's fault, and may be tried again."""
_PRELUDE = struct.Struct(">III")
"""Bytes of the frame, bytes of its headers, checksum of both."""
_CHECKSUM = 4
_LONGEST = 24 * 1024 * 1024
"""Bytes of a frame at most."""
_STRING = 7
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type; bytes (6) and strings (7) begin with their length."""
_content = msgspec.json.Decoder(dict[str, Any])


class EventReader:
    """Reads the events of one stream."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """`texts` are not repeated by failures."""
        self._data = b""
        self._texts = tuple(texts)

    @property
    def between_frames(self) -> bool:
        """Whether all that came are whole frames."""
        return not self._data

    def read(self, data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        """The type and the content of each event in some more bytes. Raises `Failure`."""
        self._data += data
        try:
            while (frame := self._frame()) is not None:
                headers, payload = frame
                if headers.get(":message-type") != "event":
                    raise self._failure(headers, payload)
                yield headers.get(":event-type", ""), _content.decode(payload)
        except (struct.error, LookupError, UnicodeDecodeError, msgspec.DecodeError):
            raise Failure("malformed", "a frame of the stream cannot be read") from None

    def _frame(self) -> tuple[dict[str, str], bytes] | None:
        """The headers and the content of the first frame, which is taken away; `None` if it is not all there yet."""
        data = self._data
        if len(data) < _PRELUDE.size:
            return None
        size, head, checksum = _PRELUDE.unpack_from(data)
        start, end = _PRELUDE.size + head, size - _CHECKSUM
        if crc32(data[:8]) != checksum or not start <= end <= _LONGEST:
            raise LookupError("a frame that is none")
        if len(data) < size:
            return None
        if crc32(data[:end]) != int.from_bytes(data[end:size]):
            raise LookupError("a frame that was changed on its way")
        self._data = data[size:]
        return _headers(data[_PRELUDE.size : start]), data[start:end]

    def _failure(self, headers: dict[str, str], payload: bytes) -> Failure:
        said: dict[str, Any] = _content.decode(payload) if payload else {}
        code = headers.get(":exception-type") or headers.get(":error-code") or ""
        message = said.get("message") or said.get("Message") or headers.get(":error-message") or ""
        return refusal(code, str(message), status=_BROKEN, texts=self._texts)


def _headers(data: bytes) -> dict[str, str]:
    """Those whose values are strings; others have no meaning for us."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        name, kind, at = data[at + 1 : name_end], data[name_end], name_end + 1
        if (size := _SIZES.get(kind)) is None:
            (size,) = struct.unpack_from(">H", data, at)
            at += 2
        if kind == _STRING:
            found[name.decode()] = data[at : at + size].decode()
        at += size
    return found
