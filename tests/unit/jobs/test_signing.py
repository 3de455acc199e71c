"""Signatures, checked by the independent `standardwebhooks` package."""

import base64
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from jobs import errors, signing

SECRET = "whsec_xBbKHvgpQhVbA5PsqoOvSQxgwRBBTTk/L/Bwbvxtrew="


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature with one secret."""
    return signing.Signer([signing.secret_bytes(secret)]).signature(message_id, timestamp, body)


def _headers(secret: str, message_id: str, body: bytes) -> dict[str, str]:
    at = int(time.time())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": signature(secret, message_id, at, body),
    }


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20) | st.integers(), max_size=4))
def test_an_independent_implementation_verifies(data: dict[str, object]) -> None:
    body = repr(data).encode("utf-8", "replace")
    Webhook(SECRET).verify(body, _headers(SECRET, "msg_1", body), json_parse=False)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=50), st.integers(0, 2**33))
def test_it_is_what_an_independent_implementation_signs(text: str, timestamp: int) -> None:
    theirs = Webhook(SECRET).sign("msg_2", datetime.fromtimestamp(timestamp, UTC), text)
    assert signature(SECRET, "msg_2", timestamp, text.encode()) == theirs


@pytest.mark.parametrize("what", ["body", "id", "secret", "timestamp"])
def test_whatever_is_changed_breaks_it(what: str) -> None:
    body = '{"type":"job.succeeded","주문":4711}'.encode()
    headers = _headers(signing.new_secret() if what == "secret" else SECRET, "msg_3", body)
    if what == "id":
        headers["webhook-id"] = "msg_4"
    if what == "timestamp":
        headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) - 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" " if what == "body" else body, headers)


def test_new_secrets_are_usable_and_differ() -> None:
    secrets = {signing.new_secret() for _ in range(20)}
    assert len(secrets) == 20
    assert {len(signing.secret_bytes(secret)) for secret in secrets} == {32}


@pytest.mark.parametrize("size", [24, 64])
def test_secrets_of_24_to_64_bytes_are_taken(size: int) -> None:
    key = bytes(range(size))
    assert signing.secret_bytes("whsec_" + base64.b64encode(key).decode()) == key


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        "WHSEC_" + SECRET.removeprefix("whsec_"),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        SECRET[:-1] + "!",
        SECRET + "\n",
        "whsec_not base64 at all, not at all",
        "whsec_비밀비밀비밀비밀비밀비밀비밀비밀",
        "whsec_whsec_" + base64.b64encode(bytes(32)).decode(),
    ],
)
def test_what_is_no_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="RINGBACK_WEBHOOK_SECRET") as raised:
        signing.secret_bytes(secret)
    tail = secret.removeprefix("whsec_")
    assert not tail or tail not in raised.value.detail
