"""WebM as browsers record it: its Opus packets, put into an Ogg stream, which is what can be decoded.

Sources: RFC 8794 (EBML), RFC 9559 (Matroska), RFC 3533 (Ogg), RFC 7845 (Opus in Ogg), RFC 6716 (Opus packets).
"""

import struct
from collections.abc import Iterator

from speech import errors

_WITHIN = frozenset({0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE, 0xA0})
"""Segment, Cluster, Tracks, TrackEntry, BlockGroup: elements that are looked into."""
_TRACK_NUMBER, _CODEC, _CODEC_PRIVATE = 0xD7, 0x86, 0x63A2
_SIMPLE_BLOCK, _BLOCK = 0xA3, 0xA1
_LACING = 0x06
_PAGE_PACKETS = 25
_FRAME = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4
"""Samples at 48 kHz of a frame, by the first five bits of its packet."""


def as_ogg(data: bytes, *, provider: str) -> bytes:
    """The same sound as an Ogg file. Raises `errors.BadAudio`; `errors.Unsupported` if it is not Opus.

    A file that ends in the midst is taken as far as it goes.
    """
    codec, header, packets = _read(data, provider)
    if codec and codec != b"A_OPUS":
        raise errors.Unsupported(
            f"audio: webm with {codec.decode('ascii', 'replace')[:20]} is not taken; record it with Opus",
            provider=provider,
        )
    if not header.startswith(b"OpusHead") or not packets:
        raise errors.BadAudio("audio: there is no sound in this webm, or it is damaged", provider=provider)
    pages = [_page(0, 2, 0, [header]), _page(1, 0, 0, [b"OpusTags" + struct.pack("<II", 0, 0)])]
    position = 0
    for number, start in enumerate(range(0, len(packets), _PAGE_PACKETS), start=2):
        some = packets[start : start + _PAGE_PACKETS]
        position += sum(map(_samples, some))
        last = start + _PAGE_PACKETS >= len(packets)
        pages.append(_page(number, 4 if last else 0, position, some))
    return b"".join(pages)


def _read(data: bytes, provider: str) -> tuple[bytes, bytes, list[bytes]]:
    """Codec and header of the first audio track, and its packets."""
    codec = header = number = b""
    packets: list[bytes] = []
    for element, content in _elements(data):
        match element:
            case 0xD7 if not header:
                number = content[-1:]
            case 0x86 if not header:
                codec = content
            case 0x63A2 if not header and codec.startswith(b"A_"):
                header = content
            case 0xA3 | 0xA1 if header and len(content) > 4 and content[0] & 0x7F == number[0]:
                if content[3] & _LACING:
                    raise errors.Unsupported("audio: webm with laced blocks is not taken; send ogg", provider=provider)
                packets.append(content[4:])
    return codec, header, packets


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """All elements in their order. A complete one is skipped by its length; those in `_WITHIN` are stepped into,
    whose length a live recorder does not know."""
    at = 0
    while at < len(data):
        element, at, _ = _number(data, at, keep_marker=True)
        size, at, unknown = _number(data, at)
        if element in _WITHIN or unknown:
            continue
        if at + size > len(data):
            return
        yield element, data[at : at + size]
        at += size


def _number(data: bytes, at: int, *, keep_marker: bool = False) -> tuple[int, int, bool]:
    """A number of variable length, where it ends, and whether it stands for "unknown"."""
    first = data[at] if at < len(data) else 0
    length = 9 - first.bit_length()
    if length > 8:
        return 0, len(data), False
    value = int.from_bytes(data[at : at + length], "big")
    mask = (1 << 7 * length) - 1
    return (value if keep_marker else value & mask), at + length, value & mask == mask


def _samples(packet: bytes) -> int:
    if not packet:
        return 0
    frames = (1, 2, 2, packet[1] & 0x3F if len(packet) > 1 else 0)[packet[0] & 3]
    return _FRAME[packet[0] >> 3] * frames


def _page(number: int, flags: int, position: int, packets: list[bytes]) -> bytes:
    """A page of complete packets; there may be 255 pieces of 255 bytes in it, which 25 packets of speech never are."""
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    head = b"OggS" + struct.pack("<BBqIII", 0, flags, position, 1, number, 0) + bytes([len(lacing)]) + lacing
    page = head + b"".join(packets)
    return page[:22] + struct.pack("<I", _checksum(page)) + page[26:]


def _table() -> tuple[int, ...]:
    entries = []
    for entry in range(256):
        value = entry << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        entries.append(value)
    return tuple(entries)


_TABLE = _table()


def _checksum(page: bytes) -> int:
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _TABLE[value >> 24 ^ byte]
    return value
