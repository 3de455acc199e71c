"""Images that a job names by URL: fetched before the model is asked, from where callers may have us go only."""

import asyncio
from collections.abc import Iterable

import aiohttp
from yarl import URL

from jobs import errors
from jobs.addresses import AddressPolicy
from prompts import image
from prompts.turn import ImageUrl
from workers.destinations.guard import AddressRefused, guarded_session, refusal

FETCH_S = 10.0
"""Seconds for one image, redirects included."""
TOGETHER_LIMIT = 20 * 1024 * 1024
"""Bytes of all images that one job may have fetched: they are in memory until it is answered."""
REDIRECTS_LIMIT = 3
_HEADERS = {"user-agent": "Ringback", "accept": ", ".join(image.MEDIA_TYPES), "accept-encoding": "identity"}
_PASSING = frozenset({408, 425, 429})
"""Refusals below 500 that time may heal."""


class ImageUnavailable(errors.JobFailure):
    """An image of the input could not be had."""

    code = "image_unavailable"

    def __init__(self, detail: str, *, retryable: bool = False) -> None:
        """`detail` says which image and why, and nothing of what its host has sent."""
        super().__init__(detail)
        self.retryable = retryable


class Images:
    """Fetches images. One per process; it holds no connection before the first one is needed."""

    def __init__(self, policy: AddressPolicy, *, fetch_s: float = FETCH_S) -> None:
        """`policy` decides where images may come from."""
        self._policy = policy
        self._fetch_s = fetch_s
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, named: Iterable[ImageUrl]) -> dict[str, bytes]:
        """The images by URL, all fetched at once and each only once. Raises `ImageUnavailable` as soon as one fails."""
        wanted = {one.url: one for one in reversed(tuple(named))}
        if not wanted:
            return {}
        budget = _Budget()
        try:
            async with asyncio.TaskGroup() as group:
                fetches = {url: group.create_task(self._fetch(one, budget)) for url, one in wanted.items()}
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return {url: fetched.result() for url, fetched in fetches.items()}

    async def _fetch(self, named: ImageUrl, budget: "_Budget") -> bytes:
        way = [named.url]
        try:
            async with asyncio.timeout(self._fetch_s):
                content = await self._read(way, budget)
        except ImageUnavailable as failure:
            raise ImageUnavailable(f"{named.pointer}: {failure.detail}", retryable=failure.retryable) from None
        except TimeoutError:
            why = f"was not there within {self._fetch_s:g} s"
            raise ImageUnavailable(f"{named.pointer}: {why}", retryable=True) from None
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            if refused := refusal(failure):
                # Where its host led us is that host's word, which is not repeated.
                why = f"may not be fetched: {refused}" if len(way) == 1 else "leads to where nothing may be fetched"
                raise ImageUnavailable(f"{named.pointer}: {why}") from None
            why = f"could not be fetched ({type(failure).__name__})"
            raise ImageUnavailable(f"{named.pointer}: {why}", retryable=not isinstance(failure, ValueError)) from None
        if image.media_type_of(content) is None:
            raise ImageUnavailable(f"{named.pointer}: what is there is no PNG, JPEG, GIF or WebP image")
        return content

    async def _read(self, way: list[str], budget: "_Budget") -> bytes:
        """What is at the one address in `way`, or where that leads to; `way` then has every address gone to."""
        if self._session is None:
            self._session = guarded_session(self._policy, total_s=self._fetch_s)
        while len(way) <= REDIRECTS_LIMIT + 1:
            url = URL(way[-1])
            # Also as the client reads it: no two readers of URLs agree.
            if objection := self._policy.objection(way[-1]) or self._policy.objection(str(url)):
                raise AddressRefused(f"the URL {objection}")
            async with self._session.get(url, headers=_HEADERS, allow_redirects=False) as response:
                if 300 <= response.status < 400 and (to := response.headers.get("Location")):
                    way.append(str(url.join(URL(to))))
                    continue
                return await _content(response, budget)
        raise ImageUnavailable(f"leads on and on: over more than {REDIRECTS_LIMIT} redirects")

    async def aclose(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()


class _Budget:
    """How much may still be fetched for one job."""

    def __init__(self) -> None:
        self._left = TOGETHER_LIMIT

    def take(self, size: int) -> None:
        """Raises `ImageUnavailable` when there is not so much left, in bytes."""
        self._left -= size
        if self._left < 0:
            raise ImageUnavailable(f"is too much: all images of a job together may have {TOGETHER_LIMIT} bytes")


async def _content(response: aiohttp.ClientResponse, budget: _Budget) -> bytes:
    status = response.status
    if status != 200:
        raise ImageUnavailable(f"its host answered {status}", retryable=status >= 500 or status in _PASSING)
    too_large = ImageUnavailable(f"is larger than {image.SIZE_LIMIT} bytes")
    if (response.content_length or 0) > image.SIZE_LIMIT:
        raise too_large
    content = bytearray()
    async for chunk in response.content.iter_any():
        budget.take(len(chunk))
        content += chunk
        if len(content) > image.SIZE_LIMIT:
            raise too_large
    return bytes(content)
