"""API keys: made, admitted, limited, rotated, revoked, and never readable from the store."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from jobs import errors
from jobs.model import Usage
from jobs.store.access_keys import SCOPES, AccessKeys, Rate, TokenBudgets
from jobs.store.connection import Command, Connection
from tests.integration.store.sample import now_ms, until
from tests.stack import KEY_SECRET

DAY_S = 86_400


@pytest.fixture
def access_keys(connection: Connection) -> AccessKeys:
    """No keys yet."""
    return AccessKeys(connection, KEY_SECRET)


@pytest.fixture
def budgets(connection: Connection) -> TokenBudgets:
    """What those keys have spent."""
    return TokenBudgets(connection)


def id_of(key: str) -> str:
    return key.split("_")[1]


async def test_a_key_is_admitted_as_the_one_that_was_made(access_keys: AccessKeys) -> None:
    plain = await access_keys.create("주문")
    narrow = await access_keys.create(
        "shop",
        scopes=("jobs:read", "jobs:read"),
        types=("soften",),
        callback_hosts=("Hooks.Example.",),
        rate=Rate(requests=10, seconds=60),
        tokens_per_day=5000,
    )
    first, second = await access_keys.admit(plain), await access_keys.admit(narrow, spends=True)
    assert (first.id, first.name, first.types, first.rate) == (id_of(plain), "주문", (), None)
    assert [first.has(scope) for scope in SCOPES] == [True, True, True, False]
    assert (second.id, second.scopes, second.types) == (id_of(narrow), ("jobs:read",), ("soften",))
    assert (second.callback_hosts, str(second.rate), second.tokens_per_day) == (("hooks.example",), "10/min", 5000)
    assert await access_keys.all() == [first, second]


async def test_admin_has_every_scope(access_keys: AccessKeys) -> None:
    admin = await access_keys.admit(await access_keys.create("ops", scopes=("admin",)))
    assert all(admin.has(scope) for scope in SCOPES)


async def test_a_scope_that_does_not_exist_is_named(access_keys: AccessKeys) -> None:
    with pytest.raises(errors.InvalidRequest, match="'jobs:all' is no scope; there are jobs:read, "):
        await access_keys.create("x", scopes=("jobs:all",))
    assert await access_keys.all() == []


@pytest.mark.parametrize("text", ["", "10", "0/s", "-1/s", "10/h", "1.5/s", "10/s ", "١/s", "1000000/s"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="no rate such as"):
        Rate.of(text)


async def test_callback_hosts_match_whole_names(access_keys: AccessKeys) -> None:
    hosts = ("hooks.example", "*.shop.example", "slack:webhook:support")
    key = await access_keys.admit(await access_keys.create("x", callback_hosts=hosts))
    for allowed in ("hooks.example", "HOOKS.example.", "a.shop.example", "b.a.shop.example", "slack:webhook:support"):
        assert key.may_call_back(allowed), allowed
    for other in ("", "example", "evil-hooks.example", "hooks.example.evil", "shop.example", "slack"):
        assert not key.may_call_back(other), other


async def test_the_store_does_not_hold_the_secret(access_keys: AccessKeys, connection: Connection) -> None:
    key = await access_keys.create("x", rate=Rate(requests=10, seconds=1))
    secret = key.split("_")[2]
    await access_keys.rotate(id_of(key), overlap_s=60)
    await access_keys.admit(key)
    dump = b"".join([await connection.redis.dump(name) for name in await connection.redis.keys("*")])
    assert secret.encode() not in dump
    assert bytes.fromhex(secret) not in dump


async def test_the_store_alone_makes_no_key(access_keys: AccessKeys, connection: Connection) -> None:
    """Neither under another secret of the deployment, nor by giving one key's digest to another."""
    mine, others = await access_keys.create("mine"), await access_keys.create("others", scopes=("admin",))
    with pytest.raises(errors.Unauthorized):
        await AccessKeys(connection, KEY_SECRET[::-1]).admit(mine)
    digest = await connection.redis.hget(f"rb:key:{{{id_of(mine)}}}", "digest")
    await connection.redis.hset(f"rb:key:{{{id_of(others)}}}", "digest", digest)
    with pytest.raises(errors.Unauthorized):
        await access_keys.admit(f"rb_{id_of(others)}_{mine.split('_')[2]}")


