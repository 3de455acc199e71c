"""The anthropic SDK's errors, by type, by Bedrock's header, and in mid-stream, where the status says 200."""

from typing import Any

import anthropic
import httpx2
import pytest

from providers import errors
from providers.anthropic.client import AnthropicService
from providers.anthropic.errors import from_status_error
from providers.service import Ask, Message, Text
from ringback.testing.vendors.server import VendorServer

ASK = Ask(model="claude", messages=(Message(role="user", parts=(Text("비밀번호는 hunter2-hunter2입니다"),)),))


def status_error(status: int, body: Any, headers: dict[str, str] | None = None) -> anthropic.APIStatusError:
    """The SDK's error for such a response."""
    response = httpx2.Response(status, headers=headers, request=httpx2.Request("POST", "http://x"))
    return anthropic.APIStatusError("whole body", response=response, body=body)


def reported(kind: str, message: str = "why") -> dict[str, Any]:
    """Anthropic's own error body."""
    return {"type": "error", "error": {"type": kind, "message": message}}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (status_error(200, reported("overloaded_error")), errors.Overloaded),
        (status_error(200, reported("rate_limit_error")), errors.RateLimited),
        (status_error(200, reported("api_error")), errors.Unavailable),
        (status_error(200, reported("timeout_error")), errors.TimedOut),
        (status_error(200, reported("invented_error")), errors.Unavailable),
        (status_error(200, "no json"), errors.Unavailable),
        (status_error(200, reported("throttlingException")), errors.RateLimited),
        (status_error(200, reported("modelStreamErrorException")), errors.Unavailable),
        (status_error(200, reported("modelTimeoutException")), errors.TimedOut),
        (status_error(400, reported("invalid_request_error", "prompt is too long: 9 > 8")), errors.ContextTooLong),
        (status_error(413, reported("request_too_large")), errors.ContextTooLong),
        (status_error(402, reported("billing_error")), errors.RateLimited),
        (status_error(418, "<html>"), errors.BadRequest),
        (status_error(502, "<html>"), errors.Unavailable),
        (status_error(529, None), errors.Overloaded),
        (status_error(424, {"message": "x"}, {"x-amzn-errortype": "ModelErrorException"}), errors.Unavailable),
        (status_error(403, {}, {"x-amzn-errortype": "ExpiredTokenException:http://x"}), errors.AuthenticationFailed),
        (status_error(403, {"message": "no"}, {"x-amzn-errortype": "AccessDeniedException"}), errors.PermissionDenied),
        (status_error(429, {"message": "no"}, {"x-amzn-errortype": "ModelNotReadyException"}), errors.Overloaded),
    ],
)
def test_each_means_one_of_ours(error: anthropic.APIStatusError, expected: type[errors.ProviderError]) -> None:
    assert type(from_status_error(error, ASK, "key")) is expected


def test_the_vendor_s_reason_is_told_but_not_the_prompt_nor_the_key() -> None:
    told = from_status_error(status_error(529, reported("overloaded_error", "Too busy.")), ASK, "sk-1234567")
    assert told.detail == "Too busy."
    for quoting in ("비밀번호는 hunter2-hunter2입니다: no", "invalid x-api-key: sk-1234567"):
        told = from_status_error(status_error(400, reported("invalid_request_error", quoting)), ASK, "sk-1234567")
        assert told.detail == errors.BadRequest.__doc__


@pytest.mark.parametrize(
    ("model", "unset", "detail"),
    [
        ("claude-opus-5-5", ("ANTHROPIC_API_KEY",), "ANTHROPIC_API_KEY"),
        ("bedrock/anthropic.claude-haiku-4-5-v1:0", ("AWS_REGION",), "region"),
        ("bedrock/anthropic.claude-haiku-4-5-v1:0", ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "credentials"),
    ],
)
async def test_missing_credentials_are_told(
    model: str, unset: tuple[str, ...], detail: str, vendor_server: VendorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in vendor_server.environment().items():
        monkeypatch.setenv(name, value)
    for name in (*unset, "ANTHROPIC_AUTH_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "ANTHROPIC_CONFIG_DIR"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    service = AnthropicService()

    with pytest.raises(errors.AuthenticationFailed, match=detail):
        await service.generate(Ask(model=model, messages=ASK.messages))

    assert vendor_server.received == []
    await service.aclose()
