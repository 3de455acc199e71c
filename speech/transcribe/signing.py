"""The address of a stream, signed: SigV4 in the query, as a WebSocket has no body and browsers set no headers."""

from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from amazon.identity import Identity
from speech.amazon.errors import translated

_PATH = "/stream-transcription-websocket"
_PORT = 8443
_VALID_S = 300


class Endpoint:
    """Where streams are opened."""

    def __init__(self, url: str, *, provider: str) -> None:
        """`url` is `wss://host:port` or `ws://host:port`; empty: the one of the region that boto3 finds."""
        self._url, self._provider = url.rstrip("/"), provider
        self._identity = Identity()

    async def presigned(self, query: Mapping[str, str]) -> str:
        """The URL of a stream with that query, valid for five minutes.

        Raises `errors.AuthenticationFailed` and `errors.BadRequest`.
        """
        from botocore.auth import SigV4QueryAuth
        from botocore.awsrequest import AWSRequest

        with translated(self._provider):
            credentials, region = await self._identity.frozen()
        domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        base = urlsplit(self._url or f"wss://transcribestreaming.{region}.{domain}:{_PORT}")
        request = AWSRequest("GET", f"https://{base.netloc}{_PATH}?{urlencode(query)}")
        SigV4QueryAuth(credentials, "transcribe", region, expires=_VALID_S).add_auth(request)
        return f"{base.scheme}://{request.url.partition('://')[2]}"
