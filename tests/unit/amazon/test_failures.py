"""What boto3 raises and what Amazon says, in words that are the same for every service."""

from http.client import IncompleteRead

import pytest
import urllib3.exceptions
from botocore import exceptions

from amazon.failures import Failure, refusal, told

ENDPOINT = "https://polly.ap-northeast-2.amazonaws.com/"


def raised(error: Exception, *texts: str) -> Failure:
    """The failure that this one of boto3 is."""
    with pytest.raises(Failure) as caught, told(texts):
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.NoRegionError(), "misconfigured"),
        (exceptions.NoCredentialsError(), "uncredentialed"),
        (exceptions.PartialCredentialsError(provider="env", cred_var="aws_secret_access_key"), "uncredentialed"),
        (exceptions.ProfileNotFound(profile="nobody"), "unauthenticated"),
        (exceptions.ParamValidationError(report="Text: secret"), "unfit"),
        (urllib3.exceptions.ReadTimeoutError(None, ENDPOINT, "Read timed out."), "silent"),  # type: ignore[arg-type]
        (exceptions.ReadTimeoutError(endpoint_url=ENDPOINT), "unreachable"),
        (exceptions.ConnectTimeoutError(endpoint_url=ENDPOINT), "unreachable"),
        (exceptions.EndpointConnectionError(endpoint_url=ENDPOINT), "unreachable"),
        (exceptions.ConnectionClosedError(endpoint_url=ENDPOINT, error=OSError("reset")), "unreachable"),
        (exceptions.ConnectionClosedError(endpoint_url=ENDPOINT, error=OSError(IncompleteRead(b"{"))), "interrupted"),
        (exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2), "interrupted"),
        (exceptions.ResponseStreamingError(error=OSError("reset")), "interrupted"),
        (ValueError("no number"), "malformed"),
        (KeyError("AudioStream"), "malformed"),
    ],
)
def test_what_boto3_raises(error: Exception, kind: str) -> None:
    failure = raised(error)
    assert failure.kind == kind
    assert "secret" not in (failure.detail or "").replace("aws_secret_access_key", "")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ThrottlingException", "throttled"),
        ("throttlingException", "throttled"),
        ("SlowDown", "throttled"),
        ("ServiceUnavailable", "overloaded"),
        ("com.amazonaws.polly#ServiceFailureException", "unavailable"),
        ("AccessDenied", "denied"),
        ("TextLengthExceededException", "textlengthexceeded"),
        ("", ""),
    ],
)
def test_what_amazon_says(code: str, kind: str) -> None:
    failure = refusal(code, "Why it is so.", status=400, retry_after="1.5")
    assert (failure.kind, failure.code, failure.detail) == (kind, code, "Why it is so.")
    assert (failure.status, failure.retry_after) == (400, 1.5)


def test_a_refusal_of_credentials_repeats_no_signature() -> None:
    failure = refusal(
        "SignatureDoesNotMatch", "The Canonical String should have been x-amz-security-token:IQoJ", status=403
    )
    assert failure.detail == "Amazon refused the credentials: SignatureDoesNotMatch"


@pytest.mark.parametrize("text", ["my password is swordfish", "swordfish"])
def test_what_was_sent_is_not_repeated(text: str) -> None:
    response = {"Error": {"Code": "ValidationException", "Message": f"{text!r} is not valid"}}
    assert raised(exceptions.ClientError(response, "SynthesizeSpeech"), "more", text).detail is None


def test_a_failure_and_what_is_none_of_amazons_pass() -> None:
    mine = Failure("misconfigured", "so it is")
    assert raised(mine) is mine
    with pytest.raises(ZeroDivisionError), told():
        raise ZeroDivisionError