async def test_without_a_secret_in_the_settings_all_processes_share_one_in_the_store(connection: Connection) -> None:
    key = await AccessKeys(connection, "").create("mine")
    assert (await AccessKeys(connection, "").admit(key)).name == "mine"
    with pytest.raises(errors.Unauthorized):
        await AccessKeys(connection, KEY_SECRET).admit(key)


@pytest.mark.parametrize("secret", ["x", "x" * 31])
async def test_a_secret_that_is_too_short_is_none(connection: Connection, secret: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"RINGBACK_KEY_SECRET: .* 32 random characters or more"):
        AccessKeys(connection, secret)


async def test_a_revoked_key_is_refused_at_once(access_keys: AccessKeys) -> None:
    key, other = await access_keys.create("x"), await access_keys.create("y")
    assert await access_keys.revoke(id_of(key))
    assert not await access_keys.revoke(id_of(key))
    assert not await access_keys.revoke("*")
    with pytest.raises(errors.Unauthorized):
        await access_keys.admit(key)
    with pytest.raises(errors.NotFound):
        await access_keys.rotate(id_of(key), overlap_s=60)
    await access_keys.admit(other)
    assert [key.name for key in await access_keys.all()] == ["y"]


async def test_after_a_rotation_both_secrets_work_for_a_while(access_keys: AccessKeys) -> None:
    first = await access_keys.create("x", types=("soften",))
    second = await access_keys.rotate(id_of(first), overlap_s=60)
    assert first != second
    assert await access_keys.admit(first) == await access_keys.admit(second)

    third = await access_keys.rotate(id_of(first), overlap_s=0.3)
    with pytest.raises(errors.Unauthorized):
        await access_keys.admit(first)
    await access_keys.admit(third)

    async def expired() -> bool:
        try:
            await access_keys.admit(second)
        except errors.Unauthorized:
            return True
        return False

    await until(expired)
    fourth = await access_keys.rotate(id_of(first), overlap_s=0)
    with pytest.raises(errors.Unauthorized):
        await access_keys.admit(third)
    await access_keys.admit(fourth)


async def test_a_rotation_repeated_after_its_answer_was_lost_changes_nothing(
    access_keys: AccessKeys, connection: Connection
) -> None:
    first = await access_keys.create("x")
    second = await access_keys.rotate(id_of(first), overlap_s=60)
    name = f"rb:key:{{{id_of(first)}}}"
    assert await connection.run("rotate", name, await connection.redis.hget(name, "digest"), 0) == 1
    await access_keys.admit(first)
    await access_keys.admit(second)


@pytest.mark.parametrize("requests", [1, 6, 7, 20])
async def test_exactly_as_many_as_the_rate_are_admitted_at_once(
    access_keys: AccessKeys, store_url: str, requests: int
) -> None:
    key = await access_keys.create("x", rate=Rate(requests=requests, seconds=60))
    connections = [Connection(store_url, timeout=5.0) for _ in range(4)]
    several = [AccessKeys(connection, KEY_SECRET) for connection in connections]
    outcomes = await asyncio.gather(*(several[i % 4].admit(key) for i in range(50)), return_exceptions=True)
    for connection in connections:
        await connection.aclose()
    refused = [outcome for outcome in outcomes if isinstance(outcome, errors.RateLimited)]
    assert len(outcomes) - len(refused) == requests
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception) and outcome not in refused]
    for limited in refused:
        assert limited.retry_after is not None
        assert 0 < limited.retry_after <= 60 / requests


