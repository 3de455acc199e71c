"""WebM as a browser's recorder writes it: Opus packets in clusters whose length is not known."""

import struct
from collections.abc import Iterator

UNKNOWN = b"\x01" + b"\xff" * 7


def element(name: int, content: bytes, *, unknown: bool = False) -> bytes:
    """An EBML element."""
    head = name.to_bytes((name.bit_length() + 7) // 8, "big")
    return head + (UNKNOWN if unknown else (1 << 56 | len(content)).to_bytes(8, "big")) + content


def packets(ogg: bytes) -> Iterator[bytes]:
    """The packets of an Ogg stream."""
    at, held = 0, b""
    while at < len(ogg):
        count = ogg[at + 26]
        lacing = ogg[at + 27 : at + 27 + count]
        at += 27 + count
        for size in lacing:
            held += ogg[at : at + size]
            at += size
            if size < 255:
                yield held
                held = b""


def recorded(ogg: bytes, *, codec: bytes = b"A_OPUS", per_cluster: int = 10) -> bytes:
    """The sound of an Ogg Opus file as WebM."""
    header, _, *sound = packets(ogg)
    track = element(0xD7, b"\1") + element(0x86, codec) + element(0x63A2, header)
    clusters = b""
    for start in range(0, len(sound), per_cluster):
        blocks = b"".join(
            element(0xA3, b"\x81" + struct.pack(">hB", n * 20, 0x80) + packet)
            if n % 2
            else element(0xA0, element(0xA1, b"\x81" + struct.pack(">hB", n * 20, 0) + packet))
            for n, packet in enumerate(sound[start : start + per_cluster])
        )
        clusters += element(0x1F43B675, element(0xE7, b"\0") + blocks, unknown=True)
    head = element(0x1A45DFA3, element(0x4282, b"webm"))
    return head + element(0x18538067, element(0x1654AE6B, element(0xAE, track)) + clusters, unknown=True)
