"""The part of CBOR that boto3 and Transcribe say to each other (Smithy RPC v2). Source: RFC 8949."""

import struct
from datetime import UTC, datetime
from typing import Any

_BREAK = object()


def encoded(value: Any) -> bytes:
    """A value of JSON, or a time, as CBOR."""
    match value:
        case bool():
            return b"\xf5" if value else b"\xf4"
        case None:
            return b"\xf6"
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case float():
            return b"\xfb" + struct.pack(">d", value)
        case str():
            return _head(3, len(value.encode())) + value.encode()
        case bytes():
            return _head(2, len(value)) + value
        case datetime():
            return _head(6, 1) + encoded(value.timestamp())
        case list() | tuple():
            return _head(4, len(value)) + b"".join(map(encoded, value))
        case dict():
            return _head(5, len(value)) + b"".join(encoded(key) + encoded(item) for key, item in value.items())
        case _:
            raise TypeError(f"no CBOR for {type(value).__name__}")


def decoded(data: bytes) -> Any:
    """The value. Raises `ValueError` and `IndexError` if it is none."""
    return _value(data, 0)[0]


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    for code, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if argument < 1 << 8 * struct.calcsize(form):
            return bytes([major << 5 | code]) + struct.pack(form, argument)
    raise ValueError(argument)


def _value(data: bytes, at: int) -> tuple[Any, int]:
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        return _simple(data, at, info)
    if info == 31:
        return _indefinite(data, at, major)
    size = 1 << info - 24 if info >= 24 else 0
    argument = int.from_bytes(data[at : at + size], "big") if size else info
    at += size
    match major:
        case 0:
            return argument, at
        case 1:
            return -1 - argument, at
        case 2:
            return data[at : at + argument], at + argument
        case 3:
            return data[at : at + argument].decode(), at + argument
        case 4 | 5:
            items = []
            for _ in range(argument * (major - 3)):
                item, at = _value(data, at)
                items.append(item)
            return (items if major == 4 else dict(zip(items[::2], items[1::2], strict=True))), at
        case _:
            value, at = _value(data, at)
            return (datetime.fromtimestamp(value, UTC) if argument == 1 else value), at


def _simple(data: bytes, at: int, info: int) -> tuple[Any, int]:
    match info:
        case 20 | 21:
            return info == 21, at
        case 22 | 23:
            return None, at
        case 26:
            return struct.unpack(">f", data[at : at + 4])[0], at + 4
        case 27:
            return struct.unpack(">d", data[at : at + 8])[0], at + 8
        case 31:
            return _BREAK, at
        case _:
            raise ValueError(f"simple value {info}")


def _indefinite(data: bytes, at: int, major: int) -> tuple[Any, int]:
    items: list[Any] = []
    while True:
        item, at = _value(data, at)
        if item is _BREAK:
            break
        items.append(item)
    match major:
        case 2:
            return b"".join(items), at
        case 3:
            return "".join(items), at
        case 4:
            return items, at
        case _:
            return dict(zip(items[::2], items[1::2], strict=True)), at
