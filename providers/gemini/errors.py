"""What the google-genai SDK and the HTTP client below it raise, as our errors."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from providers import errors, reason
from providers.gemini.mapping import PROVIDER
from providers.gemini.transport import Exchange
from providers.service import Ask

if TYPE_CHECKING:
    from google.genai.errors import APIError

_TOO_LONG = re.compile(r"token count .*exceeds the maximum", re.IGNORECASE)
_BAD_KEY = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})


@contextmanager
def translated(ask: Ask, exchange: Exchange, secrets: Iterable[str]) -> Iterator[None]:
    """Raises what the SDK raises as an error of `providers.errors`, which repeats neither `ask` nor `secrets`.

    For the same reason some do without the SDK's own error as their cause.
    """
    from google.genai.errors import APIError

    try:
        yield
    except APIError as error:
        raise _refused(error, ask, secrets) from None
    except (aiohttp.ClientError, OSError) as error:
        raise _unreached(error, exchange) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # So the SDK fails at a request that it cannot build, and at an answer that is not what it expects.
        cls = errors.BadRequest if exchange.connection is None else errors.MalformedAnswer
        raise cls(f"The SDK failed with {type(error).__name__}", provider=PROVIDER) from None


def _unreached(error: aiohttp.ClientError | OSError, exchange: Exchange) -> errors.ProviderError:
    if isinstance(error, aiohttp.ClientConnectorError):
        why = error.os_error.strerror or type(error.os_error).__name__
        return errors.ConnectionFailed(f"Cannot connect to {error.host}:{error.port}: {why}", provider=PROVIDER)
    if isinstance(error, aiohttp.ClientPayloadError) or exchange.answering:
        return errors.StreamInterrupted(provider=PROVIDER)
    return errors.ConnectionFailed(f"No answer: {type(error).__name__}", provider=PROVIDER)


def _refused(error: "APIError", ask: Ask, secrets: Iterable[str]) -> errors.ProviderError:
    said = error.message if isinstance(error.message, str) else ""
    detail = reason.disclosable(said, ask, secrets) or ""
    details = _details(error.details)
    if error.code == 400 and any(part.get("reason") in _BAD_KEY for part in details):
        return errors.AuthenticationFailed(detail, provider=PROVIDER)
    if error.code == 400 and _TOO_LONG.search(said):
        return errors.ContextTooLong(detail, provider=PROVIDER)
    return errors.from_status(error.code, detail, provider=PROVIDER, retry_after=_retry_after(details))


def _details(document: Any) -> list[dict[str, Any]]:
    """The details of a `google.rpc.Status`; empty if it has none."""
    inner = document.get("error", document) if isinstance(document, dict) else {}
    details = inner.get("details") if isinstance(inner, dict) else None
    return [part for part in details if isinstance(part, dict)] if isinstance(details, list) else []


def _retry_after(details: list[dict[str, Any]]) -> float | None:
    """Seconds from a `RetryInfo`, whose `retryDelay` is a protobuf duration such as `13.5s`."""
    for part in details:
        delay = part.get("retryDelay")
        if isinstance(delay, str) and re.fullmatch(r"\d+(\.\d+)?s", delay):
            return float(delay[:-1])
    return None
