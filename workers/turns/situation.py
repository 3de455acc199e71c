"""What a turn's prompt is told of its session: persona, attributes, what time it is; and which language is spoken."""

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from jobs.session import SessionSpec
from providers.offline.language import detect
from speech.service import Transcript

TIME_ZONE = "time_zone"
"""The attribute that says by whose clock it is late, such as `Asia/Seoul`."""
LATIN_WORDS = 4
"""So many of them, and nothing else, are a sentence in a language of that script."""
_LATIN_WORD = re.compile(r"\b[A-Za-z]{2,}\b")
_HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_OWN_SCRIPTS = {
    "ko": re.compile(f"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3{_HAN}]"),
    **dict.fromkeys(("ja", "zh", "cmn", "yue"), re.compile(f"[{_HAN}]")),
}


def language(value: dict[str, Any], session: SessionSpec | None, heard: Transcript | None, said: str) -> str:
    """The tag of the language to reply in: as asked for, the session's, the one that was heard, or by the script."""
    given: str | None = value.get("language") or (session.language if session else None)
    return given or (heard.language if heard else "") or detect(said)


def written_in(text: str, told: str) -> str:
    """The tag of the language that a sentence is spoken in: the one of the reply, unless its script is another's.

    A few Latin words are names; Chinese characters may be Japanese, or Korean.
    """
    usual = told.partition("-")[0].lower()
    seen = detect(text)
    if seen == "en":
        foreign = usual in _OWN_SCRIPTS and not _OWN_SCRIPTS[usual].search(text)
        return seen if foreign and len(_LATIN_WORD.findall(text)) >= LATIN_WORDS else told
    same = usual == seen or (seen == "zh" and usual in _OWN_SCRIPTS)
    return told if same else seen


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
