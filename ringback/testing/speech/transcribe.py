"""Transcribe's two wires: batch jobs (JSON 1.1, their documents in S3) and streamed event frames.

Sources: the Amazon Transcribe API reference, "StartTranscriptionJob", "GetTranscriptionJob",
"StartStreamTranscriptionWebSocket"; the developer guide, "Transcription output" and "Setting up a WebSocket stream".
"""

import struct
import time
from typing import Any
from zlib import crc32

import msgspec

from ringback.testing.speech.script import Fault, SpeechScript
from ringback.testing.vendors import eventstream

REFUSALS: dict[Fault, tuple[int, str, str]] = {
    "rate_limited": (400, "LimitExceededException", "You have either sent too many requests or your input is too long"),
    "unavailable": (500, "InternalFailureException", "There was an internal error. Check the error message."),
    "bad_request": (400, "BadRequestException", "The media format that you specified doesn't match the media file."),
    "unauthorized": (403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    "forbidden": (403, "AccessDeniedException", "User is not authorized to perform: transcribe:StartTranscriptionJob"),
}
STREAM_REFUSALS: dict[Fault, tuple[str, str]] = {
    "rate_limited": ("LimitExceededException", "You have reached your account's concurrent stream limit."),
    "unavailable": ("InternalFailureException", "A problem occurred while processing the audio."),
    "bad_request": ("BadRequestException", "One or more arguments were not valid."),
    "error_in_stream": ("ServiceUnavailableException", "The service is currently unavailable."),
    "unauthorized": ("UnrecognizedClientException", "The security token included in the request is invalid."),
    "forbidden": ("AccessDeniedException", "User is not authorized to perform: transcribe:StartStreamTranscription"),
}
_WORD_S = 0.3


def status(job: dict[str, Any], script: SpeechScript, looked: int, uri: str) -> dict[str, Any]:
    """What a Get says of a job that was looked at so many times before."""
    given = {
        "TranscriptionJobName": job["TranscriptionJobName"],
        "Media": job["Media"],
        "MediaFormat": job.get("MediaFormat", "wav"),
        "CreationTime": time.time(),
    }
    if looked < script.polls:
        state = "QUEUED" if looked < (script.polls + 1) // 2 else "IN_PROGRESS"
        return {"TranscriptionJob": given | {"TranscriptionJobStatus": state}}
    if script.fault == "failed":
        failed = {"TranscriptionJobStatus": "FAILED", "FailureReason": "Unsupported audio format."}
        return {"TranscriptionJob": given | failed}
    language = job.get("LanguageCode") or script.language
    done: dict[str, Any] = {"TranscriptionJobStatus": "COMPLETED", "LanguageCode": language}
    if job.get("IdentifyLanguage"):
        done |= {"IdentifyLanguage": True, "IdentifiedLanguageScore": 0.97}
    return {"TranscriptionJob": given | done | {"Transcript": {"TranscriptFileUri": uri}}}


def document(job: dict[str, Any], script: SpeechScript) -> bytes:
    """The transcript document."""
    items: list[dict[str, Any]] = []
    segments = []
    at = 0.0
    for number, text in enumerate(script.heard):
        words = _words(text, at)
        first = len(items)
        items += [
            {
                "id": first + n,
                "type": word["Type"],
                "alternatives": [{"confidence": str(word.get("Confidence", "0.0")), "content": word["Content"]}],
            }
            | (
                {"start_time": f"{word['StartTime']:.2f}", "end_time": f"{word['EndTime']:.2f}"}
                if word["Type"] == "pronunciation"
                else {}
            )
            for n, word in enumerate(words)
        ]
        end = words[-1]["EndTime"]
        segment = {"id": number, "transcript": text, "start_time": f"{at:.2f}", "end_time": f"{end:.2f}"}
        segments.append(segment | {"items": list(range(first, len(items)))})
        at = end + 0.5
    transcripts = [{"transcript": " ".join(script.heard)}]
    return msgspec.json.encode(
        {
            "jobName": job["TranscriptionJobName"],
            "accountId": "123456789012",
            "status": "COMPLETED",
            "results": {"transcripts": transcripts, "items": items, "audio_segments": segments},
        }
    )


def results(script: SpeechScript, query: dict[str, str]) -> list[bytes]:
    """The frames of all results: the partial ones of each segment, and its final one."""
    frames = []
    at = 0.0
    for number, text in enumerate(script.heard):
        words = _words(text, at)
        for n in range(1, script.partials + 1):
            some = words[: max(1, len(words) * n // (script.partials + 1))]
            frames.append(_result(f"r{number}", some, query, script, final=None))
        frames.append(_result(f"r{number}", words, query, script, final=text))
        at = words[-1]["EndTime"] + 0.5
    return frames


def exception(kind: str, message: str) -> bytes:
    """An error as a frame."""
    return eventstream.exception(kind, msgspec.json.encode({"Message": message}))


def audio_of(frame: bytes) -> bytes:
    """The payload of an audio event. Raises `ValueError` for what Amazon would not take."""
    if len(frame) < 16:
        raise ValueError("a frame has at least 16 bytes")
    total, headers = struct.unpack(">II", frame[:8])
    if total != len(frame) or struct.unpack(">I", frame[-4:])[0] != crc32(frame[:-4]):
        raise ValueError("length or checksum is wrong")
    named = frame[12 : 12 + headers]
    if struct.unpack(">I", frame[8:12])[0] != crc32(frame[:8]) or b"AudioEvent" not in named:
        raise ValueError("not an AudioEvent")
    return frame[12 + headers : -4]


def _words(text: str, at: float) -> list[dict[str, Any]]:
    words: list[dict[str, Any]] = []
    for token in text.split():
        word = token.rstrip(".,?!。？！")
        start = at
        at += _WORD_S
        said = {"Type": "pronunciation", "Content": word or token, "Confidence": 0.9, "StartTime": start, "EndTime": at}
        words.append(said)
        if word and word != token:
            mark = {"Type": "punctuation", "Content": token[len(word) :], "StartTime": at, "EndTime": at}
            words.append(mark)
    return words


def _result(
    name: str, words: list[dict[str, Any]], query: dict[str, str], script: SpeechScript, *, final: str | None
) -> bytes:
    """The frame of a result; `final` is the whole text of one that is."""
    text = final or " ".join(word["Content"] for word in words if word["Type"] == "pronunciation")
    stable = len(words) if final else int(len(words) * script.stable)
    items = [word | {"Stable": number < stable, "VocabularyFilterMatch": False} for number, word in enumerate(words)]
    result: dict[str, Any] = {
        "ResultId": name,
        "StartTime": words[0]["StartTime"],
        "EndTime": words[-1]["EndTime"],
        "IsPartial": final is None,
        "ChannelId": "ch_0",
        "Alternatives": [{"Transcript": text, "Items": items}],
    }
    if query.get("identify-language") == "true":
        result["LanguageCode"] = script.language
        result["LanguageIdentification"] = [{"LanguageCode": script.language, "Score": 0.97}]
    return eventstream.event("TranscriptEvent", msgspec.json.encode({"Transcript": {"Results": [result]}}))
