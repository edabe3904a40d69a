"""Which names are a model's, and which only look like one."""

from __future__ import annotations

import pytest
from unit.metering.prices.listed import NOW

from spendfuse.metering.names import provider_id
from spendfuse.metering.price_book import PriceBook, UnknownModelError

KNOWN = [
    ("openai", "GPT-4O", "gpt-4o"),
    ("openai", "  gpt-4o\n", "gpt-4o"),
    ("", "openai/gpt-4o", "gpt-4o"),
    ("", "openai:gpt-4o", "gpt-4o"),
    ("litellm", "openai/gpt-4o", "gpt-4o"),
    ("litellm_proxy", "gpt-4o", "gpt-4o"),
    ("openai.responses", "gpt-4o", "gpt-4o"),
    ("anthropic.messages", "claude-sonnet-4-5", "claude-sonnet-4-5"),
    ("cohere.chat", "command-r", "command-r"),
    ("openai", "gpt-4o-realtime-preview-2024-12-17", "gpt-4o-realtime-preview"),
    ("openai", "gpt-4-turbo-2024-04-09", "gpt-4-turbo"),
    ("openai", "gpt-3.5-turbo-16k-0613", "gpt-3.5-turbo-16k"),
    ("openai", "gpt-5.1-codex-mini", "gpt-5.1-codex-mini"),
    ("openai", "computer-use-preview-2025-03-11", "computer-use"),
    ("openai", "omni-moderation-latest", "moderation"),
    ("azure", "azure/gpt-4o", "gpt-4o"),
    ("azure", "gpt-35-turbo-0125", "gpt-3.5-turbo"),
    ("anthropic", "claude-3-5-sonnet@20241022", "claude-3-5-sonnet"),
    ("anthropic", "claude-3-7-sonnet-latest", "claude-3-7-sonnet-latest"),
    ("anthropic", "claude-opus-4-20250514", "claude-opus-4-0"),
    ("anthropic", "claude-opus-4-5-20251101", "claude-opus-4-5"),
    ("anthropic", "claude-sonnet-4-5[1m]", "claude-sonnet-4-5"),
    ("google", "gemini-2.0-flash-001", "gemini-2.0-flash"),
    ("google", "gemini-2.0-flash-lite-preview-02-05", "gemini-2.0-flash-lite"),
    ("google", "gemini-2.0-flash-thinking-exp-01-21", "gemini-2.0-flash"),
    ("google", "gemini-1.5-pro-002", "gemini-1.5-pro"),
    ("google", "gemini-2.5-flash-lite-preview-09-2025", "gemini-2.5-flash-lite"),
    ("google", "gemini-3.1-pro-preview-customtools", "gemini-3.1-pro-preview"),
    ("google", "claude-opus-4-0", "claude-4-opus"),
    ("aws", "bedrock/us-east-1/qwen.qwen3-coder-next", "qwen.qwen3-coder-next"),
    ("aws", "amazon.nova-lite-v1:0:300k", "amazon.nova-lite-v1:0"),
    ("aws", "mistral.mistral-7b-instruct-v0:2", "mistral.mistral-7b-instruct-v0:2"),
    ("aws", "amazon.titan-embed-text-v2:0:8k", "amazon.titan-embed-text-v2:0"),
    ("aws", "anthropic.claude-haiku-4-5", "anthropic.claude-haiku-4-5-20251001-v1:0"),
    ("mistral", "magistral-medium-2509", "magistral-medium"),
    ("deepseek", "deepseek-r1-0528", "deepseek-reasoner"),
    ("groq", "groq/llama-3.3-70b-versatile", "llama-3.3-70b-versatile"),
    ("", "perplexity/sonar-pro", "sonar-pro"),
    ("perplexity", "perplexity/sonar", "perplexity/sonar"),
    ("", "command-r-plus", "command-r-plus"),
    ("", "grok-4-latest", "grok-4-0709"),
]
ONLY_ALIKE = [
    ("openai", "gpt-4o-ultra", "gpt-4o"),
    ("openai", "gpt-4omni", "gpt-4o"),
    ("openai", "gpt-4o-2027-01-01", "gpt-4o"),
    ("openai", "gpt-4o-2024", "gpt-4o"),
    ("openai", "gpt-40", "gpt-4"),
    ("openai", "gpt-4.10", "gpt-4.1"),
    ("openai", "gpt-5-nano-ultra", "gpt-5-nano"),
    ("openai", "o30", "o3"),
    ("openai", "o3-mini-2", "o3-mini"),
    ("openai", "my-gpt-4o", "gpt-4o"),
    ("openai", "text-embedding-3-smaller", "text-embedding-3-small"),
    ("openai", "ft:gpt-4o-2024-08-06x", "ft:gpt-4o"),
    ("openai", "ft:gpt-4o-mini-ultra:acme::abc", "ft:gpt-4o-mini"),
    ("openai", "ft:gpt-9:acme::abc", "ft:gpt-4"),
    ("openai", "computer-use-3000", "computer-use"),
    ("anthropic", "claude-sonnet-4-50", "claude-sonnet-4-5"),
    ("anthropic", "claude-sonnet-4-5-pro", "claude-sonnet-4-5"),
    ("anthropic", "claude-sonnet-4-5-2", "claude-sonnet-4-5"),
    ("anthropic", "claude-opus-4-10", "claude-opus-4-1"),
    ("anthropic", "claude-opus-4-9", "claude-opus-4-8"),
    ("anthropic", "claude-opus-4-6-fast", "claude-opus-4-6"),
    ("anthropic", "claude-2.5", "claude-2"),
    ("anthropic", "my-claude-sonnet-4-5", "claude-sonnet-4-5"),
    ("google", "gemini-2.5-pro-max", "gemini-2.5-pro"),
    ("google", "gemini-2.5-pro-2", "gemini-2.5-pro"),
    ("google", "gemini-2.0-flash-pro", "gemini-2.0-flash"),
    ("google", "gemini-1.5-pro-9", "gemini-1.5-pro"),
    ("google", "my-gemini-1.5-pro", "gemini-1.5-pro"),
    ("google", "my-claude-opus-5", "claude-opus-5"),
    ("aws", "amazon.nova-pro-v2:0", "amazon.nova-pro-v1:0"),
    ("aws", "amazon.nova-pro-max-v1:0", "amazon.nova-pro-v1:0"),
    ("aws", "xx.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
    ("aws", "meta.llama3-8b-instruct-v9:0", "meta.llama3-8b-instruct-v1:0"),
    ("aws", "us.anthropic.claude-haiku-4-5-20251001-turbo",
     "global.anthropic.claude-haiku-4-5-20251001-v1:0"),
    ("azure", "gpt-4o-ultra", "gpt-4o"),
    # Places whose price nobody has told.
    ("azure", "apac/gpt-4o", "gpt-4o"),
    ("google", "us/gemini-2.5-pro", "gemini-2.5-pro"),
    ("mistral", "mistral-large-9999", "mistral-large"),
    ("deepseek", "deepseek-chat-ultra", "deepseek-chat"),
    ("cohere", "command-light-ultra", "command-light"),
    ("x-ai", "grok-4-ultra", "grok-4-0709"),
    ("openai-compatible", "gpt-4o", "gpt-4o"),
    ("acme-openai", "gpt-4o", "gpt-4o"),
    ("nobody", "gpt-4o", "gpt-4o"),
    ("", "nobody/gpt-4o", "gpt-4o"),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "model", "known_as"), KNOWN)