async def test_all_that_a_request_needs_is_one_exchange_with_the_store(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, exchanged = Connection(store_url, timeout=5.0), []
    keys = AccessKeys(connection, KEY_SECRET)
    key = await keys.create("x", rate=Rate(requests=10, seconds=1), tokens_per_day=100)
    await keys.admit(key, spends=True)  # loads the script
    exchange = connection._exchange

    async def counted(batch: Sequence[Command]) -> list[Any]:
        exchanged.append(batch)
        return await exchange(batch)

    monkeypatch.setattr(connection, "_exchange", counted)
    await keys.admit(key, spends=True)
    await connection.aclose()
    ((command,),) = exchanged
    assert command[0] == "EVALSHA"


async def test_requests_are_earned_back(access_keys: AccessKeys) -> None:
    key = await access_keys.create("x", rate=Rate(requests=20, seconds=1))
    for _ in range(20):
        await access_keys.admit(key)

    async def admitted() -> bool:
        try:
            return bool(await access_keys.admit(key))
        except errors.RateLimited:
            return False

    await until(admitted)


async def test_only_who_knows_the_secret_uses_the_rate_up(access_keys: AccessKeys) -> None:
    key = await access_keys.create("x", rate=Rate(requests=1, seconds=60))
    for _ in range(5):
        with pytest.raises(errors.Unauthorized):
            await access_keys.admit(f"rb_{id_of(key)}_{'0' * 64}")
    await access_keys.admit(key)
    with pytest.raises(errors.RateLimited):
        await access_keys.admit(key)


async def test_each_key_has_its_own_rate(access_keys: AccessKeys) -> None:
    keys = [await access_keys.create("x", rate=Rate(requests=1, seconds=60)) for _ in range(3)]
    for key in keys:
        await access_keys.admit(key)


async def test_a_key_makes_no_more_jobs_once_its_tokens_are_spent(
    access_keys: AccessKeys, budgets: TokenBudgets
) -> None:
    key = await access_keys.create("x", tokens_per_day=100)
    usage = Usage(input_tokens=60, output_tokens=39, cached_tokens=50, reasoning_tokens=9)
    assert await budgets.spend(id_of(key), "job_1", 1, usage, at_ms=now_ms()) == 99
    await access_keys.admit(key, spends=True)
    assert await budgets.spend(id_of(key), "job_1", 2, Usage(output_tokens=1), at_ms=now_ms()) == 100
    with pytest.raises(errors.BudgetExhausted) as refused:
        await access_keys.admit(key, spends=True)
    assert refused.value.retry_after is not None
    assert 0 < refused.value.retry_after <= DAY_S
    await access_keys.admit(key)


async def test_a_new_day_has_new_tokens(access_keys: AccessKeys, budgets: TokenBudgets) -> None:
    key = await access_keys.create("x", tokens_per_day=100)
    day_before = now_ms() - DAY_S * 1000
    assert await budgets.spend(id_of(key), "job_1", 1, Usage(input_tokens=500), at_ms=day_before) == 500
    await access_keys.admit(key, spends=True)
    assert await budgets.spend(id_of(key), "job_1", 2, Usage(input_tokens=99), at_ms=now_ms()) == 99
    await access_keys.admit(key, spends=True)


async def test_an_attempt_is_counted_once(access_keys: AccessKeys, budgets: TokenBudgets) -> None:
    key, other = await access_keys.create("x", tokens_per_day=100), await access_keys.create("y", tokens_per_day=100)
    at_ms = now_ms()
    calls = [budgets.spend(id_of(key), "job_1", 1, Usage(input_tokens=10), at_ms=at_ms) for _ in range(5)]
    assert await asyncio.gather(*calls) == [10] * 5
    assert await budgets.spend(id_of(other), "job_1", 1, Usage(input_tokens=7), at_ms=at_ms) == 7


async def test_of_keys_without_a_budget_nothing_is_kept(
    access_keys: AccessKeys, budgets: TokenBudgets, connection: Connection
) -> None:
    key = await access_keys.create("x")
    before = await connection.redis.dbsize()
    assert await budgets.spend(id_of(key), "job_1", 1, Usage(input_tokens=10), at_ms=now_ms()) == 0
    assert await budgets.spend("0" * 12, "job_1", 1, Usage(input_tokens=10), at_ms=now_ms()) == 0
    assert await connection.redis.dbsize() == before


async def test_what_was_spent_expires(access_keys: AccessKeys, budgets: TokenBudgets, connection: Connection) -> None:
    key = await access_keys.create("x", tokens_per_day=100)
    await budgets.spend(id_of(key), "job_1", 1, Usage(input_tokens=10), at_ms=now_ms())
    (name,) = await connection.redis.keys("*:spent:*")
    assert DAY_S * 1000 < await connection.redis.pttl(name) <= 2 * DAY_S * 1000


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
            await access_keys.admit(wrong)
    await access_keys.admit(key)


async def test_keys_are_listed_oldest_first(access_keys: AccessKeys) -> None:
    made = [await access_keys.create(str(number)) for number in range(5)]
    listed = await access_keys.all()
    assert [key.id for key in listed] == [id_of(key) for key in made]
    assert b"digest" not in msgspec.json.encode(listed)
