"""Who may use the OpenAI surface, and what the settings make of model names."""

from pathlib import Path
from typing import Any

import openai
import pytest

from jobs.model import Usage
from jobs.store.access_keys import AccessKeys, Rate, TokenBudgets
from jobs.store.circuits import Circuits
from tests.integration.gateway.chat import MESSAGES, Listener, client, job
from tests.integration.gateway.conftest import Gateways, Hand
from tests.integration.store.sample import now_ms
from tests.stack import KEY_SECRET, request

CONFIG = """
default_model = "fast"
[routes]
fast = ["fake/one", "fake/two"]
off = ["anthropic/claude"]
[routes.drawn]
targets = ["fake/two", "openai/gpt-4o"]
weights = [1, 2]
[aliases]
"gpt-4o" = "fast"
gone = "openai/gpt-4o"
[targets."fake/three"]
concurrency = 3
"""


@pytest.fixture(scope="module")
def guarded(gateways: Gateways, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A gateway that asks for keys, and knows routes."""
    config = tmp_path_factory.mktemp("config") / "ringback.toml"
    config.write_text(CONFIG)
    return gateways.gateway(RINGBACK_API_KEYS="required", RINGBACK_CONFIG=str(Path(config)))


@pytest.fixture
def access(hand: Hand) -> AccessKeys:
    """The keys of `guarded`."""
    return AccessKeys(hand.connection, KEY_SECRET)


async def refused(url: str, key: str, expected: type[openai.APIStatusError], **fields: Any) -> openai.APIStatusError:
    """The error that a completion gets."""
    async with client(url, key=key) as made:
        with pytest.raises(expected) as caught:
            await made.chat.completions.create(**{"model": "fake/echo", "messages": MESSAGES, **fields})
    assert "ringback-job-id" not in caught.value.response.headers
    return caught.value


async def test_a_key_is_required(guarded: str) -> None:
    error = await refused(guarded, "rb_0123456789ab_" + "0" * 64, openai.AuthenticationError)
    assert (error.status_code, error.code) == (401, "invalid_api_key")
    assert error.response.headers["www-authenticate"] == "Bearer"
    async with client(guarded, key="wrong") as made:
        with pytest.raises(openai.AuthenticationError):
            await made.models.list()


async def test_what_a_key_may_holds_here_too(guarded: str, access: AccessKeys) -> None:
    readable = await access.create("reader", scopes=("jobs:read",))
    error = await refused(guarded, readable, openai.PermissionDeniedError)
    assert "jobs:write" in error.message
    narrow = await access.create("narrow", types=("soften",), callback_hosts=("hooks.example",))
    error = await refused(guarded, narrow, openai.PermissionDeniedError)
    assert "only soften, not generate" in error.message
    called = await access.create("called", callback_hosts=("hooks.example",))
    metadata = {"ringback_callback": "https://other.example/"}
    error = await refused(guarded, called, openai.PermissionDeniedError, metadata=metadata)
    assert error.param == "metadata.ringback_callback"


async def test_rate_and_budget(guarded: str, access: AccessKeys, hand: Hand) -> None:
    hasty = await access.create("hasty", rate=Rate(requests=1, seconds=600))
    async with client(guarded, key=hasty) as made:
        await made.models.list()
    error = await refused(guarded, hasty, openai.RateLimitError)
    assert error.code == "rate_limit_exceeded"
    assert int(error.response.headers["retry-after"]) > 0
    poor = await access.create("poor", tokens_per_day=10)
    job_id, owner = "job_01M803BGRZDM8GVW9FKT2J040B", poor.split("_")[1]
    await TokenBudgets(hand.connection).spend(owner, job_id, 1, Usage(output_tokens=11), at_ms=now_ms())
    error = await refused(guarded, poor, openai.RateLimitError)
    assert (error.code, error.type) == ("insufficient_quota", "insufficient_quota")
    assert int(error.response.headers["retry-after"]) > 0


async def test_a_job_belongs_to_the_key_that_asked(guarded: str, access: AccessKeys, hand: Hand) -> None:
    mine, other = await access.create("mine"), await access.create("other")
    async with client(guarded, key=mine, timeout=0.5) as made:
        with pytest.raises(openai.APITimeoutError):
            await made.chat.completions.create(model="fake/echo", messages=MESSAGES, extra_body={"background": True})
    headers = {"Authorization": f"Bearer {mine}"}
    (found,) = request(f"{guarded}/v1/jobs", headers=headers).json["items"]
    assert request(f"{guarded}/v1/jobs", headers={"Authorization": f"Bearer {other}"}).json["items"] == []
    await (await hand.claim(found["id"])).end(output={"text": "끝"})


async def test_models_are_what_can_be_named_here(guarded: str, access: AccessKeys, hand: Hand) -> None:
    await Circuits(hand.connection).seen("fake/two", failure="provider_overloaded", rest_s=60)
    async with client(guarded, key=await access.create("reader")) as made:
        listed: Any = {model.id: model for model in (await made.models.list()).data}
        alias: Any = await made.models.retrieve("gpt-4o")
        with pytest.raises(openai.NotFoundError):
            await made.models.retrieve("gone")
    assert list(listed) == ["fast", "drawn", "gpt-4o", "fake/one", "fake/two", "fake/three"]
    assert {name: model.owned_by for name, model in listed.items()} == {
        **dict.fromkeys(("fast", "drawn", "gpt-4o"), "ringback"),
        **dict.fromkeys(("fake/one", "fake/two", "fake/three"), "fake"),
    }
    assert listed["fast"].ringback["targets"] == alias.ringback["targets"] == ["fake/one", "fake/two"]
    assert listed["drawn"].ringback["targets"] == ["fake/two"]
    (circuit,) = listed["fast"].ringback["circuits"]
    assert (circuit["target"], circuit["state"]) == ("fake/two", "open")
    assert circuit["reason"] == "provider_overloaded"
    assert listed["fake/one"].ringback["circuits"] == []


async def test_names_lead_where_they_lead_for_jobs(guarded: str, access: AccessKeys, hand: Hand) -> None:
    key = await access.create("mine")
    for model, param in (("nonsense", "model"), ("anthropic/claude", "model"), ("gone", "model")):
        error = await refused(guarded, key, openai.NotFoundError, model=model)
        assert (error.status_code, error.code, error.param) == (404, "model_not_found", param)
    error = await refused(guarded, key, openai.NotFoundError, extra_body={"fallbacks": ["fake/x", "nonsense"]})
    assert error.param == "fallbacks[1]"


async def test_a_fallback_stands_behind_the_route(gateways: Gateways, hand: Hand) -> None:
    listener = Listener(gateways.url, model="fake/a", extra_body={"fallbacks": ["fake/b", "fake/a"]})
    running = await listener.run_by(hand)
    spec = await hand.store.spec(running.id)
    assert spec is not None
    assert spec.targets == ("fake/a", "fake/b")
    await running.end(output={"text": "끝"})
    await listener.end()
    assert job(gateways.url, running.id)["status"] == "succeeded"
