"""The address of a stream, signed: SigV4 in the query, as a WebSocket has no body and browsers set no headers."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from speech import errors
from speech.amazon.client import session
from speech.amazon.errors import NO_CREDENTIALS, NO_REGION, translated

_PATH = "/stream-transcription-websocket"
_PORT = 8443
_VALID_S = 300


class Endpoint:
    """Where streams are opened."""

    def __init__(self, url: str, *, provider: str) -> None:
        """`url` is `wss://host:port` or `ws://host:port`; empty: the one of the region that boto3 finds."""
        self._url, self._provider = url.rstrip("/"), provider
        self._session: Any = None

    async def presigned(self, query: Mapping[str, str]) -> str:
        """The URL of a stream with that query, valid for five minutes.

        Fetching credentials may take a while, so it is done in a thread. Raises `errors.AuthenticationFailed` and
        `errors.BadRequest`.
        """
        return await asyncio.to_thread(self._presigned, query)

    def _presigned(self, query: Mapping[str, str]) -> str:
        from botocore.auth import SigV4QueryAuth
        from botocore.awsrequest import AWSRequest

        with translated(self._provider):
            self._session = self._session or session()
            credentials = self._session.get_credentials()
            frozen = credentials.get_frozen_credentials() if credentials is not None else None
        region = self._session.region_name
        if frozen is None:
            raise errors.AuthenticationFailed(NO_CREDENTIALS, provider=self._provider)
        if not region:
            raise errors.BadRequest(NO_REGION, provider=self._provider)
        domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        base = urlsplit(self._url or f"wss://transcribestreaming.{region}.{domain}:{_PORT}")
        request = AWSRequest("GET", f"https://{base.netloc}{_PATH}?{urlencode(query)}")
        SigV4QueryAuth(frozen, "transcribe", region, expires=_VALID_S).add_auth(request)
        return f"{base.scheme}://{request.url.partition('://')[2]}"