def test_a_name_that_is_written_for_a_model_means_it(
    book: PriceBook, provider: str, model: str, known_as: str
) -> None:
    assert book.price_of(provider, model, at=NOW).model == known_as


@pytest.mark.parametrize(("provider", "model", "nearest"), ONLY_ALIKE)
def test_a_name_that_only_looks_like_a_model_has_no_price_but_a_hint(
    book: PriceBook, provider: str, model: str, nearest: str
) -> None:
    with pytest.raises(UnknownModelError) as raised:
        book.price_of(provider, model, at=NOW)

    assert nearest in raised.value.nearest
    assert nearest in str(raised.value)
    assert model in str(raised.value)


@pytest.mark.parametrize("model", ["", " ", "/", "openai/", "/gpt-4o", ":", "ft:", "x" * 100_000])
def test_what_is_no_name_at_all_is_unknown(book: PriceBook, model: str) -> None:
    with pytest.raises(UnknownModelError) as raised:
        book.price_of("", model, at=NOW)

    assert len(str(raised.value)) < 1000


def test_the_error_says_what_was_written_what_is_near_and_what_to_do(book: PriceBook) -> None:
    do = (
        "Write the provider's own name for it, or add it to your price overrides (docs/metering.md)"
    )
    near = "gpt-4o, gpt-6-astra, gpt-4-turbo"
    with pytest.raises(UnknownModelError) as of_openai:
        book.price_of("openai", "gpt-4o-ultra", at=NOW)
    with pytest.raises(UnknownModelError) as of_nobody:
        book.price_of("", "????", at=NOW)

    assert str(of_openai.value) == (
        f"the price book has no model 'gpt-4o-ultra' of openai; nearest: {near}. {do}"
    )
    assert str(of_nobody.value) == f"the price book has no model '????'. {do}"
    assert of_openai.value.args == ("openai", "gpt-4o-ultra")


def test_the_nearest_names_are_three_at_most_and_each_once(book: PriceBook) -> None:
    with pytest.raises(UnknownModelError) as raised:
        book.price_of("", "gpt-4o-min", at=NOW)

    assert 1 <= len(raised.value.nearest) <= 3
    assert len(set(raised.value.nearest)) == len(raised.value.nearest)


def test_each_name_that_the_book_lists_has_a_price(book: PriceBook) -> None:
    for provider, model in book.names():
        book.price_of(provider, model, at=NOW)


@pytest.mark.parametrize("arn", ["application-inference-profile/abc1", "provisioned-model/abc1"])
def test_an_arn_that_does_not_tell_the_model_is_unknown(book: PriceBook, arn: str) -> None:
    with pytest.raises(UnknownModelError):
        book.price_of("aws", f"arn:aws:bedrock:us-east-1:123456789012:{arn}", at=NOW)


@pytest.mark.parametrize(
    ("written", "provider"),
    [
        ("OpenAI", "openai"),
        ("azure-openai", "azure"),
        ("Azure OpenAI", "azure"),
        ("az.ai.openai", "azure"),
        ("azure.ai.inference", "azure"),
        ("microsoft.foundry", "azure"),
        ("aws", "aws"),
        ("amazon", "aws"),
        ("Amazon Bedrock", "aws"),
        ("aws.bedrock", "aws"),
        ("bedrock_converse", "aws"),
        ("anthropic-bedrock", "aws"),
        ("gemini", "google"),
        ("gcp.vertex_ai", "google"),
        ("google-vertex", "google"),
        ("vertex_ai-anthropic_models", "google"),
        ("google-gla", "google"),
        ("xai", "x-ai"),
        ("x.ai", "x-ai"),
        ("mistral_ai", "mistral"),
        ("together_ai", "together"),
        ("our-own", "our-own"),
    ],
)
def test_a_provider_is_known_by_its_usual_names(written: str, provider: str) -> None:
    assert provider_id(written) == provider
