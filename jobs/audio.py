"""Which format a recording is in, by its first bytes: what callers and browsers say about it is often wrong."""

from typing import Literal

Container = Literal["wav", "mp3", "ogg", "flac", "webm", "m4a", "amr"]
"""What a recording may come in as."""


def sniffed(head: bytes) -> Container | None:
    """The format of a recording with these first 12 bytes, or more of them; `None` if it is none of ours."""
    match head[:4], head[4:8], head[8:12]:
        case (b"RIFF" | b"RF64", _, b"WAVE"):
            return "wav"
        case (b"OggS", _, _):
            return "ogg"
        case (b"fLaC", _, _):
            return "flac"
        case (_, b"ftyp", _):
            return "m4a"
        case (b"\x1aE\xdf\xa3", _, _):
            return "webm"
    if head.startswith(b"#!AMR"):
        return "amr"
    return "mp3" if head.startswith(b"ID3") or _is_mpeg_frame(head[:4]) else None


def _is_mpeg_frame(head: bytes) -> bool:
    """Whether a frame of MPEG audio, layer I to III, begins with these 4 bytes. Source: ISO/IEC 11172-3, 2.4.1.3."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer != 0 and bitrate not in (0, 15) and rate != 3
