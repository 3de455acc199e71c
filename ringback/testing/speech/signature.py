"""Signature Version 4 in a URL, checked as Amazon checks it: a stream whose signature is wrong is not opened.

Source: docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

import hashlib
import hmac
from urllib.parse import parse_qsl, quote


def problem(method: str, path: str, query: str, host: str, secret: str) -> str | None:
    """What is wrong with a presigned request; `None` if nothing is."""
    given = parse_qsl(query, keep_blank_values=True)
    fields = dict(given)
    for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"):
        if not fields.get(f"X-Amz-{name}"):
            return f"X-Amz-{name} is missing"
    if fields["X-Amz-SignedHeaders"] != "host":
        return "only the host can be signed in a URL that a browser opens"
    if not 1 <= int(fields["X-Amz-Expires"]) <= 300:
        return "X-Amz-Expires must be at most 300"
    encoded = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in given)
    canonical_query = "&".join(f"{name}={value}" for name, value in encoded if name != "X-Amz-Signature")
    payload = hashlib.sha256(b"").hexdigest()
    canonical = "\n".join((method, quote(path), canonical_query, f"host:{host}\n", "host", payload))
    scope = fields["X-Amz-Credential"].split("/")[1:]
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join((fields["X-Amz-Algorithm"], fields["X-Amz-Date"], "/".join(scope), digest))
    key = f"AWS4{secret}".encode()
    for part in (*scope, text):
        key = hmac.digest(key, part.encode(), "sha256")
    if not hmac.compare_digest(key.hex(), fields["X-Amz-Signature"]):
        return "The request signature we calculated does not match the signature you provided."
    return None
