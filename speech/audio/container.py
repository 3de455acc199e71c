"""Whether a recording can be taken, by its size and by what is in it."""

from typing import get_args

from jobs.audio import Container, sniffed
from speech import errors

CONTAINERS: tuple[Container, ...] = get_args(Container)


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
