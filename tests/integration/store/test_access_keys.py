"""API keys: made, verified, listed, revoked, and never readable from the store."""

import pytest

from jobs import errors
from jobs.store.access_keys import AccessKeys
from jobs.store.connection import Connection


@pytest.fixture
def access_keys(connection: Connection) -> AccessKeys:
    """No keys yet."""
    return AccessKeys(connection)


async def test_a_key_is_verified_as_the_one_that_was_made(access_keys: AccessKeys) -> None:
    first, second = await access_keys.create("주문"), await access_keys.create("shop")
    assert first != second
    assert first.split("_")[1] == await access_keys.verify(first)
    assert second.split("_")[1] == await access_keys.verify(second)
    assert [key.name for key in sorted(await access_keys.all(), key=lambda key: key.name)] == ["shop", "주문"]


async def test_keys_are_listed_oldest_first(access_keys: AccessKeys, connection: Connection) -> None:
    for age, name in ((1, "new"), (3, "oldest"), (2, "old")):
        key = await access_keys.create(name)
        await connection.redis.hset(f"rb:key:{key.split('_')[1]}", "created", 1_700_000_000_000 - age)
    assert [key.name for key in await access_keys.all()] == ["oldest", "old", "new"]


async def test_the_store_does_not_hold_the_secret(access_keys: AccessKeys, connection: Connection) -> None:
    key = await access_keys.create("x")
    _, key_id, secret = key.split("_")
    stored = await connection.redis.hgetall(f"rb:key:{key_id}")
    assert stored.keys() == {b"hash", b"name", b"created"}
    assert secret.encode() not in b"".join(stored.values())


async def test_a_revoked_key_is_refused_at_once(access_keys: AccessKeys) -> None:
    key, other = await access_keys.create("x"), await access_keys.create("y")
    assert await access_keys.revoke(key.split("_")[1])
    assert not await access_keys.revoke(key.split("_")[1])
    assert not await access_keys.revoke("*")
    with pytest.raises(errors.Unauthorized):
        await access_keys.verify(key)
    await access_keys.verify(other)
    assert [key.name for key in await access_keys.all()] == ["y"]


async def test_nothing_else_is_a_key(access_keys: AccessKeys) -> None:
    key = await access_keys.create("x")
    head, key_id, secret = key.split("_")
    stranger = (await access_keys.create("y")).split("_")[2]
    for wrong in (
        "",
        " ",
        "Bearer",
        key[:-1],
        key + "0",
        key + "\n",
        f" {key}",
        key.upper(),
        f"{head}_{key_id}_{stranger}",
        f"{head}_{'0' * 12}_{secret}",
        f"{head}_{key_id}_",
        f"{head}__{secret}",
        f"{head}_{key_id}_{secret[:-1]}é",
        f"{head}_{key_id}_{secret[:-1]}０",
        "rb_*_" + secret,
        "x" * 100_000,
    ):
        with pytest.raises(errors.Unauthorized):
            await access_keys.verify(wrong)
    await access_keys.verify(key)
