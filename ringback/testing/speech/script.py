"""What the fake speech services are told to do: what is heard, timing, and every way in which they fail."""

from typing import Any, Literal

import msgspec

Service = Literal["polly", "transcribe", "transcribe-streaming", "s3"]

Fault = Literal[
    "rate_limited",  # Polly: HTTP 400 ThrottlingException; Transcribe: LimitExceededException
    "unavailable",  # 500 of the service's own form
    "bad_request",
    "unauthorized",  # 403, the security token is invalid
    "forbidden",  # 403 AccessDeniedException
    "reset",  # connection reset before the response headers
    "hang",  # accepts the request and never answers
    "cut",  # closes the connection after `fault_after` chunks of audio, or results
    "stall",  # silence from then on
    "no_engine",  # Polly: the voice does not have the engine, in this region
    "bad_text",  # Polly: 400 InvalidSsmlException
    "empty",  # Polly: a response without audio
    "failed",  # Transcribe batch: the job ends as FAILED
    "no_document",  # Transcribe batch: what TranscriptFileUri names is not there
    "error_in_stream",  # streaming: an exception frame after `fault_after` results
    "malformed",  # an answer that is none: of Transcribe, that is not what its protocol says
]


class SpeechScript(msgspec.Struct, frozen=True, kw_only=True):
    """How the next requests are answered."""

    first_s: float = 0.0
    """Seconds before anything is sent: Polly's audio, the answers of a batch, a streamed final after the last audio."""
    chunk_s: float = 0.0
    """Seconds between two chunks of Polly's audio."""
    chunk_bytes: int = 1024
    heard: tuple[str, ...] = ("Where is my order?",)
    """What Transcribe understands, one segment each; empty: nothing."""
    language: str = "en-US"
    """What it takes the language for, where it is to find out."""
    partials: int = 2
    """Partial results before each streamed final one."""
    stable: float = 0.5
    """The part of a partial result that is stable."""
    polls: int = 2
    """Batch: that many Gets say QUEUED, then IN_PROGRESS, before the end."""
    idle_s: float = 15.0
    """Streaming: seconds without audio after which it gives up."""
    fault: Fault | None = None
    fault_after: int = 1
    retry_after: float | None = None
    """Sent with `rate_limited`, as a proxy before Amazon might."""


class Received(msgspec.Struct, kw_only=True):
    """One request as the fake saw it."""

    service: Service
    operation: str
    """`SynthesizeSpeech`, `StartTranscriptionJob`, `PutObject`, `StartStreamTranscription`, …"""
    body: Any
    """Decoded: Polly's JSON, Transcribe's input, S3's bytes, the query of a stream."""
    headers: dict[str, str]
    at: float
    audio: list[bytes] = []
    """Streaming: the payload of each audio event, the empty one that ends it too."""
    refused: bool = False
    """It was beyond the quota; see `SpeechServer.limit`."""
    disconnected: bool = False
    """The client closed the connection before the answer was complete."""
