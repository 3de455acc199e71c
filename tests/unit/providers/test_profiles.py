"""What models are known to be able to do."""

import pytest

from jobs.model import PROVIDERS
from providers import profiles
from providers.service import Capabilities

EVERYTHING = Capabilities(images=True, tools=True, json_schema=True)


def lacks(target: str) -> set[str]:
    """The names of what it cannot do."""
    can = profiles.of(target)
    return {name for name in can.__struct_fields__ if getattr(can, name) is False}


@pytest.mark.parametrize(
    ("target", "lacking", "context"),
    [
        ("anthropic/claude-opus-5-5", {"prefill"}, 1_000_000),
        ("anthropic/claude-haiku-5-5", {"prefill"}, 1_000_000),
        ("anthropic/claude-fable-5", {"prefill"}, 1_000_000),
        ("anthropic/claude-opus-4-6", {"prefill"}, 1_000_000),
        ("anthropic/claude-sonnet-4-6", {"prefill"}, 1_000_000),
        ("anthropic/claude-sonnet-4-5-20250929", set(), 200_000),
        ("anthropic/claude-haiku-4-5", set(), 200_000),
        ("anthropic/claude-opus-4-1", {"json_schema"}, 200_000),
        ("anthropic/claude-sonnet-4-20250514", {"json_schema"}, 200_000),
        ("anthropic/claude-3-5-haiku-latest", {"json_schema"}, 200_000),
        ("anthropic/bedrock/us.anthropic.claude-3-5-haiku-20241022-v1:0", {"images", "json_schema"}, 200_000),
        ("anthropic/bedrock/eu.anthropic.claude-haiku-4-5-20251001-v1:0", set(), 200_000),
        ("anthropic/bedrock/global.anthropic.claude-opus-4-6-v1", {"prefill"}, 1_000_000),
        ("anthropic/bedrock/anthropic.claude-v2:1", {"images", "tools", "json_schema"}, 100_000),
        ("bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", set(), 200_000),
        ("bedrock/global.anthropic.claude-opus-4-7-v1:0", {"prefill"}, 1_000_000),
        ("bedrock/anthropic.claude-3-haiku-20240307-v1:0", {"json_schema"}, 200_000),
        ("bedrock/amazon.nova-micro-v1:0", {"images", "json_schema"}, 128_000),
        ("bedrock/us.amazon.nova-pro-v1:0", {"json_schema"}, 300_000),
        ("bedrock/global.amazon.nova-2-lite-v1:0", {"json_schema", "prefill"}, 1_000_000),
        (
            "bedrock/amazon.titan-text-express-v1",
            {"images", "tools", "json_schema", "system", "prefill"},
            8_192,
        ),
        ("bedrock/mistral.mistral-7b-instruct-v0:2", {"images", "tools", "json_schema", "system", "prefill"}, 32_000),
        ("bedrock/mistral.mixtral-8x7b-instruct-v0:1", {"images", "tools", "json_schema", "system", "prefill"}, 32_000),
        ("bedrock/mistral.mistral-large-2402-v1:0", {"images", "json_schema", "prefill"}, 32_000),
        ("bedrock/mistral.pixtral-large-2502-v1:0", {"json_schema", "prefill"}, None),
        ("bedrock/ai21.j2-ultra-v1", {"images", "tools", "json_schema", "system", "prefill"}, 8_192),
        ("bedrock/ai21.jamba-1-5-large-v1:0", {"images", "json_schema", "prefill"}, 256_000),
        ("bedrock/cohere.command-text-v14", {"images", "tools", "json_schema", "system", "prefill"}, 4_096),
        ("bedrock/cohere.command-r-plus-v1:0", {"images", "json_schema", "prefill"}, 128_000),
        ("bedrock/us.deepseek.r1-v1:0", {"images", "tools", "json_schema", "prefill"}, 128_000),
        ("bedrock/meta.llama3-8b-instruct-v1:0", {"images", "tools", "json_schema", "prefill"}, 8_192),
        ("bedrock/us.meta.llama3-2-3b-instruct-v1:0", {"images", "tools", "json_schema", "prefill"}, 128_000),
        ("bedrock/us.meta.llama3-2-90b-instruct-v1:0", {"json_schema", "prefill"}, 128_000),
        ("bedrock/us.meta.llama3-3-70b-instruct-v1:0", {"images", "json_schema", "prefill"}, 128_000),
        ("bedrock/brand.new-model-v1:0", {"json_schema", "prefill"}, None),
        ("bedrock/arn:aws:bedrock:us-east-1:123:application-inference-profile/ab12", {"json_schema", "prefill"}, None),
        ("gemini/gemini-2.5-flash", set(), 1_048_576),
        ("gemini/gemini-3-pro-preview", set(), 1_048_576),
        ("gemini/gemini-3.5-flash", set(), 1_048_576),
        ("gemini/gemini-3.5-flash-lite", {"prefill"}, 1_048_576),
        ("gemini/gemini-3.6-flash", {"prefill"}, 1_048_576),
        ("gemini/publishers/google/models/gemini-4-argon", {"prefill"}, 1_048_576),
        ("gemini/gemma-3-27b-it", {"tools", "json_schema", "system"}, 131_072),
        ("gemini/models/gemma-3-1b-it", {"images", "tools", "json_schema", "system"}, 32_768),
        ("gemini/gemma-4-31b-it", {"json_schema"}, 262_144),
        ("openai/gpt-4o", {"prefill"}, 128_000),
        ("openai/gpt-4", {"images", "json_schema", "prefill"}, 8_192),
        ("openai/gpt-4-turbo", {"json_schema", "prefill"}, 128_000),
        ("openai/gpt-4.1-mini", {"prefill"}, 1_000_000),
        ("openai/gpt-5", {"prefill"}, 400_000),
        ("openai/gpt-5-mini", {"prefill"}, 400_000),
        ("openai/openai/gpt-5.1", {"prefill"}, 400_000),
        ("openai/gpt-5-chat-latest", {"prefill"}, 128_000),
        ("openai/gpt-5.4", {"prefill"}, 1_000_000),
        ("openai/gpt-6-sol", {"prefill"}, 1_000_000),
        ("openai/o1-mini", {"images", "tools", "json_schema", "system", "prefill"}, 128_000),
        ("openai/o3", {"prefill"}, 200_000),
        ("openai/qwen3-32b", set(), None),
        ("offline/rules", {"images", "tools", "prefill"}, None),
        ("fake/echo", {"images", "tools", "json_schema"}, None),
        ("fake/", {"images", "tools", "json_schema"}, None),
    ],
)
def test_known_models(target: str, lacking: set[str], context: int | None) -> None:
    assert lacks(target) == lacking
    assert profiles.of(target).context_tokens == context


def test_a_provider_that_is_not_in_the_file_can_do_everything() -> None:
    assert profiles.of("nobody/model") == EVERYTHING


def test_every_provider_is_in_the_file_and_no_entry_hides_another() -> None:
    entries = profiles.entries()
    assert set(entries) == set(PROVIDERS)
    for provider, known in entries.items():
        patterns = [pattern.pattern for pattern, _ in known]
        assert len(set(patterns)) == len(patterns), provider
        assert "" not in patterns[:-1], f"{provider}: what matches everything comes last"
