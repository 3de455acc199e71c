"""What boto3, botocore and urllib3 raise, and what Amazon says, in words that are the same for every service."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.client import IncompleteRead
from typing import Any

from jobs.disclosure import disclosable

NO_CREDENTIALS = "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
NO_REGION = "no AWS region: set AWS_REGION"

_KINDS = {
    "throttling": "throttled",  # Polly says so with HTTP status 400
    "throttled": "throttled",
    "toomanyrequests": "throttled",
    "limitexceeded": "throttled",
    "servicequotaexceeded": "throttled",
    "slowdown": "throttled",
    "requestlimitexceeded": "throttled",
    "serviceunavailable": "overloaded",
    "servicefailure": "unavailable",
    "internalfailure": "unavailable",
    "internalserver": "unavailable",
    "internalerror": "unavailable",
    "requesttimeout": "timed_out",
    "accessdenied": "denied",
    "optinrequired": "denied",
    "unrecognizedclient": "unauthenticated",
    "invalidclienttokenid": "unauthenticated",
    "invalidaccesskeyid": "unauthenticated",
    "expiredtoken": "unauthenticated",
    "requestexpired": "unauthenticated",
    "invalidsignature": "unauthenticated",
    "signaturedoesnotmatch": "unauthenticated",
    "incompletesignature": "unauthenticated",
    "missingauthenticationtoken": "unauthenticated",
}
"""By the error's code in lower case, without `Exception`: a stream spells it otherwise than a response does."""


class Failure(Exception):
    """A call to Amazon failed.

    Its `kind` is one of

    - `throttled`, `overloaded`, `unavailable`, `timed_out`, `denied`, `unauthenticated`: Amazon says so;
    - another code of Amazon's in lower case without `Exception`, such as `textlengthexceeded`: only its service knows
      what that means, or its `status` tells; empty if there is none;
    - `silent` (a stream, for too long), `unreachable`, `interrupted` (in the middle of an answer), `malformed`;
    - `misconfigured`, `uncredentialed` (nothing to sign with), `unfit` (boto3 itself refuses the request).
    """

    def __init__(
        self,
        kind: str,
        detail: str | None = None,
        *,
        code: str = "",
        message: str = "",
        status: int = 0,
        retry_after: float | None = None,
    ) -> None:
        """`detail` can be shown; `message` is what Amazon said, and may repeat the request. `status` is HTTP's."""
        super().__init__(detail or kind)
        self.kind, self.detail = kind, detail
        self.code, self.message, self.status = code, message, status
        self.retry_after = retry_after
        """In seconds."""


@contextmanager
def told(texts: Iterable[str] = ()) -> Iterator[None]:
    """Raises what boto3 and all below it raise as a `Failure`, whose `detail` does not repeat any of `texts`.

    For the same reason some do without the error of boto3 as their cause.
    """
    import urllib3.exceptions
    from botocore import exceptions, parsers

    try:
        yield
    except exceptions.ClientError as error:
        raise _refused(error.response, texts) from None
    except exceptions.NoRegionError as error:
        raise Failure("misconfigured", NO_REGION) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise Failure("uncredentialed", NO_CREDENTIALS) from error
    except exceptions.ParamValidationError:
        raise Failure("unfit", "the request does not fit the service's API") from None
    except urllib3.exceptions.ReadTimeoutError as error:  # botocore's own is none: it may be TLS that never begins
        raise Failure("silent") from error
    except (exceptions.IncompleteReadError, exceptions.ResponseStreamingError) as error:
        raise Failure("interrupted") from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        if _within_a_body(error):
            raise Failure("interrupted") from error
        raise Failure("unreachable", disclosable(str(error), texts)) from error
    except urllib3.exceptions.HTTPError as error:  # from the body of a stream, which botocore hands over as it is
        raise Failure("interrupted") from error
    except (parsers.ResponseParserError, ValueError, LookupError):
        # The latter two are what botocore's parsers come across.
        raise Failure("malformed") from None
    except exceptions.BotoCoreError as error:
        # What is left comes from the configuration: a profile that is missing, credentials that cannot be fetched.
        raise Failure("unauthenticated", disclosable(str(error), texts)) from error


def refusal(
    code: str, message: str, *, status: int = 400, texts: Iterable[str] = (), retry_after: str | None = None
) -> Failure:
    """What Amazon's own error means; `retry_after` as in the header, of which a date is not worth reading."""
    plain = code.rpartition("#")[2].lower().removesuffix("exception")
    kind = _KINDS.get(plain, plain)
    # A signature that does not match is explained with all headers that were signed, the session token too.
    secret = kind == "unauthenticated"
    return Failure(
        kind,
        f"Amazon refused the credentials: {code}" if secret else disclosable(message, texts),
        code=code,
        message=message,
        status=status,
        retry_after=float(retry_after) if retry_after and re.fullmatch(r"\d+(\.\d+)?", retry_after) else None,
    )


def _refused(response: dict[str, Any], texts: Iterable[str]) -> Failure:
    said = response.get("Error", {})
    metadata = response.get("ResponseMetadata", {})
    return refusal(
        str(said.get("Code", "")),
        str(said.get("Message", "")),
        status=metadata.get("HTTPStatusCode", 500),
        texts=texts,
        retry_after=metadata.get("HTTPHeaders", {}).get("retry-after"),
    )


def _within_a_body(error: Any) -> bool:
    """Whether a connection was closed so: only within a body is the length known that is missing."""
    closed = error.kwargs.get("error")
    cause = closed.args[-1] if isinstance(closed, Exception) and closed.args else closed
    return isinstance(cause, IncompleteRead)
