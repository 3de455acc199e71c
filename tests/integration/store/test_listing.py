"""Lists of jobs: what matches and nothing else, newest first, every job once, a page at a time."""

import itertools
import random
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from jobs import errors, ids
from jobs.job import JobError
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.jobs import INDEXED_METADATA, JobStore
from jobs.store.listing import PAGE_BYTES, Listing
from tests.integration.store.sample import accepted, claimed, ended, now_ms, running

START_MS = now_ms() - 60_000


async def walk(listing: Listing, **filters: Any) -> list[str]:
    """The ids on all pages, one after another."""
    found: list[str] = []
    cursor = None
    for _ in range(1000):
        page = await listing.page(cursor=cursor, **filters)
        found += [msgspec.json.decode(item)["id"] for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise AssertionError("a walk without end")


async def test_nothing_is_one_empty_page(listing: Listing) -> None:
    for filters in ({}, {"type": "x"}, {"status": "queued"}, {"session_id": "s"}, {"metadata": {"a": "b"}}):
        page = await listing.page(**filters)
        assert (page.items, page.next_cursor) == ([], None)


@pytest.mark.parametrize("limit", [1, 7, 50, 100, 1000])
async def test_a_walk_finds_every_job_once_newest_first_across_shards(
    store: JobStore, listing: Listing, limit: int
) -> None:
    order = random.Random(limit)
    made = [
        (await accepted(store, order.randrange(16), at_ms=START_MS + n // 3)).id
        for n in range(40 if limit == 1 else 250)
    ]
    assert await walk(listing, limit=limit) == sorted(made, reverse=True)


async def test_pages_are_full_and_jobs_made_during_a_walk_do_not_disturb_it(store: JobStore, listing: Listing) -> None:
    made = [(await accepted(store, n % 16, at_ms=START_MS + n)).id for n in range(20)]
    first = await listing.page(limit=8)
    assert len(first.items) == 8
    await accepted(store, 3)
    rest = await walk(listing, limit=8)
    assert len(rest) == 21
    second = await listing.page(limit=8, cursor=first.next_cursor)
    assert [msgspec.json.decode(item)["id"] for item in second.items] == sorted(made, reverse=True)[8:16]


async def test_items_are_whole_jobs_as_they_stand(store: JobStore, listing: Listing) -> None:
    queued, claim, over = await accepted(store, 1), await running(store, 2), await running(store, 3)
    await store.end(over.fence, ended(over, output={"text": "끝"}))
    page = await listing.page()
    for item in page.items:
        job = msgspec.json.decode(item)
        assert bytes(item) == await store.get(job["id"])
    by_id = {msgspec.json.decode(item)["id"]: msgspec.json.decode(item)["status"] for item in page.items}
    assert by_id == {queued.id: "queued", claim.spec.id: "running", over.spec.id: "succeeded"}


async def test_each_filter_and_all_of_them_together(store: JobStore, listing: Listing) -> None:
    made: dict[str, tuple[str, str, str | None, dict[str, Any]]] = {}
    for n, (job_type, session, ticket) in enumerate(
        itertools.product(("generate", "soften"), (None, "ses_1"), (1, "1", 2))
    ):
        metadata = {"ticket": ticket, "n": n}
        claim = await running(store, n % 16, type=job_type, session_id=session, metadata=metadata)
        status = "running" if n % 2 else "failed"
        if status == "failed":
            await store.end(claim.fence, ended(claim, "failed"))
        made[claim.spec.id] = (job_type, status, session, metadata)
    for wanted_type, wanted_status, session_id, ticket in itertools.product(
        (None, "generate", "summarize"), (None, "running", "failed", "queued"), (None, "ses_1"), (None, "1", "3")
    ):
        wanted: Mapping[str, str] = {"ticket": ticket} if ticket else {}
        expected = {
            job_id
            for job_id, (its_type, its_status, its_session, held) in made.items()
            if wanted_type in (None, its_type)
            and wanted_status in (None, its_status)
            and session_id in (None, its_session)
            and all(str(held[key]) == value for key, value in wanted.items())
        }
        found = await walk(
            listing, type=wanted_type, status=wanted_status, session_id=session_id, metadata=wanted, limit=3
        )
        assert set(found) == expected
        assert len(found) == len(expected)


@pytest.mark.parametrize(
    ("value", "query"),
    [
        ("김", "김"),
        ("", ""),
        (4711, "4711"),
        ("4711", "4711"),
        (True, "true"),
        (None, "null"),
        (0.5, "0.5"),
        (-0.0, "-0.0"),
        (2**70, str(2**70)),
        ("a=b:c {x} * [y]\n", "a=b:c {x} * [y]\n"),
        ("x" * 500, "x" * 500),
    ],
)
async def test_metadata_is_found_by_its_value(store: JobStore, listing: Listing, value: object, query: str) -> None:
    wanted = await accepted(store, metadata={"키": value, "other": 1})
    await accepted(store, metadata={"키": "else", "other": query})
    assert await walk(listing, metadata={"키": query}) == [wanted.id]
    assert await walk(listing, metadata={"키": query, "other": "1"}) == [wanted.id]
    assert await walk(listing, metadata={"키": query, "other": "2"}) == []
    assert await walk(listing, metadata={"missing": query}) == []


@pytest.mark.parametrize(
    ("value", "query"),
    [
        ({"a": 1}, '{"a":1}'),
        ([1], "[1]"),
        ({}, "x" * 600),
        ([], "y" * 600),
        ("x" * 600, "y" * 600),
        (1.0, "1"),
        ("True", "true"),
        ("a", "A"),
    ],
)
async def test_nothing_else_is_found(store: JobStore, listing: Listing, value: object, query: str) -> None:
    await accepted(store, metadata={"k": value})
    assert await walk(listing, metadata={"k": query}) == []


async def test_keys_and_values_are_not_mixed_up(store: JobStore, listing: Listing) -> None:
    one = await accepted(store, metadata={"a": "b=c"})
    two = await accepted(store, metadata={"a=b": "c"})
    assert await walk(listing, metadata={"a": "b=c"}) == [one.id]
    assert await walk(listing, metadata={"a=b": "c"}) == [two.id]


async def test_the_first_of_many_keys_are_searchable(store: JobStore, listing: Listing) -> None:
    made = await accepted(store, metadata={f"k{n}": n for n in range(200)})
    for n in range(INDEXED_METADATA):
        assert await walk(listing, metadata={f"k{n}": str(n)}) == [made.id]


async def test_what_passed_its_retention_is_skipped(store: JobStore, listing: Listing, connection: Connection) -> None:
    gone, kept = await accepted(store, 1), await accepted(store, 2)
    await connection.redis.unlink(keys.job(gone.id))
    assert await walk(listing) == [kept.id]


async def test_few_matches_among_very_many_are_found_over_several_pages(store: JobStore, listing: Listing) -> None:
    wanted = await accepted(store, at_ms=START_MS, metadata={"nested": 1}, session_id="s")
    for n in range(2050):
        await accepted(store, n % 16, at_ms=START_MS + 1 + n, session_id="s")
    page = await listing.page(session_id="s", type="generate", status="queued", limit=5000)
    assert len(page.items) == 2000
    assert page.next_cursor is not None
    empty = await listing.page(type="generate", status="running", session_id="s")
    assert empty.items == []
    assert empty.next_cursor is not None
    assert (await walk(listing, session_id="s", limit=500))[-1] == wanted.id


@pytest.mark.parametrize("cursor", ["", "x", "job_", "0", "dlv_" + "0" * 26, "job_" + "0" * 25, "[", "+", "-"])
async def test_a_cursor_that_is_none_is_refused(listing: Listing, cursor: str) -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        await listing.page(cursor=cursor)
    assert raised.value.errors[0].pointer == "query:cursor"


async def test_any_jobs_id_is_a_cursor(store: JobStore, listing: Listing) -> None:
    made = await accepted(store, at_ms=START_MS)
    for cursor, found in ((ids.new("job", 3), [made.id]), (made.id, []), (ids.new("job", 3, at_ms=0), [])):
        page = await listing.page(cursor=cursor)
        assert [msgspec.json.decode(item)["id"] for item in page.items] == found


async def test_a_job_that_moves_is_listed_under_its_new_status(store: JobStore, listing: Listing) -> None:
    spec = await accepted(store)
    assert await walk(listing, status="queued") == [spec.id]
    claim = await claimed(store, spec.id)
    assert await walk(listing, status="queued") == []
    assert await walk(listing, status="running") == [spec.id]
    await store.end(claim.fence, ended(claim, "cancelled"))
    assert await walk(listing, status="running") == []
    assert await walk(listing, status="cancelled") == [spec.id]


async def test_jobs_that_failed_are_found_by_their_errors_code(store: JobStore, listing: Listing) -> None:
    made = {}
    for code in ("attempts_exhausted", "attempts_exhausted", "output_invalid"):
        claim = await running(store)
        error = JobError(code=code, message="…", provider=None, retryable=False)
        await store.end(claim.fence, ended(claim, "failed", error=error))
        made[claim.spec.id] = code
    dead = [job_id for job_id, code in made.items() if code == "attempts_exhausted"]
    assert sorted(await walk(listing, error="attempts_exhausted", limit=1)) == sorted(dead)
    assert sorted(await walk(listing, error="attempts_exhausted", status="failed")) == sorted(dead)
    assert await walk(listing, error="attempts_exhausted", status="succeeded") == []
    assert await walk(listing, error="unheard_of") == []


async def test_a_page_of_large_jobs_ends_early(store: JobStore, listing: Listing) -> None:
    text = "가" * (PAGE_BYTES // 9)
    for _ in range(8):
        await accepted(store, input=msgspec.Raw(msgspec.json.encode({"prompt": text})))
    page = await listing.page(limit=8)
    assert len(page.items) == 3
    assert page.next_cursor is not None
    assert len(await walk(listing, limit=8)) == 8


async def test_an_owners_list_holds_and_tells_nothing_of_others(store: JobStore, listing: Listing) -> None:
    jobs = [
        await accepted(store, shard % 3, owner=owner, metadata={"ticket": 7})
        for shard, owner in enumerate(["mine", "others", "", "mine", "others", "mine"])
    ]
    mine = sorted((job.id for job in jobs if job.owner == "mine"), reverse=True)
    filters: dict[str, Any]
    for filters in ({}, {"metadata": {"ticket": "7"}}, {"type": "generate"}, {"status": "queued"}):
        found, cursor = [], None
        while True:
            page = await listing.page(owner="mine", limit=2, cursor=cursor, **filters)
            found += [msgspec.json.decode(item)["id"] for item in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
            assert cursor in mine
        assert found == mine, filters
    assert len((await listing.page(metadata={"ticket": "7"})).items) == len(jobs)
    assert (await listing.page(owner="nobody")).items == []
