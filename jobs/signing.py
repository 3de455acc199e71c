"""Signatures of callbacks after Standard Webhooks 1.0: `v1` with HMAC-SHA256, `v1a` with Ed25519.

Both sign `id.timestamp.body`.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs import errors

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PREFIX = "whsec_"
KEY_PREFIX = "whsk_"
PUBLIC_PREFIX = "whpk_"
_SEED_BYTES = 32


def new_secret() -> str:
    """A new signing secret: 32 random bytes, spelled `whsec_` and base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def new_signing_key() -> str:
    """A new Ed25519 key: 32 random bytes, spelled `whsk_` and base64."""
    return KEY_PREFIX + base64.b64encode(secrets.token_bytes(_SEED_BYTES)).decode()


def public_key(signing_key: str) -> str:
    """What receivers verify `v1a` signatures with: `whpk_` and base64. Raises `errors.ConfigurationError`."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = _ed25519(signing_key_bytes(signing_key)).public_key()
    return PUBLIC_PREFIX + base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def secret_bytes(secret: str, setting: str = "RINGBACK_WEBHOOK_SECRET") -> bytes:
    """The key that `secret` spells, which `setting` holds.

    Raises `errors.ConfigurationError`, without showing it, if it is none.
    """
    key = _decoded(secret, PREFIX)
    if not 24 <= len(key) <= 64:
        raise errors.ConfigurationError(f"{setting}: must be {PREFIX} followed by base64 of 24 to 64 bytes")
    return key


def signing_key_bytes(signing_key: str, setting: str = "signing_key") -> bytes:
    """The seed of the Ed25519 key that `signing_key` spells. Raises as `secret_bytes` does."""
    seed = _decoded(signing_key, KEY_PREFIX)
    if len(seed) != _SEED_BYTES:
        raise errors.ConfigurationError(f"{setting}: must be {KEY_PREFIX} followed by base64 of {_SEED_BYTES} bytes")
    return seed


class Signer:
    """Signs the callbacks to one destination."""

    def __init__(self, secret_keys: Sequence[bytes], seed: bytes | None = None) -> None:
        """`secret_keys`: several while a secret rotates; `seed`: of an Ed25519 key, where `v1a` is wanted too."""
        self._secret_keys = tuple(secret_keys)
        self._ed25519 = None if seed is None else _ed25519(seed)

    def signature(self, message_id: str, timestamp: int, body: bytes) -> str:
        """The `webhook-signature` header: one signature for each key, separated by spaces.

        `timestamp` is Unix time of the attempt in seconds, as in `webhook-timestamp`.
        """
        signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
        made = [("v1", hmac.digest(key, signed, hashlib.sha256)) for key in self._secret_keys]
        if self._ed25519 is not None:
            made.append(("v1a", self._ed25519.sign(signed)))
        return " ".join(f"{version},{base64.b64encode(digest).decode()}" for version, digest in made)


def _ed25519(seed: bytes) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)


def _decoded(spelled: str, prefix: str) -> bytes:
    """The bytes that `prefix` and base64 spell; none if they are not spelled so."""
    if not spelled.startswith(prefix):
        return b""
    try:
        return base64.b64decode(spelled.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError):
        return b""
