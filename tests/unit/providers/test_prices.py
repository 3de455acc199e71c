"""Prices: our names for vendors and models lead to theirs, what is configured wins, and nothing is guessed."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from jobs.model import Usage
from jobs.routes import Price, Target
from providers.prices import Prices

MILLION = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
SMALL = Usage(input_tokens=1_000, output_tokens=100)
LISTED = [
    ("anthropic/claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
    ("anthropic/bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0", "aws", "us.anthropic.claude-haiku-4-5-20251001"),
    ("gemini/gemini-2.5-flash", "google", "gemini-2.5-flash"),
    ("gemini/models/gemini-2.5-flash", "google", "gemini-2.5-flash"),
    ("gemini/publishers/google/models/gemini-2.5-pro", "google", "gemini-2.5-pro"),
    ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
    ("openai/ft:gpt-4o-mini-2024-07-18:us::id", "openai", "ft:gpt-4o-mini-2024-07-18:us::id"),
    ("bedrock/amazon.nova-lite-v1:0", "aws", "amazon.nova-lite-v1:0"),
    ("bedrock/apac.amazon.nova-lite-v1:0", "aws", "amazon.nova-lite-v1:0"),
    ("bedrock/amazon.nova-lite-v1:0@ap-northeast-2", "aws", "amazon.nova-lite-v1:0"),
    ("bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("bedrock/sa.openai.gpt-5.4", "aws", "openai.gpt-5.4"),
    ("bedrock/arn:aws:bedrock:eu-north-1::foundation-model/amazon.nova-pro-v1:0", "aws", "amazon.nova-pro-v1:0"),
    (
        "bedrock/arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "aws",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
]
UNKNOWN = [
    "anthropic/claude-of-tomorrow",
    "gemini/gemini-99",
    "gemini/tunedModels/gemini-2.5-flash",
    "openai/qwen2.5:7b",
    "openai/",
    "bedrock/arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4",
    "bedrock/arn:aws:bedrock:us-east-1:123456789012:provisioned-model/amazon.nova-lite-v1:0",
    "bedrock/arn:aws:bedrock:us-east-1:123456789012:imported-model/amazon.nova-lite",
    "bedrock/한국어 모델",
    "mistral/large",
    "no provider",
    "",
]


@pytest.fixture(autouse=True)
def openais_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other server than OpenAI's is configured."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def of_the_list(vendor: str, model: str, usage: Usage) -> float:
    """What `genai-prices` itself makes of it."""
    theirs = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )
    return float(genai_prices.calc_price(theirs, model, provider_id=vendor).total_price)


@pytest.mark.parametrize(("target", "vendor", "model"), LISTED)
def test_listed_models_cost_what_the_list_says(target: str, vendor: str, model: str) -> None:
    cost = Prices({}).cost(target, SMALL)
    assert cost is not None
    assert cost == pytest.approx(of_the_list(vendor, model, SMALL), abs=1e-9)
    assert cost > 0


@pytest.mark.parametrize("target", UNKNOWN)
def test_what_nobody_knows_is_not_guessed(target: str) -> None:
    assert Prices({}).cost(target, SMALL) is None


@pytest.mark.parametrize("target", ["offline/rules", "fake/x?text=a"])
def test_what_runs_inside_ringback_is_free(target: str) -> None:
    assert Prices({}).cost(target, MILLION) == 0.0


@pytest.mark.parametrize("target", ["fake/m", "anthropic/claude-sonnet-4-5", "openai/my-model", "bedrock/m@eu-north-1"])
def test_what_is_configured_wins(target: str) -> None:
    price = Price(input=1.0, output=4.0, cached=0.25)
    prices = Prices({target.partition("@")[0]: Target(price=price), "offline/rules": Target(concurrency=1)})
    usage = Usage(input_tokens=1_000, cached_tokens=600, output_tokens=50, reasoning_tokens=20)
    assert prices.cost(target, usage) == pytest.approx(0.00075)
    assert prices.cost("offline/rules", usage) == 0.0
    assert not prices.looks_up(target.partition("@")[0])


def test_cached_input_without_a_price_of_its_own_costs_as_any_other() -> None:
    prices = Prices({"openai/m": Target(price=Price(input=2.0, output=0.0))})
    assert prices.cost("openai/m", Usage(input_tokens=1_000_000, cached_tokens=900_000)) == 2.0


def test_speech_is_priced_by_a_list_of_its_own_and_what_is_configured_wins() -> None:
    heard = Price(audio_s=0.01, minimum_s=15)
    listed = {"polly/neural": Price(characters=16.0), "transcribe/streaming": heard, "transcribe/batch": heard}
    prices = Prices(
        {"transcribe/batch": Target(price=Price(audio_s=0.5)), "polly/neural": Target(concurrency=1)}, listed
    )
    assert prices.cost("polly/neural", Usage(characters=1_000, audio_s=60.0)) == 0.016
    assert prices.cost("polly/generative", Usage(characters=1_000)) is None
    assert prices.cost("transcribe/streaming", Usage(audio_s=0.2)) == pytest.approx(0.15)
    assert prices.cost("transcribe/streaming", Usage(audio_s=15.01)) == pytest.approx(0.16), "a second that was begun"
    assert prices.cost("transcribe/streaming", Usage()) == 0.0, "nothing was heard"
    assert prices.cost("transcribe/batch", Usage(audio_s=2.0)) == 1.0
    assert not any(map(prices.looks_up, ("polly", "polly/neural", "transcribe/batch")))


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("", True),
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1/", True),
        ("http://127.0.0.1:11434/v1", False),
        ("https://api.openai.com.example/v1", False),
        ("https://mine.openai.azure.com/openai/v1", False),
        ("nonsense", False),
    ],
)
def test_only_openais_own_server_has_openais_prices(monkeypatch: pytest.MonkeyPatch, url: str, known: bool) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    prices = Prices({"openai/mine": Target(price=Price(input=1, output=1))})
    assert (prices.cost("openai/gpt-4o-mini", SMALL) is not None) == known
    assert prices.cost("openai/mine", SMALL) == pytest.approx(0.0011)


def test_a_long_input_puts_the_whole_call_into_a_higher_tier() -> None:
    short = Prices({}).cost("gemini/gemini-2.5-pro", Usage(input_tokens=200_000))
    long = Prices({}).cost("gemini/gemini-2.5-pro", Usage(input_tokens=200_001))
    assert short is not None
    assert long is not None
    assert long > 1.9 * short


def _priced() -> list[tuple[str, str, str]]:
    """Every model of the list that calls for text can go to, by our name, the vendor's id and the list's name."""
    ours = {"anthropic": "anthropic", "google": "gemini", "openai": "openai", "aws": "bedrock"}
    found = []
    for provider in get_snapshot().providers:
        for model in provider.models if provider.id in ours else ():
            # The list's ids of regional profiles are names of its own.
            same = provider.find_model(model.id) is model and not model.id.startswith("regional.")
            price = model.get_prices(datetime.now(UTC))
            known = {"input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok"}
            if same and {"input_mtok", "output_mtok"} <= price.__dict__.keys() <= known | {"web_searches_kcount"}:
                found.append((f"{ours[provider.id]}/{model.id}", provider.id, model.id))
    return found


PRICED = _priced()


@given(
    st.sampled_from(PRICED),
    st.integers(0, 2_000_000),
    st.integers(0, 200_000),
    st.floats(0, 1),
    st.floats(0, 1),
)
@hypothesis_settings(max_examples=150, deadline=None)
def test_all_models_cost_the_same_as_by_the_lists_own_arithmetic(
    model: tuple[str, str, str], sent: int, answered: int, cached: float, reasoning: float
) -> None:
    target, vendor, name = model
    usage = Usage(
        input_tokens=sent,
        output_tokens=answered,
        cached_tokens=int(cached * sent),
        reasoning_tokens=int(reasoning * answered),
    )
    assert Prices({}).cost(target, usage) == pytest.approx(of_the_list(vendor, name, usage), rel=1e-9, abs=1e-9)


def test_the_vendors_are_all_on_the_list() -> None:
    assert {vendor for _, vendor, _ in PRICED} == {"anthropic", "google", "openai", "aws"}
    assert len(PRICED) > 100


def test_a_usage_that_contradicts_itself_is_still_priced() -> None:
    """Vendors have told more cached tokens than tokens."""
    prices = Prices({"openai/m": Target(price=Price(input=2.0, output=4.0, cached=1.0))})
    assert prices.cost("openai/m", Usage(input_tokens=10, cached_tokens=20, reasoning_tokens=5)) == 0.00001


def test_the_list_is_loaded_only_when_needed_and_never_from_the_network() -> None:
    script = """
import json, socket, sys
def refuse(*args, **kwargs): raise AssertionError("the network")
socket.socket.connect = socket.getaddrinfo = refuse
from jobs.model import Usage
from providers.prices import Prices
prices = Prices({})
prices.cost("offline/rules", Usage(input_tokens=1))
before = "genai_prices" in sys.modules, prices.looks_up("openai/gpt-4o"), prices.looks_up("fake/x")
prices.load()
cost = prices.cost("openai/gpt-4o", Usage(input_tokens=1_000_000))
print(json.dumps([*before, "genai_prices.data" in sys.modules, prices.looks_up("openai/gpt-4o"), cost]))
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(answer.stdout) == [
        False,
        True,
        False,
        True,
        False,
        of_the_list("openai", "gpt-4o", Usage(input_tokens=1_000_000)),
    ]
