"""The address of a stream, signed: SigV4 in the query, as a WebSocket has no body and browsers set no headers."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from amazon import failures
from amazon.clients import session
from speech.amazon.errors import translated

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
            if credentials is None:
                raise failures.Failure("uncredentialed", failures.NO_CREDENTIALS)
            frozen = credentials.get_frozen_credentials()
            if not (region := self._session.region_name):
                raise failures.Failure("misconfigured", failures.NO_REGION)
        domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        base = urlsplit(self._url or f"wss://transcribestreaming.{region}.{domain}:{_PORT}")
        request = AWSRequest("GET", f"https://{base.netloc}{_PATH}?{urlencode(query)}")
        SigV4QueryAuth(frozen, "transcribe", region, expires=_VALID_S).add_auth(request)
        return f"{base.scheme}://{request.url.partition('://')[2]}"
