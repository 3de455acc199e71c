"""What boto3, botocore and urllib3 raise, and what Amazon says, as our errors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from speech import errors

_CLASSES: dict[str, type[errors.SpeechError]] = {
    "throttling": errors.RateLimited,  # Polly says so with HTTP status 400
    "throttled": errors.RateLimited,
    "toomanyrequests": errors.RateLimited,
    "limitexceeded": errors.RateLimited,
    "servicequotaexceeded": errors.RateLimited,
    "slowdown": errors.RateLimited,
    "requestlimitexceeded": errors.RateLimited,
    "serviceunavailable": errors.Unavailable,
    "servicefailure": errors.Unavailable,
    "internalfailure": errors.Unavailable,
    "internalserver": errors.Unavailable,
    "internalerror": errors.Unavailable,
    "requesttimeout": errors.TimedOut,
    "accessdenied": errors.PermissionDenied,
    "optinrequired": errors.PermissionDenied,
    "unrecognizedclient": errors.AuthenticationFailed,
    "invalidclienttokenid": errors.AuthenticationFailed,
    "invalidaccesskeyid": errors.AuthenticationFailed,
    "expiredtoken": errors.AuthenticationFailed,
    "requestexpired": errors.AuthenticationFailed,
    "invalidsignature": errors.AuthenticationFailed,
    "signaturedoesnotmatch": errors.AuthenticationFailed,
    "incompletesignature": errors.AuthenticationFailed,
    "missingauthenticationtoken": errors.AuthenticationFailed,
    "textlengthexceeded": errors.BadText,
    "invalidssml": errors.BadText,
    "ssmlmarksnotsupportedfortexttype": errors.Unsupported,
    "marksnotsupportedforformat": errors.Unsupported,
    "languagenotsupported": errors.Unsupported,
    "enginenotsupported": errors.Unsupported,
    "invalidsamplerate": errors.Unsupported,
    "nosuchbucket": errors.BadRequest,
}
"""By the error's code in lower case, without `Exception`."""
_LIMIT = 300
_WINDOW = 12
NO_CREDENTIALS = "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
NO_REGION = "no AWS region: set AWS_REGION"


@contextmanager
def translated(provider: str, text: str = "") -> Iterator[None]:
    """Raises what boto3 and all below it raise as an error of `speech.errors`, which does not repeat `text`."""
    import urllib3.exceptions
    from botocore import exceptions, parsers

    try:
        yield
    except exceptions.ClientError as error:
        raise _refused(error.response, provider, text) from None
    except exceptions.NoRegionError as error:
        raise errors.BadRequest(NO_REGION, provider=provider) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise errors.AuthenticationFailed(NO_CREDENTIALS, provider=provider) from error
    except exceptions.ParamValidationError:
        raise errors.BadRequest("the request does not fit the service's API", provider=provider) from None
    except urllib3.exceptions.ReadTimeoutError as error:  # botocore's is one too
        raise errors.TimedOut(provider=provider) from error
    except (exceptions.IncompleteReadError, exceptions.ResponseStreamingError) as error:
        raise errors.StreamInterrupted(provider=provider) from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise errors.ConnectionFailed(disclosable(str(error), text), provider=provider) from error
    except urllib3.exceptions.HTTPError as error:  # from the body of a stream
        raise errors.StreamInterrupted(provider=provider) from error
    except (parsers.ResponseParserError, ValueError, LookupError):  # botocore's parsers raise what they come across
        raise errors.MalformedAnswer(provider=provider) from None
    except exceptions.BotoCoreError as error:
        # What is left comes from the configuration: a profile that is missing, credentials that cannot be fetched.
        raise errors.AuthenticationFailed(disclosable(str(error), text), provider=provider) from error


def _refused(response: dict[str, Any], provider: str, text: str) -> errors.SpeechError:
    said = response.get("Error", {})
    metadata = response.get("ResponseMetadata", {})
    return meant(
        str(said.get("Code", "")),
        str(said.get("Message", "")),
        provider=provider,
        status=metadata.get("HTTPStatusCode", 500),
        text=text,
        retry_after=metadata.get("HTTPHeaders", {}).get("retry-after"),
    )


def meant(
    code: str, message: str, *, provider: str, status: int = 400, text: str = "", retry_after: str | None = None
) -> errors.SpeechError:
    """What an error of Amazon means, by its code, else by its status; `text` is not to be repeated."""
    detail = disclosable(message, text)
    seconds = float(retry_after) if retry_after is not None and re.fullmatch(r"\d+(\.\d+)?", retry_after) else None
    cls = _CLASSES.get(code.rpartition("#")[2].lower().removesuffix("exception"))
    if cls is None:
        return errors.from_status(status, detail or code, provider=provider, retry_after=seconds)
    if cls is errors.AuthenticationFailed:
        # A signature that does not match is explained with all headers that were signed, the session token too.
        detail = f"{provider}: Amazon refused the credentials: {code}"
    return cls(detail, provider=provider, retry_after=seconds)


def disclosable(reason: str, text: str) -> str | None:
    """The reason, short; `None` if it quotes `text`."""
    short = " ".join(reason.split())[:_LIMIT]
    spoken = " ".join(text.split())
    if 3 < len(spoken) < _WINDOW:
        return None if spoken in short else short or None
    starts = range(len(short) - _WINDOW + 1)
    return None if any(short[start : start + _WINDOW] in spoken for start in starts) else short or None
