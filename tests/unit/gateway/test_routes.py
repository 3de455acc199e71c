"""From a model's name to targets: routes, aliases, weights, fallbacks."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from gateway.submission import Submission
from jobs import errors
from jobs.job import JobSpec
from jobs.routes import Route
from jobs.settings import Settings
from prompts import registry

PROMPTS = registry.load(None)
SETTINGS = Settings(
    providers=("offline", "fake", "openai"),
    routes={
        "fast": ("openai/small", "fake/echo"),
        "abroad": ("gemini/flash", "bedrock/nova"),
        "half": ("gemini/flash", "fake/echo"),
        "drawn": Route(targets=("openai/a", "openai/b", "gemini/c"), weights=(3, 1, 96)),
        "urgent": Route(targets=("openai/a", "openai/b"), hedge=True),
    },
    aliases={"gpt-4o": "fast", "vendor/model": "offline/rules", "faraway": "gemini/flash"},
)


def specified(**fields: Any) -> JobSpec:
    """What a request with these fields becomes."""
    submission = Submission(SETTINGS, PROMPTS)
    body = msgspec.json.encode({"type": "generate", "input": {"prompt": "안녕"}, **fields})
    return submission.specify(submission.read(body), "job_1", owner="")


@pytest.mark.parametrize(
    ("model", "targets"),
    [
        ("fast", ("openai/small", "fake/echo")),
        ("gpt-4o", ("openai/small", "fake/echo")),
        ("vendor/model", ("offline/rules",)),
        ("openai/meta-llama/Llama-3", ("openai/meta-llama/Llama-3",)),
        ("half", ("fake/echo",)),
    ],
)
def test_a_name_leads_to_its_targets_whose_provider_is_on(model: str, targets: tuple[str, ...]) -> None:
    assert specified(model=model).targets == targets


def test_fallbacks_are_appended_each_target_once() -> None:
    spec = specified(model="openai/small", fallbacks=["fast", "offline/rules", "openai/small", "gpt-4o"])
    assert spec.targets == ("openai/small", "fake/echo", "offline/rules")


def test_which_target_is_first_is_drawn_by_weight_among_those_that_are_on() -> None:
    firsts = Counter(specified(model="drawn").targets for _ in range(2000))
    assert set(firsts) == {("openai/a", "openai/b"), ("openai/b", "openai/a")}
    assert 0.68 < firsts["openai/a", "openai/b"] / 2000 < 0.82


def test_a_route_says_whether_to_hedge() -> None:
    assert specified(model="urgent").hedge
    assert not specified(model="fast", fallbacks=["urgent"]).hedge


@pytest.mark.parametrize(
    ("fields", "code", "pointer"),
    [
        ({"model": "abroad"}, "provider_disabled", "#/model"),
        ({"model": "faraway"}, "provider_disabled", "#/model"),
        ({"model": "slow"}, "unknown_model", "#/model"),
        ({"model": "openai/"}, "unknown_model", "#/model"),
        ({"model": "fast", "fallbacks": ["fast", "nobody/x"]}, "unknown_model", "#/fallbacks/1"),
    ],
)
def test_what_leads_nowhere_is_refused_where_it_stands(fields: dict[str, Any], code: str, pointer: str) -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        specified(**fields)
    assert (raised.value.code, raised.value.errors[0].pointer) == (code, pointer)
