"""What a turn's prompt is told of its session: persona, language, attributes, and what time it is."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from jobs.session import SessionSpec
from providers.offline.language import detect
from speech.service import Transcript

TIME_ZONE = "time_zone"
"""The attribute that says by whose clock it is late, such as `Asia/Seoul`."""


def language(value: dict[str, Any], session: SessionSpec | None, heard: Transcript | None, said: str) -> str:
    """The tag of the language to reply in: as asked for, the session's, the one that was heard, or by the script."""
    given: str | None = value.get("language") or (session.language if session else None)
    return given or (heard.language if heard else "") or detect(said)


def fields(value: dict[str, Any], session: SessionSpec | None) -> dict[str, str]:
    """The session's fields for the prompt."""
    attributes: dict[str, Any] = msgspec.json.decode(session.context) if session else {}
    return {
        "instructions": value.get("instructions") or (session.instructions if session else None) or "",
        "language": value.get("language") or (session.language if session else None) or "",
        # As JSON, so that no value can pass for a line of ours.
        "context": "\n".join(f"{name}: {msgspec.json.encode(item).decode()}" for name, item in attributes.items()),
        "now": _now(attributes.get(TIME_ZONE)),
    }


def _now(zone: Any) -> str:
    now = datetime.now(UTC)
    if isinstance(zone, str):
        try:
            return f"{now.astimezone(ZoneInfo(zone)):%A, %Y-%m-%d %H:%M} ({zone})"
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    return f"{now:%A, %Y-%m-%d %H:%M} UTC"
