"""Entries of Bedrock's log as records: what each used and cost, and what has no price."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from bedrock_deliveries import (
    AT,
    ENTRIES,
    PERMISSIONS,
    a_delivery,
    an_entry,
    an_event,
    events_of,
    packed,
)
from hypothesis import given
from hypothesis import strategies as st

from spendfuse.bedrock_rules import BedrockRules
from spendfuse.errors import InputError
from spendfuse.metering.bedrock_log import Metered, metered, read_delivery
from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.record import Record

RULES = BedrockRules(models={"a1b2c3d4e5f6": "anthropic.claude-3-haiku-20240307-v1:0"})


@pytest.fixture(scope="module")
def prices() -> PriceBook:
    """As it travels in the asset."""
    return PriceBook.from_json(PriceBook.standard().to_json(providers=("aws",)))


def the_record(prices: PriceBook, name: str, rules: BedrockRules = RULES, **over: Any) -> Record:
    (record,) = metered(events_of(an_entry(name, **over)), rules, prices).records
    return record


# List prices in dollars a million tokens; the sums are dollars.
COSTS = {
    # 4,000 x 0.06 + 1,000 x 0.24
    "converse-stream": 480_000,
    # 1 x 5 + 129,709 x 0.50 + 411 x 10 (kept for an hour) + 326 x 25
    "invoke-stream-cached": 77_119_500,
    # 18 x 3.30 + 1,000 x 0.33 + 502 x 4.125 + 7,000 x 6.60 + 386 x 16.50
    "converse-cached-1h": 55_029_150,
    # 1,268 x 0.25 + 312 x 1.25
    "converse-without-bodies": 707_000,
    # 20 x 0.02
    "invoke-embedding": 400,
    "invoke-image": None,
    "provisioned": None,
    # Refused before it used anything.
    "refused": 0,
}


@pytest.mark.parametrize("name", ENTRIES)
def test_a_logged_call_costs_what_the_list_says(prices: PriceBook, name: str) -> None:
    record = the_record(prices, name)

    assert record.cost_nano_usd == COSTS[name]
    assert (record.problem is None) is (COSTS[name] is not None)


def test_a_record_has_the_call_s_id_time_model_and_counts(prices: PriceBook) -> None:
    record = the_record(prices, "invoke-stream-cached")

    assert record.id == "081f659f-fc8a-40ce-8a6b-688bcaa9c628"
    assert record.at == datetime(2026, 11, 21, 8, 57, 15, tzinfo=UTC)
    assert (record.provider, record.model) == ("aws", "global.anthropic.claude-opus-4-6-v1")
    assert record.usage.counts() == {
        "input_tokens": 130_121,
        "cached_input_tokens": 129_709,
        "cache_write_tokens": 411,
        "cache_write_1h_tokens": 411,
        "output_tokens": 326,
    }
    assert (record.status, record.error_type) == ("ok", None)
    assert record.price_version


def test_a_cache_write_counts_for_five_minutes_where_no_body_says_longer(
    prices: PriceBook,
) -> None:
    record = the_record(prices, "invoke-stream-cached", output={"outputTokenCount": 326})

    # 411 x 6.25 instead of 411 x 10
    assert record.cost_nano_usd == 75_578_250


@pytest.mark.parametrize(
    ("body", "nano"),
    [
        # Converse, whole
        ({"usage": {"inputTokens": 4000, "outputTokens": 1000}}, 480_000),
        # Anthropic, whole
        ({"usage": {"input_tokens": 4000, "output_tokens": 1000}}, 480_000),
        # a stream: the later chunk has the last count
        (
            [
                {"message": {"usage": {"input_tokens": 4000, "output_tokens": 1}}},
                {"usage": {"output_tokens": 1000}},
            ],
            480_000,
        ),
        ([{"metadata": {"usage": {"inputTokens": 4000, "outputTokens": 1000}}}], 480_000),
        ("no object", None),
        ([7, None, {"usage": "none"}], None),
        (None, None),
    ],
)
def test_a_body_s_usage_fills_in_for_counts_that_are_missing(
    prices: PriceBook, body: Any, nano: int | None
) -> None:
    record = the_record(prices, "converse-stream", input={}, output={"outputBodyJson": body})

    assert record.cost_nano_usd == nano


def test_the_log_s_own_counts_win_over_the_body_s(prices: PriceBook) -> None:
    body = {"usage": {"inputTokens": 9_999_999, "outputTokens": 9_999_999}}
    output = {"outputTokenCount": 1000, "outputBodyJson": body}

    assert the_record(prices, "converse-stream", output=output).cost_nano_usd == 480_000


@pytest.mark.parametrize("hour", [412, 10**15, -1, True, "411", None])
def test_a_lifetime_that_can_t_be_costs_no_count(prices: PriceBook, hour: Any) -> None:
    creation = {"cache_creation": {"ephemeral_1h_input_tokens": hour}}
    output = {"outputTokenCount": 326, "outputBodyJson": {"usage": creation}}
    cost = the_record(prices, "invoke-stream-cached", output=output).cost_nano_usd

    # All of it for an hour at most, or none.
    assert cost == (77_119_500 if type(hour) is int and hour > 411 else 75_578_250)


@pytest.mark.parametrize(
    ("tier", "nano"), [("flex", 240_000), ("priority", 840_000), ("default", 480_000)]
)
def test_a_logged_service_tier_has_its_price(prices: PriceBook, tier: str, nano: int) -> None:
    output = {"outputTokenCount": 1000, "outputBodyJson": {"serviceTier": {"type": tier}}}

    assert the_record(prices, "converse-stream", output=output).cost_nano_usd == nano


@pytest.mark.parametrize(
    ("model", "name", "reason"),
    [
        ("anthropic.claude-of-tomorrow", "anthropic.claude-of-tomorrow", "no model"),
        (None, "unknown", "names no model"),
        (
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/zzz",
            "application-inference-profile/zzz",
            "name it in bedrock_log.models",
        ),
        (
            # Its name begins with a model's, which has another price.
            "arn:aws:bedrock:us-east-1:1:custom-model/anthropic.claude-3-haiku-20240307-v1:0/abc",
            "custom-model/anthropic.claude-3-haiku-20240307-v1:0/abc",
            "name it in bedrock_log.models",
        ),
        (
            "arn:aws:bedrock:us-east-1:1:imported-model/abc",
            "imported-model/abc",
            "billed by the minute",
        ),
        (
            "arn:aws:bedrock:us-east-1:1:provisioned-model/abc",
            "provisioned-model/abc",
            "billed by the hour",
        ),
        (
            "arn:aws:sagemaker:us-east-1:1:endpoint/abc",
            "endpoint/abc",
            "billed by the hour",
        ),
        (
            "arn:aws:bedrock:us-east-1:1:default-prompt-router/anthropic.claude:1",
            "default-prompt-router/anthropic.claude:1",
            "name it in bedrock_log.models",
        ),
    ],
)
def test_what_the_book_can_t_price_is_counted_without_a_price(
    prices: PriceBook, model: str | None, name: str, reason: str
) -> None:
    record = the_record(prices, "converse-stream", modelId=model)

    assert (record.model, record.cost_nano_usd) == (name, None)
    assert reason in str(record.problem)
    assert record.usage.input_tokens == 4000


@pytest.mark.parametrize(
    "key", ["abc", "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc"]
)
def test_a_profile_s_model_can_be_told_by_id_and_by_arn(prices: PriceBook, key: str) -> None:
    arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc"
    rules = BedrockRules(models={key: "amazon.nova-lite-v1:0"})
    record = the_record(prices, "converse-stream", rules, modelId=arn)

    assert (record.model, record.cost_nano_usd) == ("amazon.nova-lite-v1:0", 480_000)


def test_a_refused_call_is_an_error_that_cost_nothing(prices: PriceBook) -> None:
    record = the_record(prices, "refused")

    assert (record.status, record.error_type) == ("error", "ValidationException")
    assert record.cost_nano_usd == 0


def test_a_call_that_failed_after_it_used_tokens_costs_them(prices: PriceBook) -> None:
    record = the_record(prices, "converse-stream", errorCode="ModelStreamErrorException")

    assert (record.status, record.cost_nano_usd) == ("error", 480_000)


@pytest.mark.parametrize("count", [-1, True, 1.5, "4000", [], 10**13])
def test_a_count_that_is_none_is_recorded_without_a_price(prices: PriceBook, count: Any) -> None:
    record = the_record(prices, "converse-stream", input={"inputTokenCount": count})

    assert record.cost_nano_usd is None
    assert "must be" in str(record.problem)


def test_an_entry_without_a_time_or_an_id_has_its_log_event_s(prices: PriceBook) -> None:
    entry = an_entry("converse-stream", timestamp="yesterday", requestId=None)
    (record,) = metered([an_event(entry, "38471")], RULES, prices).records

    assert record.id == "38471"
    assert record.at == datetime.fromtimestamp(AT / 1000, UTC)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (an_event('{"schemaType": "ModelInvocationLog", "input": {"SECRET'), "no whole JSON"),
        ({"id": "1", "timestamp": AT}, "no message"),
        ("SECRET", "no message"),
        (
            {"id": "1", "message": json.dumps(an_entry("converse-stream", timestamp=None))},
            "has a time",
        ),
        (an_event('{"a":' * 100_000), "no whole JSON"),
    ],
)
def test_an_event_that_can_t_be_read_is_told_by_its_id_and_stops_no_other(
    prices: PriceBook, event: Any, reason: str
) -> None:
    found = metered([event, *events_of(an_entry("converse-stream"))], RULES, prices)

    assert [each.cost_nano_usd for each in found.records] == [480_000]
    ((event_id, why),) = found.unreadable
    assert event_id in {"1", "without an id"}
    assert reason in why
    assert "SECRET" not in why


def test_lines_that_are_no_invocations_are_left_alone(prices: PriceBook) -> None:
    found = metered(events_of(PERMISSIONS, {"schemaType": "Other"}, {}), RULES, prices)

    assert (found.records, found.unreadable, found.foreign) == ([], [], 3)


def test_no_body_gets_into_a_record(prices: PriceBook) -> None:
    found = metered(events_of(*(an_entry(name) for name in ENTRIES)), RULES, prices)

    assert len(found.records) == len(ENTRIES)
    assert "SECRET" not in json.dumps([each.to_json() for each in found.records])
    assert "SECRET" not in " ".join(found.unpriced)


def test_a_delivery_names_its_source_and_its_events() -> None:
    delivery = read_delivery(a_delivery({}, {}))

    assert delivery.source == (
        "123456789012",
        "/spendfuse/bedrock",
        "aws/bedrock/modelinvocations",
    )
    assert delivery.event_ids == ["38470", "38471"]


def test_a_control_message_has_no_events() -> None:
    assert read_delivery(a_delivery({}, messageType="CONTROL_MESSAGE")).events == ()


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"awslogs": {}},
        {"awslogs": {"data": "?"}},
        {"awslogs": {"data": "bm8gZ3ppcA=="}},
        {"awslogs": {"data": packed([])}},
        {"awslogs": {"data": packed({"messageType": "DATA_MESSAGE"})}},
        {"awslogs": {"data": a_delivery({})["awslogs"]["data"][:40]}},
        a_delivery({}, logEvents=None),
    ],
)
def test_what_is_no_delivery_is_refused_whole(event: Any) -> None:
    with pytest.raises(InputError, match="no delivery of CloudWatch Logs"):
        read_delivery(event)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(sorted(an_entry("invoke-stream-cached") | {"errorCode": 1, "x": 1}))


@given(st.dictionaries(KEYS, JSON), st.dictionaries(KEYS, JSON))
def test_whatever_stands_in_an_entry_its_neighbours_count(
    prices: PriceBook, over: dict[str, Any], section: dict[str, Any]
) -> None:
    junk = an_entry("invoke-stream-cached") | over
    nested = an_entry("converse-cached-1h", requestMetadata=section, output=section)
    found = metered(events_of(junk, nested, an_entry("converse-stream")), RULES, prices)

    assert found.records[-1].cost_nano_usd == 480_000
    assert total(found) == 3
    for record in found.records:
        text = json.dumps(record.to_json())
        assert record.cost_nano_usd is None or type(record.cost_nano_usd) is int
        assert len(text) < 200_000


def total(found: Metered) -> int:
    return len(found.records) + len(found.unreadable) + found.foreign + found.metered_elsewhere
