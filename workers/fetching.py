"""Fetching what a job names by URL, from where callers may have us go only."""

import asyncio
from collections.abc import Callable

import aiohttp
from yarl import URL

from jobs import errors
from jobs.addresses import AddressPolicy
from workers.destinations.guard import AddressRefused, guarded_session, refusal

REDIRECTS_LIMIT = 3
_PASSING = frozenset({408, 425, 429})
"""Refusals below 500 that time may heal."""


class Unavailable(errors.JobFailure):
    """Something that the input names by URL could not be had."""

    code = "url_unavailable"

    def __init__(self, detail: str, *, retryable: bool = False) -> None:
        """`detail` says what and why, and nothing of what its host has sent."""
        super().__init__(detail)
        self.retryable = retryable


class Fetcher:
    """Fetches files. It holds no connection before the first one is needed."""

    def __init__(self, policy: AddressPolicy, *, fetch_s: float, failure: type[Unavailable]) -> None:
        """`policy` decides where they may come from; each has `fetch_s` seconds, redirects included, or is a
        `failure`."""
        self._policy = policy
        self._fetch_s = fetch_s
        self._failure = failure
        self._session: aiohttp.ClientSession | None = None

    async def fetch(
        self, url: str, pointer: str, *, accept: str, limit: int, taken: Callable[[int], None] = lambda _: None
    ) -> bytes:
        """What is at `url`, which stands in the request at `pointer`: at most `limit` bytes.

        `taken` is told of every chunk's size as it comes, and may raise. Raises the `failure`.
        """
        way = [url]
        try:
            async with asyncio.timeout(self._fetch_s):
                return await self._read(way, accept, limit, taken)
        except Unavailable as failure:
            raise self._failure(f"{pointer}: {failure.detail}", retryable=failure.retryable) from None
        except TimeoutError:
            why = f"was not there within {self._fetch_s:g} s"
            raise self._failure(f"{pointer}: {why}", retryable=True) from None
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            if refused := refusal(failure):
                # Where its host led us is that host's word, which is not repeated.
                why = f"may not be fetched: {refused}" if len(way) == 1 else "leads to where nothing may be fetched"
                raise self._failure(f"{pointer}: {why}") from None
            why = f"could not be fetched ({type(failure).__name__})"
            raise self._failure(f"{pointer}: {why}", retryable=not isinstance(failure, ValueError)) from None

    async def _read(self, way: list[str], accept: str, limit: int, taken: Callable[[int], None]) -> bytes:
        """What is at the one address in `way`, or where that leads to; `way` then has every address gone to."""
        if self._session is None:
            self._session = guarded_session(self._policy, total_s=self._fetch_s)
        headers = {"user-agent": "Ringback", "accept": accept, "accept-encoding": "identity"}
        while len(way) <= REDIRECTS_LIMIT + 1:
            url = URL(way[-1])
            # Also as the client reads it: no two readers of URLs agree.
            if objection := self._policy.objection(way[-1]) or self._policy.objection(str(url)):
                raise AddressRefused(f"the URL {objection}")
            async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                if 300 <= response.status < 400 and (to := response.headers.get("Location")):
                    way.append(str(url.join(URL(to))))
                    continue
                return await _content(response, limit, taken)
        raise Unavailable(f"leads on and on: over more than {REDIRECTS_LIMIT} redirects")

    async def aclose(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()


async def _content(response: aiohttp.ClientResponse, limit: int, taken: Callable[[int], None]) -> bytes:
    status = response.status
    if status != 200:
        raise Unavailable(f"its host answered {status}", retryable=status >= 500 or status in _PASSING)
    too_large = Unavailable(f"is larger than {limit} bytes")
    if (response.content_length or 0) > limit:
        raise too_large
    content = bytearray()
    async for chunk in response.content.iter_any():
        taken(len(chunk))
        content += chunk
        if len(content) > limit:
            raise too_large
    return bytes(content)
