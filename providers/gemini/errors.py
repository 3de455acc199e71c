"""What the google-genai SDK and the HTTP client below it raise, as our errors."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp

from providers import errors, reason
from providers.gemini.mapping import PROVIDER
from providers.gemini.transport import Exchange
from providers.service import Ask

_TOO_LONG = re.compile(r"token count .*exceeds the maximum", re.IGNORECASE)
_NO_PREFILL = re.compile(r"ending with a model turn|multiturn requests? ends? with a user role", re.IGNORECASE)
_BAD_KEY = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})


@contextmanager
def translated(ask: Ask, exchange: Exchange, secrets: Iterable[str]) -> Iterator[None]:
    """Raises what the SDK raises as an error of `providers.errors`, which repeats neither `ask` nor `secrets`.

    For the same reason some do without the SDK's own error as their cause.
    """
    from google.auth.exceptions import GoogleAuthError
    from google.genai.errors import APIError

    try:
        yield
    except APIError as error:
        document = error.details if isinstance(error.details, dict) else {}
        raise refused({"code": error.code} | document.get("error", document), ask, secrets) from None
    except GoogleAuthError as error:  # of Vertex, whose tokens have to be fetched
        raise errors.AuthenticationFailed(f"Google gave no token: {type(error).__name__}", provider=PROVIDER) from error
    except (aiohttp.ClientError, OSError) as error:
        raise broken(error, exchange) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # So the SDK fails at a request that it cannot build, and at an answer that is not what it expects.
        cls = errors.MalformedAnswer if exchange.connected else errors.BadRequest
        raise cls(f"The SDK failed with {type(error).__name__}", provider=PROVIDER) from None


def refused(status: dict[str, Any], ask: Ask, secrets: Iterable[str]) -> errors.ProviderError:
    """The error that a `google.rpc.Status` means; it may lack any of its fields."""
    code = status.get("code")
    message = status.get("message")
    said = message if isinstance(message, str) else ""
    detail = reason.disclosable(said, ask, secrets) or ""
    given = status.get("details")
    details = [part for part in given if isinstance(part, dict)] if isinstance(given, list) else []
    if code == 400 and any(part.get("reason") in _BAD_KEY for part in details):
        return errors.AuthenticationFailed(detail, provider=PROVIDER)
    if code == 400 and _TOO_LONG.search(said):
        return errors.ContextTooLong(detail, provider=PROVIDER)
    if code == 400 and _NO_PREFILL.search(said):
        return errors.Unsupported(detail, provider=PROVIDER)
    http_status = code if isinstance(code, int) else 500
    detail = detail or f"HTTP status {http_status}"
    return errors.from_status(http_status, detail, provider=PROVIDER, retry_after=_retry_after(details))


def broken(error: aiohttp.ClientError | OSError, exchange: Exchange) -> errors.ProviderError:
    """What a broken connection means."""
    if isinstance(error, aiohttp.ClientConnectorError):
        why = error.os_error.strerror or type(error.os_error).__name__
        return errors.ConnectionFailed(f"Cannot connect to {error.host}:{error.port}: {why}", provider=PROVIDER)
    if exchange.response is not None:
        return errors.StreamInterrupted(f"The connection broke: {type(error).__name__}", provider=PROVIDER)
    return errors.ConnectionFailed(f"No answer: {type(error).__name__}", provider=PROVIDER)


def _retry_after(details: list[dict[str, Any]]) -> float | None:
    """Seconds from a `RetryInfo`, whose `retryDelay` is a protobuf duration such as `13.5s`."""
    for part in details:
        delay = part.get("retryDelay")
        if isinstance(delay, str) and re.fullmatch(r"\d+(\.\d+)?s", delay):
            return float(delay[:-1])
    return None
