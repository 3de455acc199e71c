"""What OpenAI-compatible servers say when they fail, as our errors. Status first, codes next, messages last."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import msgspec

from providers import errors
from providers.reason import disclosable
from providers.service import Ask

PROVIDER: Final = "openai"

_BY_CODE: dict[str, type[errors.ProviderError]] = {
    "content_filter": errors.ContentFiltered,
    "content_policy_violation": errors.ContentFiltered,
    "context_length_exceeded": errors.ContextTooLong,
    "exceed_context_size_error": errors.ContextTooLong,
    "insufficient_quota": errors.RateLimited,
    "invalid_api_key": errors.AuthenticationFailed,
    "invalid_prompt": errors.ContentFiltered,
    "invalid_request_error": errors.BadRequest,
    "model_not_found": errors.ModelNotFound,
    "rate_limit_exceeded": errors.RateLimited,
}
"""By `code` or `type`, of OpenAI, Azure and llama.cpp."""
_TOO_LONG = (
    "maximum context length",
    "context length exceeded",
    "context size",
    "context window",
    "prompt is too long",
)
"""In the messages of servers that have no code for it (vLLM, LM Studio, proxies)."""
_NO_PREFILL = (
    "expected last role user or tool",
    "assistant message prefill",
    "must end with a user message",
    "ending with a model turn",
)
"""In the messages of Mistral, and of proxies before Anthropic, Bedrock and Gemini."""


_MEANT = (errors.ContextTooLong, errors.ContentFiltered, errors.Unsupported)


class _Reported(msgspec.Struct):
    """An error object in any of the shapes that servers give it."""

    message: str = ""
    kind: str = ""
    code: str = ""

    @property
    def status(self) -> int | None:
        """The HTTP status that vLLM and others put into `code`."""
        return int(self.code) if self.code.isdigit() and 400 <= int(self.code) <= 599 else None


def from_response(status: int, headers: Mapping[str, str], body: bytes, ask: Ask, key: str) -> errors.ProviderError:
    """The error that a response with `status` other than 200 means."""
    reported = _read(body)
    retry_after = _retry_after(headers)
    detail = disclosable(reported.message, ask, (key,)) or f"HTTP status {status}"
    cls = _by_words(reported)
    if cls in _MEANT:  # no status tells these from other bad requests
        return cls(detail, provider=PROVIDER)
    return errors.from_status(status, detail, provider=PROVIDER, retry_after=retry_after)


def from_event(error: bytes, ask: Ask) -> errors.ProviderError:
    """The error that an error object in a stream, or in an answer with status 200, means."""
    reported = _reported(msgspec.json.decode(error))
    detail = disclosable(reported.message, ask)
    cls = _by_words(reported)
    if cls is not None:
        return cls(detail, provider=PROVIDER)
    if reported.status is not None:
        return errors.from_status(reported.status, detail or f"error {reported.status}", provider=PROVIDER)
    cls = errors.Overloaded if "overloaded" in reported.message.lower() else errors.Unavailable
    return cls(detail, provider=PROVIDER)


def from_client(error: aiohttp.ClientError | OSError, *, answering: bool) -> errors.ProviderError:
    """What a broken connection means; `answering`: the response had begun."""
    if answering:
        return errors.StreamInterrupted(f"the connection broke: {type(error).__name__}", provider=PROVIDER)
    if isinstance(error, aiohttp.ClientConnectorError):
        why = error.os_error.strerror or type(error.os_error).__name__
        return errors.ConnectionFailed(f"cannot connect to {error.host}:{error.port}: {why}", provider=PROVIDER)
    return errors.ConnectionFailed(f"no answer: {type(error).__name__}", provider=PROVIDER)


def _by_words(reported: _Reported) -> type[errors.ProviderError] | None:
    message = reported.message.lower()
    if any(words in message for words in _TOO_LONG):
        return errors.ContextTooLong
    if any(words in message for words in _NO_PREFILL):
        return errors.Unsupported
    return _BY_CODE.get(reported.code) or _BY_CODE.get(reported.kind)


def _read(body: bytes) -> _Reported:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Reported()  # a proxy's HTML page, say
    if isinstance(document, dict):
        return _reported(document.get("error") or document)
    return _Reported()


def _reported(error: Any) -> _Reported:
    if not isinstance(error, dict):
        return _Reported(message=str(error))
    message = error.get("message") or error.get("detail") or ""
    return _Reported(
        message=message if isinstance(message, str) else "",
        kind=str(error.get("type") or ""),
        code=str(error.get("code") or ""),
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from `Retry-After` as a number or a date, or from OpenAI's own `retry-after-ms`."""
    milliseconds, given = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds is not None:
            return max(0.0, float(milliseconds) / 1000)
        if given is None:
            return None
        return max(0.0, float(given))
    except ValueError:
        return _seconds_until(given or "")


def _seconds_until(date: str) -> float | None:
    try:
        at = parsedate_to_datetime(date)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
