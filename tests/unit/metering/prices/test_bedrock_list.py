"""Amazon Bedrock's list, at https://aws.amazon.com/bedrock/pricing/.

Claude 4.5 and later cost a tenth more through a geography or in one region than through the
world; earlier ones cost the same everywhere. A batch costs half.
"""

from __future__ import annotations

import pytest
from unit.metering.prices.listed import Case, assert_costs_what_is_listed, case

from spendfuse.metering.price_book import PriceBook

_HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
_SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
_OLD = "anthropic.claude-3-haiku-20240307-v1:0"
_ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/"

CLAUDE = [
    case("aws", f"global.{_HAIKU}", "1000 * 1.00/M + 500 * 5.00/M",
         input_tokens=1000, output_tokens=500),
    case("aws", f"us.{_HAIKU}", "1000 * 1.10/M + 500 * 5.50/M",
         input_tokens=1000, output_tokens=500),
    case("aws", f"eu.{_HAIKU}", "1000 * 1.10/M + 500 * 5.50/M",
         input_tokens=1000, output_tokens=500),
    case("aws", f"apac.{_HAIKU}", "1000 * 1.10/M + 500 * 5.50/M",
         input_tokens=1000, output_tokens=500),
    case("aws", f"jp.{_SONNET}", "1000 * 3.30/M + 500 * 16.50/M",
         input_tokens=1000, output_tokens=500),
    case("aws", f"au.{_SONNET}", "1000 * 3.30/M + 500 * 16.50/M",
         input_tokens=1000, output_tokens=500),
    case("", f"bedrock/us-east-1/{_HAIKU}", "1000 * 1.10/M + 500 * 5.50/M",
         input_tokens=1000, output_tokens=500),
    case("aws", _SONNET, "1000 * 3.30/M + 500 * 16.50/M",
         input_tokens=1000, output_tokens=500),
    case("aws", f"us-gov.{_SONNET}", "1000 * 3.60/M + 500 * 18.00/M",
         input_tokens=1000, output_tokens=500),
    case("aws", f"us.{_SONNET}:200k", "1000 * 3.30/M + 500 * 16.50/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "us.anthropic.claude-opus-4-6-v1", "1000 * 5.50/M + 500 * 27.50/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "global.anthropic.claude-opus-4-7", "1000 * 5.00/M + 500 * 25.00/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "us.anthropic.claude-opus-4-1-20250805-v1:0", "1000 * 15.00/M + 500 * 75.00/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "eu.anthropic.claude-sonnet-4-20250514-v1:0", "1000 * 3.00/M + 500 * 15.00/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "us.anthropic.claude-3-5-sonnet-20241022-v2:0", "1000 * 3.00/M + 500 * 15.00/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "anthropic.claude-3-opus-20240229-v1:0", "1000 * 15.00/M + 500 * 75.00/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "anthropic.claude-v2:1", "1000 * 8.00/M + 500 * 24.00/M",
         input_tokens=1000, output_tokens=500),
    case("aws", f"us.{_HAIKU}",
         "100 * 1.10/M + 900 * 1.375/M + 2000 * 2.20/M + 7000 * 0.11/M + 500 * 5.50/M",
         input_tokens=10_000, cache_write_tokens=2900, cache_write_1h_tokens=2000,
         cached_input_tokens=7000, output_tokens=500),
    case("aws", f"us.{_HAIKU}", "1000 * 0.55/M + 500 * 2.75/M", batch=True,
         input_tokens=1000, output_tokens=500),
    case("aws", f"global.{_HAIKU}", "1000 * 0.50/M + 500 * 2.50/M", batch=True,
         input_tokens=1000, output_tokens=500),
    case("aws", f"us.{_SONNET}", "200_000 * 3.30/M + 1000 * 16.50/M",
         input_tokens=200_000, output_tokens=1000),
    case("aws", f"us.{_SONNET}", "200_001 * 6.60/M + 1000 * 24.75/M",
         input_tokens=200_001, output_tokens=1000),
    case("aws", f"global.{_SONNET}", "200_001 * 6.00/M + 1000 * 22.50/M",
         input_tokens=200_001, output_tokens=1000),
    case("aws", f"us-gov.{_SONNET}", "200_001 * 7.20/M + 1000 * 27.00/M",
         input_tokens=200_001, output_tokens=1000),
]  # fmt: skip
NAMES = [
    case(provider, name, "1000 * 0.25/M + 500 * 1.25/M", input_tokens=1000, output_tokens=500)
    for provider, name in [
        ("aws", _OLD),
        ("bedrock", _OLD),
        ("Amazon Bedrock", _OLD),
        ("aws.bedrock", f"us.{_OLD}"),
        ("anthropic", f"us.{_OLD}"),
        ("", _OLD),
        ("", f"bedrock/{_OLD}"),
        ("", f"bedrock/us-east-1/{_OLD}"),
        ("", f"bedrock/converse/us.{_OLD}"),
        ("bedrock", f"bedrock/us-west-2/{_OLD}"),
        ("aws", f"{_OLD}:48k"),
        ("aws", f"arn:aws:bedrock:us-east-1::foundation-model/{_OLD}"),
        ("aws", f"{_ARN}us.{_OLD}"),
        ("", f"{_ARN}us.{_OLD}"),
    ]
] + [
    case("", f"{_ARN}us.{_HAIKU}", "1000 * 1.10/M + 500 * 5.50/M",
         input_tokens=1000, output_tokens=500),
    case("", f"{_ARN}global.{_HAIKU}", "1000 * 1.00/M + 500 * 5.00/M",
         input_tokens=1000, output_tokens=500),
    case("", "bedrock:eu.amazon.nova-lite-v1:0", "1000 * 0.078/M + 500 * 0.312/M",
         input_tokens=1000, output_tokens=500),
]  # fmt: skip
OTHERS = [
    case("aws", "amazon.nova-micro-v1:0", "1000 * 0.035/M + 500 * 0.14/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "us.amazon.nova-lite-v1:0", "100 * 0.06/M + 900 * 0.015/M + 500 * 0.24/M",
         input_tokens=1000, cached_input_tokens=900, output_tokens=500),
    case("aws", "us.amazon.nova-pro-v1:0", "1000 * 0.80/M + 500 * 3.20/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "eu.amazon.nova-pro-v1:0", "1000 * 1.05/M + 500 * 4.20/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "eu.amazon.nova-lite-v1:0", "1000 * 0.078/M + 500 * 0.312/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "apac.amazon.nova-micro-v1:0", "1000 * 0.037/M + 500 * 0.148/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "us.amazon.nova-premier-v1:0", "1000 * 2.50/M + 500 * 12.50/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "amazon.nova-pro-v1:0", "1000 * 0.40/M + 500 * 1.60/M", tier="flex",
         input_tokens=1000, output_tokens=500),
    case("aws", "amazon.nova-pro-v1:0", "1000 * 1.40/M + 500 * 5.60/M", tier="priority",
         input_tokens=1000, output_tokens=500),
    case("aws", "amazon.nova-pro-v1:0", "1000 * 0.40/M + 500 * 1.60/M", batch=True,
         input_tokens=1000, output_tokens=500),
    case("aws", "amazon.titan-embed-text-v2:0", "8000 * 0.02/M", input_tokens=8000),
    case("aws", "cohere.embed-english-v3", "8000 * 0.10/M", input_tokens=8000),
    case("aws", "meta.llama3-1-70b-instruct-v1:0", "1000 * 0.72/M + 500 * 0.72/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "us.meta.llama4-scout-17b-instruct-v1:0", "1000 * 0.17/M + 500 * 0.66/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "mistral.mistral-large-2402-v1:0", "1000 * 4.00/M + 500 * 12.00/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "us.deepseek.r1-v1:0", "1000 * 1.35/M + 500 * 5.40/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "openai.gpt-oss-120b-1:0", "1000 * 0.15/M + 500 * 0.60/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "qwen.qwen3-235b-a22b-2507-v1:0", "1000 * 0.22/M + 500 * 0.88/M",
         input_tokens=1000, output_tokens=500),
    # One region, where it costs more than in the United States.
    case("aws", "bedrock/eu-west-1/meta.llama3-8b-instruct-v1:0", "1000 * 0.32/M + 500 * 0.65/M",
         input_tokens=1000, output_tokens=500),
    case("", "arn:aws:bedrock:sa-east-1::foundation-model/meta.llama3-8b-instruct-v1:0",
         "1000 * 0.50/M + 500 * 1.01/M", input_tokens=1000, output_tokens=500),
    case("aws", "bedrock/eu-west-2/qwen.qwen3-coder-next", "1000 * 0.78/M + 500 * 1.86/M",
         input_tokens=1000, output_tokens=500),
    case("aws", "openai.gpt-5.4", "272_001 * 5.50/M + 500 * 24.75/M",
         input_tokens=272_001, output_tokens=500),
    case("aws", "cohere.rerank-v3-5:0", "3 * 2/K", requests=3),
]  # fmt: skip


@pytest.mark.parametrize("each", [*CLAUDE, *NAMES, *OTHERS])
def test_bedrock_costs_what_its_list_says(book: PriceBook, each: Case) -> None:
    assert_costs_what_is_listed(book, each)
