"""Fetching images that a caller names: only from where callers may send us, only images, and never without an end."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from jobs.addresses import AddressPolicy
from jobs.settings import Settings
from prompts.image import SIZE_LIMIT
from prompts.turn import ImageUrl
from tests.gallery import JPEG, PNG, Gallery
from workers.images import TOGETHER_LIMIT, Images, ImageUnavailable


@pytest.fixture
def gallery() -> Iterator[Gallery]:
    with Gallery() as gallery:
        yield gallery


@pytest.fixture
async def images() -> AsyncIterator[Images]:
    """A fetcher that may fetch from one private address."""
    images = Images(AddressPolicy.of(Settings(callback_allow=("127.0.0.1",))))
    yield images
    await images.aclose()


@pytest.fixture
async def hurried() -> AsyncIterator[Images]:
    """One that has a second for each image."""
    images = Images(AddressPolicy.of(Settings(callback_allow=("127.0.0.1",))), fetch_s=1.0)
    yield images
    await images.aclose()


def named(*urls: str) -> list[ImageUrl]:
    return [ImageUrl(url, f"#/input/messages/0/content/{index}/url") for index, url in enumerate(urls)]


async def failure(images: Images, *urls: str) -> ImageUnavailable:
    """Why these images cannot be had."""
    async with asyncio.timeout(10):
        with pytest.raises(ImageUnavailable) as caught:
            await images.fetch(named(*urls))
    assert caught.value.code == "image_unavailable"
    assert "SECRET" not in caught.value.detail
    return caught.value


async def test_images_are_fetched_at_once_and_each_only_once(images: Images, gallery: Gallery) -> None:
    urls = [f"{gallery.url}/together/3?{n}" for n in range(3)]
    assert await images.fetch(named(*urls, urls[0])) == dict.fromkeys(urls, PNG)
    assert len(gallery.asked) == 3


async def test_what_an_image_is_shows_in_its_content(images: Images, gallery: Gallery) -> None:
    png, jpeg = f"{gallery.url}/png", f"{gallery.url}/jpeg?a=%2F&b=1"
    assert await images.fetch(named(png, jpeg)) == {png: PNG, jpeg: JPEG}
    assert gallery.headers[0].keys() >= {"user-agent", "accept"}
    assert not gallery.headers[0].keys() & {"authorization", "cookie", "referer"}


async def test_nothing_to_fetch_opens_nothing() -> None:
    images = Images(AddressPolicy())
    assert await images.fetch([]) == {}
    await images.aclose()


async def test_an_image_may_have_moved(images: Images, gallery: Gallery) -> None:
    url = f"{gallery.url}/hops/2"
    assert await images.fetch(named(url)) == {url: PNG}
    assert gallery.asked == ["/hops/2", "/hops/1", "/hops/0", "/png"]
    error = await failure(images, f"{gallery.url}/hops/3")
    assert (error.detail, error.retryable) == (
        "#/input/messages/0/content/0/url: leads on and on: over more than 3 redirects",
        False,
    )


@pytest.mark.parametrize(
    ("path", "why", "retryable"),
    [
        ("status/404", "its host answered 404", False),
        ("status/403", "its host answered 403", False),
        ("status/429", "its host answered 429", True),
        ("status/500", "its host answered 500", True),
        ("status/503", "its host answered 503", True),
        ("status/204", "its host answered 204", False),
        ("status/304", "its host answered 304", False),
        ("html", "what is there is no PNG, JPEG, GIF or WebP image", False),
        ("empty", "what is there is no PNG, JPEG, GIF or WebP image", False),
        (f"large/{SIZE_LIMIT + 1}", "is larger than 5242880 bytes", False),
        ("endless", "is larger than 5242880 bytes", False),
        ("half", "could not be fetched (ClientPayloadError)", True),
        ("to?url=file:///etc/passwd", "leads to where nothing may be fetched", False),
        ("to?url=http://user:SECRET@127.0.0.1/", "leads to where nothing may be fetched", False),
        ("to?url=http://SECRET.invalid/", "could not be fetched (ClientConnectorDNSError)", True),
        ("to?url=http://[SECRET/", "could not be fetched (ValueError)", False),
    ],
)
async def test_bad_hosts(images: Images, gallery: Gallery, path: str, why: str, retryable: bool) -> None:
    error = await failure(images, f"{gallery.url}/{path}")
    assert error.detail.startswith(f"#/input/messages/0/content/0/url: {why}")
    assert error.retryable is retryable


@pytest.mark.parametrize("path", ["drip", "silent"])
async def test_hosts_that_take_too_long(hurried: Images, gallery: Gallery, path: str) -> None:
    error = await failure(hurried, f"{gallery.url}/{path}")
    assert error.detail == "#/input/messages/0/content/0/url: was not there within 1 s"
    assert error.retryable


async def test_a_host_that_is_not_there(images: Images, gallery: Gallery) -> None:
    gallery.close()
    error = await failure(images, gallery.url)
    assert ("could not be fetched" in error.detail, error.retryable) == (True, True)
    error = await failure(images, "http://no-such-host.invalid/a.png")
    assert "could not be fetched" in error.detail
    assert "no-such-host" not in error.detail


@pytest.mark.parametrize(
    "private",
    [
        *("http://10.0.0.1/", "http://127.0.0.2:{port}/png", "http://2130706434:{port}/png", "http://[::1]:{port}/png"),
        *("http://169.254.169.254/latest/meta-data", "http://[::ffff:127.0.0.2]:{port}/png"),
    ],
)
async def test_nothing_private_is_reached_directly_or_on_a_detour(
    images: Images, gallery: Gallery, private: str
) -> None:
    there = private.format(port=gallery.url.rpartition(":")[2])
    error = await failure(images, there)
    assert ("may not be fetched: the URL" in error.detail, error.retryable) == (True, False)
    for detour in (there, there.removeprefix("http:")):
        error = await failure(images, f"{gallery.url}/to?url={detour}")
        assert error.detail == "#/input/messages/0/content/0/url: leads to where nothing may be fetched"
        assert not error.retryable
    assert gallery.asked == ["/to", "/to"]


async def test_all_images_together_have_a_limit_too(images: Images, gallery: Gallery) -> None:
    count = TOGETHER_LIMIT // (4 * 1024 * 1024) + 1
    error = await failure(images, *(f"{gallery.url}/large/{4 * 1024 * 1024}?{n}" for n in range(count)))
    assert "all images of a job together may have 20971520 bytes" in error.detail


async def test_the_first_failure_ends_all_fetches(images: Images, gallery: Gallery) -> None:
    error = await failure(images, f"{gallery.url}/silent", f"{gallery.url}/status/404")
    assert error.detail == "#/input/messages/0/content/1/url: its host answered 404"
    await gallery.wait_until(lambda: gallery.open == 0, what="the other request is given up")


async def test_a_job_that_is_cancelled_stops_fetching(images: Images, gallery: Gallery) -> None:
    fetching = asyncio.create_task(images.fetch(named(f"{gallery.url}/silent")))
    await gallery.wait_until(lambda: gallery.open == 1)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    await gallery.wait_until(lambda: gallery.open == 0)
