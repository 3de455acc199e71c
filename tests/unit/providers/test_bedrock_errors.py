"""What Bedrock's refusals mean. That they arrive so from the wire is the contract suite's matter."""

import pytest
from botocore.exceptions import ClientError

from providers import errors
from providers.bedrock.errors import translated
from tests.unit.providers.asks import ask


def refused(status: int, code: str, message: str, **headers: str) -> errors.ProviderError:
    """Our error for this one of boto3."""
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": {n.replace("_", "-"): value for n, value in headers.items()}}
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}
    with pytest.raises(errors.ProviderError) as caught, translated(ask("m", "주문 4711-2222-3333은 언제 오나요?")):
        raise ClientError(response, "Converse")
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "message", "expected"),
    [
        (400, "ThrottlingException", "Rate exceeded", errors.RateLimited),
        (429, "TooManyRequestsException", "Too many requests", errors.RateLimited),
        (400, "ServiceQuotaExceededException", "Your request exceeds the quota.", errors.RateLimited),
        (429, "ModelNotReadyException", "The model is not ready.", errors.Overloaded),
        (424, "ModelErrorException", "The model failed.", errors.Unavailable),
        (400, "ValidationException", "The provided model identifier is invalid.", errors.ModelNotFound),
        (400, "ValidationException", "Malformed input request, please reformat.", errors.BadRequest),
        (400, "ValidationException", "prompt is too long: 210000 tokens > 200000 maximum", errors.ContextTooLong),
        (400, "ValidationException", "Input length and `max_tokens` exceed context limit: 9", errors.ContextTooLong),
        (400, "ValidationException", "maxTokens exceeds the model's limit of 4096.", errors.BadRequest),
        (400, "ValidationException", "Output blocked by content filtering policy", errors.ContentFiltered),
        (403, "AccessDeniedException", "User is not authorized to perform this.", errors.PermissionDenied),
        (403, "ExpiredTokenException", "The token is expired.", errors.AuthenticationFailed),
        (403, "InvalidSignatureException", "Signature expired: 2026…", errors.AuthenticationFailed),
        (400, "IncompleteSignature", "Authorization header requires …", errors.AuthenticationFailed),
        (418, "BrandNewException", "Something else.", errors.BadRequest),
        (502, "BrandNewException", "Something else.", errors.Unavailable),
    ],
)
def test_class(status: int, code: str, message: str, expected: type[errors.ProviderError]) -> None:
    assert type(refused(status, code, message)) is expected


@pytest.mark.parametrize(
    ("header", "seconds"), [("4", 4.0), ("1.5", 1.5), ("Sat, 21 Nov 2026 22:00:00 GMT", None), ("-1", None)]
)
def test_a_wait_is_passed_on(header: str, seconds: float | None) -> None:
    assert refused(429, "ThrottlingException", "Too many requests", retry_after=header).retry_after == seconds


def test_signed_headers_are_not_repeated() -> None:
    error = refused(
        403,
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. The Canonical String for this "
        "request should have been 'POST\n/model/x/converse\n\nx-amz-security-token:IQoJb3JpZ2luX2VjEJr-secret\n'",
    )

    assert "InvalidSignatureException" in str(error)
    assert "secret" not in str(error)


def test_the_request_is_not_repeated() -> None:
    error = refused(400, "ValidationException", "messages.0 is not valid: 주문 4711-2222-3333은 언제")

    assert "4711-2222-3333" not in str(error)
