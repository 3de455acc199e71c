"""What boto3, botocore and urllib3 raise, as our errors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import IncompleteRead
from typing import Any

from providers import errors, reason
from providers.bedrock.mapping import PROVIDER
from providers.service import Ask

_MEANT: tuple[tuple[re.Pattern[str], type[errors.ProviderError]], ...] = (
    (
        re.compile(
            r"(input|prompt) is too long|too many input tokens|context (length|window|limit)|input length .*exceed",
            re.IGNORECASE,
        ),
        errors.ContextTooLong,
    ),
    (re.compile(r"content filter", re.IGNORECASE), errors.ContentFiltered),
    (re.compile(r"must end with a user message|message prefill", re.IGNORECASE), errors.Unsupported),
    (re.compile(r"model identifier is invalid", re.IGNORECASE), errors.ModelNotFound),
)
"""What a ValidationException says in words only."""

_CLASSES: dict[str, type[errors.ProviderError]] = {
    "throttling": errors.RateLimited,
    "toomanyrequests": errors.RateLimited,
    "servicequotaexceeded": errors.RateLimited,
    "modelnotready": errors.Overloaded,
    "serviceunavailable": errors.Overloaded,
    "internalserver": errors.Unavailable,
    "modelerror": errors.Unavailable,
    "modelstreamerror": errors.Unavailable,
    "modeltimeout": errors.TimedOut,
    "validation": errors.BadRequest,
    "resourcenotfound": errors.ModelNotFound,
    "accessdenied": errors.PermissionDenied,
    "unrecognizedclient": errors.AuthenticationFailed,
    "invalidclienttokenid": errors.AuthenticationFailed,
    "expiredtoken": errors.AuthenticationFailed,
    "requestexpired": errors.AuthenticationFailed,
    "invalidsignature": errors.AuthenticationFailed,
    "signaturedoesnotmatch": errors.AuthenticationFailed,
    "incompletesignature": errors.AuthenticationFailed,
    "missingauthenticationtoken": errors.AuthenticationFailed,
}
"""By the error's code in lower case, without `Exception`: a stream spells it otherwise than a response does."""

_NO_CREDENTIALS = (
    "Bedrock cannot be used without credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or "
    "AWS_BEARER_TOKEN_BEDROCK"
)
_NO_REGION = "Bedrock cannot be used without a region: set AWS_REGION"


@contextmanager
def translated(ask: Ask) -> Iterator[None]:
    """Raises what boto3 and all below it raise as an error of `providers.errors`, which does not repeat `ask`.

    For the same reason some do without the error of boto3 as their cause.
    """
    import urllib3.exceptions
    from botocore import eventstream, exceptions, parsers

    try:
        yield
    except exceptions.ClientError as error:
        raise _refused(error.response, ask) from None
    except exceptions.NoRegionError as error:
        raise errors.BadRequest(_NO_REGION, provider=PROVIDER) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise errors.AuthenticationFailed(_NO_CREDENTIALS, provider=PROVIDER) from error
    except exceptions.ParamValidationError:
        raise errors.BadRequest("The request does not fit the Converse API", provider=PROVIDER) from None
    except urllib3.exceptions.ReadTimeoutError as error:  # botocore's is one too
        raise errors.Stalled(provider=PROVIDER) from error
    except exceptions.ConnectionClosedError as error:
        raise _broken(error.kwargs.get("error"))(provider=PROVIDER) from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise errors.ConnectionFailed(reason.disclosable(str(error), ask), provider=PROVIDER) from error
    except urllib3.exceptions.HTTPError as error:  # from the body of a stream, which botocore hands over as it is
        raise errors.StreamInterrupted(provider=PROVIDER) from error
    except (eventstream.ParserError, parsers.ResponseParserError, UnicodeDecodeError):
        raise errors.MalformedAnswer(provider=PROVIDER) from None
    except exceptions.BotoCoreError as error:
        # What is left comes from the configuration: a profile that is missing, credentials that cannot be fetched.
        raise errors.AuthenticationFailed(reason.disclosable(str(error), ask), provider=PROVIDER) from error


def _refused(response: dict[str, Any], ask: Ask) -> errors.ProviderError:
    said = response.get("Error", {})
    code, message = str(said.get("Code", "")), str(said.get("Message", ""))
    metadata = response.get("ResponseMetadata", {})
    retry_after = _seconds(metadata.get("HTTPHeaders", {}).get("retry-after"))
    detail = reason.disclosable(message, ask)
    cls = _CLASSES.get(code.lower().removesuffix("exception"))
    if cls is None:
        status = metadata.get("HTTPStatusCode", 500)
        return errors.from_status(status, detail or code, provider=PROVIDER, retry_after=retry_after)
    if cls is errors.AuthenticationFailed:
        # A signature that does not match is explained with all headers that were signed, the session token too.
        detail = f"Bedrock refused the credentials: {code}"
    elif cls is errors.BadRequest:
        cls = next((meant for pattern, meant in _MEANT if pattern.search(message)), cls)
    return cls(detail, provider=PROVIDER, retry_after=retry_after)


def _broken(error: Any) -> type[errors.ProviderError]:
    """What a closed connection means: only within a body is the length known that is missing."""
    cause = error.args[-1] if isinstance(error, Exception) and error.args else error
    return errors.StreamInterrupted if isinstance(cause, IncompleteRead) else errors.ConnectionFailed


def _seconds(header: str | None) -> float | None:
    """`Retry-After`, where something before Bedrock sets it; a date is not worth reading."""
    return float(header) if header is not None and re.fullmatch(r"\d+(\.\d+)?", header) else None
