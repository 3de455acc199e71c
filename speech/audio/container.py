"""Which format audio is in, by its content: what callers and browsers say about it is often wrong."""

from typing import get_args

from speech import errors
from speech.service import Container

CONTAINERS: tuple[Container, ...] = get_args(Container)
_EBML = b"\x1aE\xdf\xa3"


def sniffed(data: bytes) -> Container | None:
    """The format; `None` if it is none of ours."""
    match data[:4], data[4:8], data[8:12]:
        case (b"RIFF" | b"RF64", _, b"WAVE"):
            return "wav"
        case (b"OggS", _, _):
            return "ogg"
        case (b"fLaC", _, _):
            return "flac"
        case (_, b"ftyp", _):
            return "m4a"
        case (head, _, _) if head == _EBML:
            return "webm"
    if data.startswith(b"#!AMR"):
        return "amr"
    if data.startswith(b"ID3") or _is_mpeg_frame(data[:4]):
        return "mp3"
    return None


def _is_mpeg_frame(head: bytes) -> bool:
    """Whether a frame of MPEG audio, layer I to III, begins with these 4 bytes. Source: ISO/IEC 11172-3, 2.4.1.3."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer != 0 and bitrate not in (0, 15) and rate != 3


def checked(data: bytes, accepted: tuple[Container, ...], *, provider: str, max_bytes: int) -> Container:
    """The format of a recording that may be taken.

    Raises `errors.BadAudio` if it is empty or nothing known, `errors.AudioTooLarge`, `errors.Unsupported` if it is
    none of `accepted`.
    """
    if not data:
        raise errors.BadAudio("audio: it is empty; send a recording", provider=provider)
    if len(data) > max_bytes:
        raise errors.AudioTooLarge(
            f"audio: {len(data):,} bytes; at most {max_bytes:,} are accepted: send a compressed format or less of it",
            provider=provider,
        )
    found = sniffed(data)
    if found is None:
        raise errors.BadAudio(f"audio: in no format that is known; send {_either(accepted)}", provider=provider)
    if found not in accepted:
        raise errors.Unsupported(f"audio: {found} is not taken here; send {_either(accepted)}", provider=provider)
    return found


def _either(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
