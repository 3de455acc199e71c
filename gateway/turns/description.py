"""Turns in the OpenAPI document."""

from typing import Any

from gateway.describing import IDEMPOTENCY_KEY, WAIT, Schema, answer, operation, parameter, ref
from jobs.job import METADATA_LIMIT
from prompts import audio
from prompts.registry import Registry

_BUSY: Schema = {
    "enum": ["wait", "refuse"],
    "default": "wait",
    "description": "In a session where another turn is under way: wait for it, or answer 409 session_busy",
}
_QUERY = (
    ("language", "BCP 47 tag; the session's if not given"),
    ("model", "A route or `provider/model`; the session's if not given"),
    ("format", "Of the audio of the reply: mp3, ogg_vorbis, ogg_opus, pcm or wav"),
    ("sample_rate", "Of the audio of the reply, in Hz"),
    ("voice", "The session's if not given"),
    ("delivery", "inline or url"),
    ("busy", "wait or refuse"),
    ("callback", "A URL, or the object as JSON"),
    ("metadata", "A JSON object"),
    ("deadline", "A JSON object"),
)
_BINARY: Schema = {"schema": {"type": "string", "format": "binary"}}


def paths(prompts: Registry) -> Schema:
    """The paths of turns."""
    return {
        "/v1/sessions/{session_id}/text": {
            "post": _operation("take_text_turn", "Say something in a session", _text(prompts))
        },
        "/v1/sessions/{session_id}/voice": {
            "post": _operation("take_voice_turn", "Say something aloud in a session", _voice(prompts), *_QUERY)
        },
    }


def _operation(name: str, summary: str, content: Schema, *query: tuple[str, str]) -> Schema:
    named: Schema = {
        "Location": {"schema": {"type": "string"}},
    }
    at_once: Schema = {
        "description": "With `Accept: text/event-stream`: the job's events; its id is in `ringback-job-id`."
        " Else: the job, ended within the time that `Prefer: wait` gave it",
        "headers": named | {"ringback-job-id": {"schema": {"type": "string"}}},
        "content": {
            "text/event-stream": {"schema": {"type": "string"}},
            "application/json": {"schema": ref("Job")},
        },
    }
    return operation(
        name,
        summary,
        {"202": answer(ref("Job"), "Accepted", headers=named), "200": at_once},
        requestBody={"required": True, "content": content},
        parameters=[
            parameter("path", "session_id", "The session's id"),
            IDEMPOTENCY_KEY,
            WAIT,
            *(parameter("query", field, f"With a recording as the body. {what}") for field, what in query),
        ],
    )


def _text(prompts: Registry) -> Schema:
    turn = prompts.types.get("text_turn")
    schema = _flat(turn.input_schema) if turn else {"type": "object"}
    return {"application/json": {"schema": schema}}


def _voice(prompts: Registry) -> Schema:
    turn = prompts.types.get("voice_turn")
    schema: Schema = _flat(turn.input_schema) if turn else {"type": "object", "properties": {}}
    fields: dict[str, Any] = {name: part for name, part in schema["properties"].items() if name != audio.FIELD}
    recording = {"type": "string", "format": "binary", "description": "The recording"}
    by_url = {"type": "string", "description": "Where the recording is fetched when the job runs"}
    either = [{"required": ["audio_url"]}, {"required": [audio.FIELD]}]
    whole = {**schema, "properties": schema["properties"] | {"audio_url": by_url}, "oneOf": either}
    whole.pop("required", None)
    return {
        "audio/*": _BINARY,
        "application/octet-stream": _BINARY,
        "multipart/form-data": {
            "schema": {"type": "object", "required": [audio.FIELD], "properties": fields | {audio.FIELD: recording}}
        },
        "application/json": {"schema": whole},
    }


def _flat(input_schema: Schema) -> Schema:
    """The input's fields and those of a job's request, side by side."""
    properties: Schema = {
        **input_schema["properties"],
        "model": {"type": "string", "description": "A route or `provider/model`; the session's if not given"},
        "fallbacks": {"type": "array", "items": {"type": "string"}, "maxItems": 8},
        "callback": ref("Callback"),
        "metadata": {"type": "object", "description": f"Comes back unchanged; at most {METADATA_LIMIT} bytes"},
        "priority": {"enum": ["high", "normal", "low"], "default": "high"},
        "deadline": ref("Deadline"),
        "busy": _BUSY,
    }
    return {**{name: part for name, part in input_schema.items() if name != "examples"}, "properties": properties}
