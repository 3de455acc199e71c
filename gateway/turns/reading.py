"""What comes with a turn: JSON, a recording as it is, or a form with one; all made into a job and its recording."""

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from litestar import Request
from litestar.datastructures import UploadFile
from litestar.exceptions import HTTPException

from gateway import requests
from gateway.desk import Busy, Desk
from gateway.requests import AnyRequest
from gateway.submission import decoded
from jobs import errors
from jobs.job import JobRequest
from jobs.session import Session
from prompts import audio

JOB_FIELDS = ("model", "fallbacks", "callback", "metadata", "priority", "deadline")
"""Fields of a job's request that a turn's may have; the others are those of its input."""
BUSY = "busy"
_SPEECH = ("format", "sample_rate", "voice", "rate", "delivery")
"""What a form or a query may say of `speech` by itself."""
_AS_THEY_ARE = frozenset(
    {"language", "instructions", "model", "priority", "busy", "format", "voice", "delivery", "text"}
)
_PRIORITY = "high"
"""Somebody is waiting."""
_FORM_ROOM = 256 * 1024
"""Bytes that a form may have besides its recording."""
_NULL = msgspec.Raw(b"null")
"""As good as left out."""
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_job = msgspec.json.Decoder(JobRequest)
_AUDIO = re.compile(r"(audio/.+|video/(webm|mp4|ogg)|application/(ogg|octet-stream))")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that was asked for."""

    job: JobRequest
    recording: bytes | None
    """The audio that came along."""
    busy: Busy
    body: bytes
    """By which the same request is known again."""


async def text_turn(request: AnyRequest, desk: Desk, session: Session) -> Asked:
    """A turn by text. Raises `errors.InvalidRequest`, `errors.BodyTooLarge`."""
    body = await requests.body(request, desk.max_body_bytes)
    return _asked("text_turn", decoded(body, _object), session, None, body)


async def voice_turn(request: AnyRequest, desk: Desk, session: Session) -> Asked:
    """A turn by voice. Raises `errors.InvalidRequest`, `errors.BodyTooLarge`."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json":
        body = await requests.body(request, desk.max_body_bytes)
        return _by_json(decoded(body, _object), body, desk, session)
    query: dict[str, str] = {name: str(value) for name, value in request.query_params.items()}
    if content_type == "multipart/form-data":
        body = await requests.body(request, desk.max_audio_bytes + _FORM_ROOM)
        recording, fields = await _form(request, body)
        return _with_recording(query | fields, recording, f"#/{audio.FIELD}", desk, session)
    if _AUDIO.fullmatch(content_type):
        body = await requests.body(request, desk.max_audio_bytes)
        return _with_recording(query, body, "#", desk, session)
    raise errors.InvalidRequest.at(
        "header:Content-Type",
        "must be audio/*, with the recording as the body; multipart/form-data with a file `audio`; or application/json"
        " with `audio_url`",
    )


def _by_json(given: dict[str, msgspec.Raw], body: bytes, desk: Desk, session: Session) -> Asked:
    if (url := given.pop("audio_url", None)) is not None:
        if audio.FIELD in given:
            raise errors.InvalidRequest.at("#/audio_url", "give either audio_url or audio")
        if not bytes(url).startswith(b'"'):
            raise errors.InvalidRequest.at("#/audio_url", "must be a string")
        given[audio.FIELD] = msgspec.Raw(b'{"url":' + bytes(url) + b"}")
    asked = _asked("voice_turn", given, session, None, body)
    job, recording = desk.submission.detach(asked.job)
    return msgspec.structs.replace(asked, job=job, recording=recording)


