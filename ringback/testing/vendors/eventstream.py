"""AWS event-stream frames (`application/vnd.amazon.eventstream`), as Amazon services stream them.

A frame is: total length, headers length, CRC32 of those eight bytes, headers, payload, CRC32 of all before; integers
are big-endian. Source: smithy.io, "Amazon Event Stream Specification".
"""

import struct
from zlib import crc32

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One frame with these string headers."""
    encoded = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", _STRING, len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(encoded) + len(payload), len(encoded))
    message = prelude + struct.pack(">I", crc32(prelude)) + encoded + payload
    return message + struct.pack(">I", crc32(message))


def event(kind: str, payload: bytes) -> bytes:
    """An event such as `contentBlockDelta` or `chunk`; `payload` is its JSON."""
    return frame({":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception(kind: str, payload: bytes) -> bytes:
    """An error in mid-stream, such as `throttlingException`; `payload` is its JSON, `{"message": …}`."""
    return frame({":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}, payload)
