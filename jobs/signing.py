"""Signatures of callbacks after Standard Webhooks 1.0: `v1`, HMAC-SHA256 over `id.timestamp.body`."""

import base64
import binascii
import hashlib
import hmac
import secrets

from jobs import errors

PREFIX = "whsec_"


def new_secret() -> str:
    """A new signing secret: 32 random bytes, spelled `whsec_` and base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def secret_bytes(secret: str) -> bytes:
    """The key that `secret` spells. Raises `errors.ConfigurationError`, without showing it, if it is none."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise errors.ConfigurationError("RINGBACK_WEBHOOK_SECRET: must be whsec_ followed by base64 of 24 to 64 bytes")
    return key


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` header; `timestamp` is Unix time of the attempt in seconds, as in `webhook-timestamp`."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
