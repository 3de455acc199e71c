"""Ids: they sort by time, tell their shard, and nothing else passes for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import errors, ids

SHARDS = st.integers(0, ids.MAX_SHARDS - 1)
TIMES = st.integers(0, 2**48 - 1)
ID = "job_01HF7YAT00JWB404Y7V8NJRN07"


@given(SHARDS, TIMES)
def test_an_id_tells_its_shard(shard: int, at_ms: int) -> None:
    assert ids.shard_of(ids.new("job", shard, at_ms=at_ms), "job") == shard


@given(SHARDS, SHARDS, TIMES, TIMES)
def test_ids_sort_by_time_whatever_their_shard(shard: int, other: int, at_ms: int, later_ms: int) -> None:
    early, late = sorted((at_ms, later_ms))
    if early != late:
        assert ids.new("job", shard, at_ms=early) < ids.new("job", other, at_ms=late)


@given(SHARDS, TIMES)
def test_the_floor_of_a_moment_sorts_before_what_is_made_then_and_after_what_was_made_before(
    shard: int, at_ms: int
) -> None:
    assert ids.floor("job", at_ms) < ids.new("job", shard, at_ms=at_ms)
    if at_ms:
        assert ids.new("job", shard, at_ms=at_ms - 1) < ids.floor("job", at_ms)


def test_the_floor_of_a_moment_before_the_epoch_is_the_first() -> None:
    assert ids.floor("job", -5) == ids.floor("job", 0) < ids.new("job", 0, at_ms=0)


def test_ids_of_one_moment_differ() -> None:
    assert len({ids.new("job", 0, at_ms=1) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "job",
        "job_",
        "job_0",
        ID.removeprefix("job_"),
        ID[:-1],
        ID + "0",
        "dlv_" + ID.removeprefix("job_"),
        "JOB_" + ID.removeprefix("job_"),
        ID.lower(),
        ID[:-1] + "I",  # not in Crockford's alphabet
        ID[:-1] + "é",
        ID[:-1] + "０",  # a digit, but not an ASCII one
        ID[:-1] + "\n",
        f" {ID}",
        "job_" + "{" * ids.LENGTH,
        "job_" + "../" * 8 + "00",
        "job__" + ID[5:],
        "job_" + "0" * 100_000,
    ],
)
def test_garbage_is_not_found_and_not_repeated_at_length(garbage: str) -> None:
    with pytest.raises(errors.NotFound) as raised:
        ids.shard_of(garbage, "job")
    assert len(raised.value.detail) < 200


@given(st.text())
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    for candidate in (text, f"job_{text}"):
        with pytest.raises(errors.NotFound):
            ids.shard_of(candidate, "job")


@given(st.text(), st.integers(1, ids.MAX_SHARDS))
def test_a_key_always_meets_in_one_shard(key: str, shards: int) -> None:
    assert ids.shard_for(key, shards) == ids.shard_for(key, shards)
    assert 0 <= ids.shard_for(key, shards) < shards


def test_keys_spread_over_the_shards() -> None:
    assert {ids.shard_for(f"key-{n}", 16) for n in range(500)} == set(range(16))
