"""What can go wrong with speech, the same for every service. Classified by status first, by message last."""

from jobs import errors


class SpeechError(errors.VendorFailure):
    """The speech service failed."""

    code = "speech_error"


class RateLimited(SpeechError):
    """The speech service's rate limit or quota was reached."""

    code = "speech_rate_limited"
    retryable = True


class Unavailable(SpeechError):
    """The speech service had an internal error or is unavailable."""

    code = "speech_unavailable"
    retryable = True


class TimedOut(SpeechError):
    """The speech service took too long."""

    code = "speech_timeout"
    retryable = True


class ConnectionFailed(SpeechError):
    """The speech service could not be reached."""

    code = "speech_unreachable"
    retryable = True


class StreamInterrupted(SpeechError):
    """The speech service's stream ended before it was complete."""

    code = "speech_stream_interrupted"
    retryable = True


class MalformedAnswer(SpeechError):
    """The speech service sent something that its protocol does not allow."""

    code = "speech_malformed_answer"
    retryable = True


class AuthenticationFailed(SpeechError):
    """The speech service refused the credentials."""

    code = "speech_authentication_failed"


class PermissionDenied(SpeechError):
    """The credentials may not use this speech service."""

    code = "speech_permission_denied"


class EngineMissing(SpeechError):
    """The speech engine is not installed here: pip install 'ringback[offline-speech]'."""

    code = "speech_engine_missing"


class BadRequest(SpeechError):
    """The speech service refused the request as invalid."""

    code = "speech_bad_request"


class BadText(BadRequest):
    """The text cannot be spoken: it is empty, or it is not valid SSML."""

    code = "bad_text"


class Unsupported(BadRequest):
    """The speech service cannot do this: the language, the voice, the format."""

    code = "unsupported"


class BadAudio(BadRequest):
    """The audio is empty, damaged or in no format that is known."""

    code = "bad_audio"


class AudioTooLarge(BadAudio):
    """The audio is longer or larger than is accepted."""

    code = "audio_too_large"


_BY_STATUS: dict[int, type[SpeechError]] = {
    401: AuthenticationFailed,
    402: RateLimited,
    403: PermissionDenied,
    408: TimedOut,
    429: RateLimited,
    504: TimedOut,
}


def from_status(status: int, detail: str, *, provider: str, retry_after: float | None = None) -> SpeechError:
    """The error that an HTTP status means where the vendor says nothing more exact."""
    cls = _BY_STATUS.get(status, Unavailable if status >= 500 else BadRequest)
    return cls(detail, provider=provider, retry_after=retry_after)
