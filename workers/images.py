"""Images that a job names by URL: fetched before the model is asked, from where callers may have us go only."""

import asyncio
from collections.abc import Iterable

from jobs.addresses import AddressPolicy
from prompts import image
from prompts.turn import ImageUrl
from workers.fetching import Fetcher, Unavailable

FETCH_S = 10.0
"""Seconds for one image, redirects included."""
TOGETHER_LIMIT = 20 * 1024 * 1024
"""Bytes of all images that one job may have fetched: they are in memory until it is answered."""
_ACCEPT = ", ".join(image.MEDIA_TYPES)


class ImageUnavailable(Unavailable):
    """An image of the input could not be had."""

    code = "image_unavailable"


class Images:
    """Fetches images. One per process."""

    def __init__(self, policy: AddressPolicy, *, fetch_s: float = FETCH_S) -> None:
        """`policy` decides where images may come from."""
        self._fetcher = Fetcher(policy, fetch_s=fetch_s, failure=ImageUnavailable)

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
        content = await self._fetcher.fetch(
            named.url, named.pointer, accept=_ACCEPT, limit=image.SIZE_LIMIT, taken=budget.take
        )
        if image.media_type_of(content) is None:
            raise ImageUnavailable(f"{named.pointer}: what is there is no PNG, JPEG, GIF or WebP image")
        return content

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._fetcher.aclose()


class _Budget:
    """How much may still be fetched for one job."""

    def __init__(self) -> None:
        self._left = TOGETHER_LIMIT

    def take(self, size: int) -> None:
        """Raises `ImageUnavailable` when there is not so much left, in bytes."""
        self._left -= size
        if self._left < 0:
            raise ImageUnavailable(f"is too much: all images of a job together may have {TOGETHER_LIMIT} bytes")
