"""What a worker and its engine processes say to each other: MessagePack behind a length of 4 bytes, big-endian."""

import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import msgspec

Frame = dict[str, Any]
"""To the engine: a request, in one or more frames. From it: any number of results, then one with `end` or `error`."""
_LENGTH = struct.Struct(">I")
HEAD = _LENGTH.size
LONGEST = 64 * 1024 * 1024


def packed(frame: Frame) -> bytes:
    """A frame as it is sent."""
    body = msgspec.msgpack.encode(frame)
    return _LENGTH.pack(len(body)) + body


def length(head: bytes) -> int:
    """How many bytes follow. Raises `ValueError` if nobody would send so many."""
    size: int = _LENGTH.unpack(head)[0]
    if size > LONGEST:
        raise ValueError(f"a frame of {size} bytes")
    return size


def unpacked(body: bytes) -> Frame:
    """A frame from its bytes without the length."""
    return msgspec.msgpack.decode(body, type=dict[str, Any])


def serve(load: Callable[[], Callable[[Iterator[Frame]], Iterator[Frame]]]) -> None:
    """The main loop of an engine process: answers requests from stdin on stdout until stdin closes.

    `load` loads the engine and returns what answers a request: from its frames, as they come, to results. An
    `ImportError` of it is told, and anything else that goes wrong ends the process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the worker, which still needs this process
    source = sys.stdin.buffer
    # Whatever the engine prints must not get between the frames.
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    try:
        answer = load()
    except ImportError as error:
        sink.write(packed({"missing": error.name or str(error)}))
        return
    sink.write(packed({"ready": True}))
    while (first := _read(source)) is not None:
        for result in answer(_request(first, source)):
            sink.write(packed(result))
        sink.write(packed({"end": True}))


def _request(first: Frame, source: BinaryIO) -> Iterator[Frame]:
    """The frames of a request; the last one has `last`."""
    frame: Frame | None = first
    while frame is not None:
        yield frame
        if frame.get("last"):
            return
        frame = _read(source)
    raise SystemExit(0)


def _read(source: BinaryIO) -> Frame | None:
    head = source.read(HEAD)
    if len(head) < HEAD:
        return None
    return unpacked(source.read(length(head)))