def _with_recording(fields: Mapping[str, str], recording: bytes, pointer: str, desk: Desk, session: Session) -> Asked:
    """`pointer`: where the recording stands in the request."""
    stored = desk.submission.stored(recording, pointer)
    given = {name: msgspec.Raw(_value(name, text)) for name, text in fields.items()}
    speech = {name: given.pop(name) for name in _SPEECH if name in given}
    if speech:
        if "speech" in given:
            raise errors.InvalidRequest.at("#/speech", f"give either speech or {', '.join(speech)}")
        given["speech"] = msgspec.Raw(msgspec.json.encode(speech))
    if audio.FIELD in given:
        raise errors.InvalidRequest.at("#/audio", "must be the recording itself, once")
    given[audio.FIELD] = msgspec.Raw(msgspec.json.encode(stored))
    # Not by the bytes of a form: whoever sends it again makes up another boundary.
    named = msgspec.json.encode({name: bytes(raw).decode() for name, raw in given.items()}, order="sorted")
    return _asked("voice_turn", given, session, recording, named + recording)


def _value(name: str, text: str) -> bytes:
    """The value of a form's or query's field as JSON."""
    if name in _AS_THEY_ARE:
        return msgspec.json.encode(text)
    if name == "callback" and not text.lstrip().startswith("{"):
        return msgspec.json.encode({"url": text})
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise errors.InvalidRequest.at(f"#/{name[:64]}", "must be JSON") from None
    return text.encode()


async def _form(request: AnyRequest, body: bytes) -> tuple[bytes, dict[str, str]]:
    """The recording and the other fields of a form that was read. Raises `errors.InvalidRequest`."""

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    again: AnyRequest = Request(request.scope, receive=receive)
    try:
        form = await again.form()
    except HTTPException as error:
        raise errors.InvalidRequest.at("header:Content-Type", f"the form cannot be read: {error.detail}") from error
    except (UnicodeError, LookupError) as error:
        reason = f"the fields of the form and its file names must be UTF-8, or what their charset says: {error}"
        raise errors.InvalidRequest.at("#", reason) from error
    recording: bytes | None = None
    fields: dict[str, str] = {}
    try:
        for name, value in form.multi_items():
            text = str(value)
            if isinstance(value, UploadFile):
                content = await value.read()
                if name == audio.FIELD and recording is None:
                    recording = content
                    continue
                text = content.decode(errors="replace")
            if name in fields or name == audio.FIELD:
                raise errors.InvalidRequest.at(f"#/{name[:64]}", "must be there once, and `audio` be a file")
            fields[name] = text
    finally:
        for _, value in form.multi_items():
            if isinstance(value, UploadFile):
                await value.close()
    if recording is None:
        raise errors.InvalidRequest.at("#/audio", "the form has no file `audio`, which is the recording")
    return recording, fields


def _asked(
    type_: Literal["text_turn", "voice_turn"],
    given: dict[str, msgspec.Raw],
    session: Session,
    recording: bytes | None,
    body: bytes,
) -> Asked:
    """The job; what the session says holds where the request says nothing."""
    busy = _busy(given.pop(BUSY, None))
    job: dict[str, Any] = {name: raw for name in JOB_FIELDS if (raw := given.pop(name, _NULL)) != _NULL}
    job.setdefault("priority", _PRIORITY)
    job.setdefault("model", session.model)
    if type_ == "voice_turn" and session.language is not None:
        given.setdefault("language", msgspec.Raw(msgspec.json.encode(session.language)))
    request = decoded(msgspec.json.encode({"type": type_, "input": given, **job}), _job)
    return Asked(job=request, recording=recording, busy=busy, body=body)


def _busy(raw: msgspec.Raw | None) -> Busy:
    given = "wait" if raw is None else msgspec.json.decode(raw)
    if given == "wait":
        return "wait"
    if given == "refuse":
        return "refuse"
    raise errors.InvalidRequest.at(f"#/{BUSY}", "must be wait or refuse")


def flattened(error: errors.InvalidRequest) -> errors.InvalidRequest:
    """The error about a job's request, with the pointers of a turn's, which has its input's fields at the top."""
    fields = tuple(errors.FieldError(pointer=_flat(field.pointer), detail=field.detail) for field in error.errors)
    made = type(error)(error.detail.replace("#/input", "#"), errors=fields)
    made.retry_after = error.retry_after
    return made


def _flat(pointer: str) -> str:
    return "#" + pointer.removeprefix("#/input") if pointer.startswith("#/input") else pointer
