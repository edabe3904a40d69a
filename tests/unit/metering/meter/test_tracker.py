"""The meter: what it records, what it refuses, and that it breaks nobody's request."""

from __future__ import annotations

import json
import logging
import threading
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metering_sinks import KeptRecords

from spendfuse.errors import SettingsError
from spendfuse.metering import CostTracker, PriceBook, UnknownModelError, Usage, attributed
from spendfuse.metering.privacy import Pseudonyms
from spendfuse.metering.reporting import Reported

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
USAGE = {"prompt_tokens": 2000, "completion_tokens": 300}
# 2000 tokens at $2.50 and 300 at $10.00 a million.
NANO = 2000 * 2500 + 300 * 10_000


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.standard()


@pytest.fixture
def sink() -> KeptRecords:
    return KeptRecords()


@pytest.fixture
def tracker(book, sink) -> CostTracker:
    return CostTracker(sinks=[sink], prices=book, now=lambda: NOW)


@pytest.fixture
def lenient(book, sink) -> CostTracker:
    return CostTracker(sinks=[sink], prices=book, unknown_models="unpriced", now=lambda: NOW)


def test_the_seeds_call_records_user_endpoint_model_and_cost(tracker, sink) -> None:
    record = tracker.track_usage("u1", "/chat", "gpt-4o", USAGE)

    assert sink.records == [record]
    assert record.attributes == {"user": "u1", "endpoint": "/chat"}
    assert (record.provider, record.model, record.cost_nano_usd) == ("openai", "gpt-4o", NANO)
    assert (record.at, record.status) == (NOW, "ok")
    assert "genai-prices" in record.price_version


def test_a_call_carries_the_attribution_in_force_and_its_own_values_on_top(tracker) -> None:
    with attributed(user="u1", team="search", feature="ask"):
        record = tracker.track("gpt-4o", USAGE, feature="summary", quality_score=0.9)

    assert record.attributes == {"user": "u1", "team": "search", "feature": "summary"}
    assert record.fields == {"quality_score": 0.9}


def test_attributes_of_the_process_stand_below_all_others(book, sink) -> None:
    tracker = CostTracker(
        sinks=[sink], prices=book, attributes={"environment": "prod", "team": "core", "pod": 7}
    )
    with attributed(team="search"):
        record = tracker.track("gpt-4o", USAGE, user="u1")

    assert record.attributes == {"environment": "prod", "team": "search", "user": "u1"}
    assert record.fields == {"pod": 7}


def test_an_unknown_model_is_an_error_that_names_the_nearest(tracker, sink) -> None:
    with pytest.raises(UnknownModelError, match=r"no model 'gpt-4omni'.*gpt-4o-mini"):
        tracker.track_usage("u1", "/chat", "gpt-4omni", USAGE)

    assert sink.records == []


def test_by_choice_an_unknown_model_is_recorded_without_a_price_and_counted(lenient, sink) -> None:
    record = lenient.track_usage("u1", "/chat", "gpt-4omni", USAGE)

    assert sink.records == [record]
    assert record.cost_nano_usd is None
    assert record.usage.input_tokens == 2000
    assert record.problem == "the price book does not know the model"
    assert lenient.health().unpriced == 1


def test_a_choice_that_there_is_not_is_refused(book) -> None:
    with pytest.raises(SettingsError, match='must be "raise" or "unpriced", got \'zero\''):
        CostTracker(sinks=[], prices=book, unknown_models="zero")


def test_what_a_tracker_can_not_be_made_of_is_said_at_once(book) -> None:
    with pytest.raises(SettingsError) as error:
        CostTracker(
            sinks=[{"kind": "print"}],
            prices="prices.yaml",
            pseudonyms="key",
            attributes="team=search",
        )

    lines = str(error.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "sinks",
        "prices",
        "pseudonyms",
        "attributes",
    ]
    assert "open_sinks([...]) opens them" in lines[0]
    with pytest.raises(SettingsError, match="warn_above_usd: expected an amount in dollars"):
        CostTracker(sinks=[], prices=book, warn_above_usd="much")


def test_a_limit_may_be_a_float_of_the_shortest_text(book, caplog) -> None:
    tracker = CostTracker(sinks=[], prices=book, warn_above_usd=0.05)
    with caplog.at_level(logging.WARNING):
        tracker.track("gpt-4o", {"prompt_tokens": 20_000})
        tracker.track("gpt-4o", {"prompt_tokens": 20_001})

    assert len(caplog.records) == 1


@pytest.mark.parametrize("user", [17, uuid.UUID(int=5), Decimal(3)])
def test_a_user_id_that_is_no_text_is_the_user_and_gets_a_pseudonym(book, sink, user) -> None:
    CostTracker(sinks=[sink], prices=book).track("gpt-4o", USAGE, user=user, team=7)
    CostTracker(sinks=[sink], prices=book, pseudonyms=Pseudonyms(b"k" * 16)).track_usage(
        user, "/chat", "gpt-4o", USAGE
    )

    plain, hidden = sink.records
    assert plain.attributes == {"user": str(user), "team": "7"}
    assert hidden.attributes["user"] == Pseudonyms(b"k" * 16).of(str(user))
    assert hidden.fields == {}


class Hostile:
    """An object that raises whatever is asked of it."""

    def __getattr__(self, name):
        raise RuntimeError(name)

    def __str__(self):
        raise RuntimeError


class HostileMapping(dict):
    def __getitem__(self, key):
        raise RuntimeError(key)

    def get(self, key, default=None):
        raise RuntimeError(key)

    def items(self):
        raise RuntimeError


@pytest.mark.parametrize(
    "options",
    [
        {"usage": Hostile()},
        {"usage": HostileMapping(prompt_tokens=3, total=4)},
        {"model": Hostile()},
        {"model": None},
        {"model": ""},
        {"model": "x" * 1_000_000},
        {"provider": None},
        {"provider": b"openai"},
        {"provider": Hostile()},
        {"provider": "openai", "model": ""},
        {"tier": Hostile()},
        {"tier": 7},
        {"at": datetime.max.replace(tzinfo=UTC), "model": "deepseek-chat"},
        {"at": datetime(2026, 11, 21, 12)},  # noqa: DTZ001 (that is the mistake)
        {"at": "2026-11-21"},
        {"status": "weird"},
        {"status": Hostile()},
        {"error_type": ValueError("my secret prompt")},
        {"error_type": ValueError},
        {"cached": "false"},
        {"batch": "no"},
        {"user": Hostile(), "feature": Hostile(), "extra": Hostile()},
    ],
)
def test_whatever_a_call_is_given_it_is_recorded_and_nothing_is_raised(
    lenient, sink, options
) -> None:
    given = {"model": "gpt-4o", "usage": USAGE} | options
    record = lenient.track(given.pop("model"), given.pop("usage"), **given)

    assert sink.records == [record]
    assert json.loads(json.dumps(record.to_json()))["status"] in {"ok", "error", "cancelled"}
    assert "secret" not in json.dumps(record.to_line())
    assert record.cost_nano_usd in {None, NANO}


@pytest.mark.parametrize("at", [datetime(2026, 11, 21, 12), "2026-11-21", 7])  # noqa: DTZ001
def test_a_time_that_is_none_is_now_and_the_record_says_so(tracker, at) -> None:
    record = tracker.track("gpt-4o", USAGE, at=at)

    assert record.at.tzinfo is not None
    assert "no aware datetime" in (record.problem or "")
    assert record.cost_nano_usd == NANO


def test_counts_that_differ_in_their_numbers_are_one_reason_and_leave_room_for_others(
    lenient, caplog
) -> None:
    with caplog.at_level(logging.WARNING):
        for number in range(1, 300):
            lenient.track("gpt-4o", {"input_tokens": number, "cached_input_tokens": 1000})
        lenient.track("brand-new-model", USAGE)

    assert len(caplog.records) == 2
    assert "brand-new-model" in caplog.messages[-1]


def test_many_attributes_never_push_out_the_user(tracker, caplog) -> None:
    ambient = {f"a{number}": "v" for number in range(60)}
    with attributed(**ambient):
        record = tracker.track_usage("u1", "/chat", "gpt-4o", USAGE)

    assert record.attributes["user"] == "u1"
    assert record.attributes["endpoint"] == "/chat"
    assert len(record.attributes) == 50


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": True, "completion_tokens": 3},
        {"prompt_tokens": float("nan")},
        {"prompt_tokens": float("inf")},
        {"prompt_tokens": -5},
        {"prompt_tokens": 10**30},
        {"prompt_tokens": "many"},
        {"input_tokens": 5, "cached_input_tokens": 7},
        {},
        {"colour": 3},
        None,
        object(),
        [1, 2],
    ],
)
def test_usage_that_can_not_be_read_is_recorded_without_a_price_and_raises_nothing(
    tracker, sink, usage, caplog
) -> None:
    with caplog.at_level(logging.WARNING):
        record = tracker.track_usage("u1", "/chat", "gpt-4o", usage)
        tracker.track_usage("u1", "/chat", "gpt-4o", usage)

    assert record.cost_nano_usd is None
    assert record.problem
    assert tracker.health().refused == 2
    assert len(sink.records) == 2
    assert len(caplog.records) == 1


def test_what_has_no_price_in_a_known_model_is_recorded_without_one(tracker) -> None:
    in_characters = tracker.track("gpt-4o", Usage(characters=1000))
    in_a_tier = tracker.track("gpt-4o", USAGE, tier="gold")

    assert in_characters.cost_nano_usd is in_a_tier.cost_nano_usd is None
    assert "no price for characters (1000)" in (in_characters.problem or "")
    assert "no tier 'gold'" in (in_a_tier.problem or "")


def test_an_answer_from_the_apps_own_cache_costs_nothing(tracker) -> None:
    record = tracker.track("gpt-4o", USAGE, cached=True)

    assert (record.cost_nano_usd, record.cached) == (0, True)


def test_a_call_that_failed_before_it_was_counted_costs_nothing(tracker) -> None:
    record = tracker.track("no-such-model", Usage(), status="error", error_type="RateLimitError")

    assert (record.cost_nano_usd, record.status) == (0, "error")
    assert record.error_type == "RateLimitError"


def test_a_call_that_failed_after_it_was_counted_costs_what_it_used(tracker) -> None:
    record = tracker.track("gpt-4o", USAGE, status="error", error_type="TimeoutError")

    assert record.cost_nano_usd == NANO


def test_the_price_of_a_call_is_that_of_its_time(tracker) -> None:
    before = tracker.track("o3", USAGE, at=datetime(2025, 6, 9, 23, 59, 59, tzinfo=UTC))
    after = tracker.track("o3", USAGE, at=datetime(2025, 6, 10, tzinfo=UTC))

    assert before.cost_nano_usd == 2000 * 10_000 + 300 * 40_000
    assert after.cost_nano_usd == 2000 * 2_000 + 300 * 8_000


def test_batches_and_tiers_have_their_own_price(tracker) -> None:
    assert tracker.track("gpt-4o", USAGE, batch=True).cost_nano_usd == NANO // 2
    assert tracker.track("o3", USAGE, tier="flex").cost_nano_usd == 2000 * 1000 + 300 * 4000


def test_one_dear_call_is_warned_of_without_naming_its_user(book, sink, caplog) -> None:
    tracker = CostTracker(sinks=[sink], prices=book, warn_above_usd=Decimal("0.05"))
    with caplog.at_level(logging.WARNING):
        tracker.track_usage("anna", "/chat", "gpt-4o", {"prompt_tokens": 20_000})
        tracker.track_usage("anna", "/chat", "gpt-4o", {"prompt_tokens": 20_001}, feature="ask")

    (warning,) = caplog.messages
    assert "one call cost $0.05, above $0.05: model gpt-4o, feature ask" in warning
    assert "anna" not in warning


def test_users_are_pseudonyms_before_a_record_leaves(book, sink) -> None:
    tracker = CostTracker(sinks=[sink], prices=book, pseudonyms=Pseudonyms(b"k" * 16))
    with attributed(user="anna"):
        tracker.track("gpt-4o", USAGE)
    tracker.track_usage("anna", "/chat", "gpt-4o", USAGE)

    first, second = sink.records
    assert first.attributes["user"] == second.attributes["user"] == Pseudonyms(b"k" * 16).of("anna")


def test_a_user_id_of_ten_kilobytes_is_cut(tracker) -> None:
    record = tracker.track_usage("ü" * 10_000, "/chat", "gpt-4o", USAGE)

    assert len(record.attributes["user"].encode()) <= 256


@pytest.mark.parametrize("latency", [float("nan"), float("inf"), -3, "soon", None])
def test_a_latency_that_can_not_be_is_left_out(tracker, latency) -> None:
    assert tracker.track("gpt-4o", USAGE, latency_ms=latency).latency_ms is None


def test_a_latency_is_kept_in_whole_milliseconds(tracker) -> None:
    assert tracker.track("gpt-4o", USAGE, latency_ms=420.9).latency_ms == 420


def test_a_quiet_report_never_raises_whatever_it_holds(tracker, sink) -> None:
    unknown = tracker.track_quietly(Reported("gpt-4omni", USAGE))
    broken = tracker.track_quietly(Reported(None, USAGE, provider=7))  # type: ignore[arg-type]

    assert unknown is not None
    assert unknown.cost_nano_usd is None
    assert broken is None or broken.cost_nano_usd is None
    assert len(sink.records) + tracker.health().refused >= 2


@given(
    st.dictionaries(
        st.sampled_from(["prompt_tokens", "completion_tokens", "input_tokens", "cached_tokens"]),
        st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=5)),
    ),
    st.text(max_size=300),
    st.text(max_size=40),
)
def test_whatever_is_reported_becomes_a_record_or_a_counted_refusal(usage, user, model) -> None:
    sink = KeptRecords()
    tracker = CostTracker(sinks=[sink], prices=_BOOK, unknown_models="unpriced", now=lambda: NOW)
    record = tracker.track_usage(user, "/chat", model, usage)

    assert sink.records == [record]
    assert record.cost_nano_usd is None or type(record.cost_nano_usd) is int
    record.to_json()


_BOOK = PriceBook.standard()


def test_reasons_are_logged_once_and_never_without_bound(lenient, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            lenient.track(f"made-up-{number}", USAGE)

    # A hundred kinds, and then one a minute.
    assert len(caplog.records) <= 101
    assert lenient.health().unpriced == 1000


def test_threads_lose_no_count(tracker, sink) -> None:
    def work() -> None:
        for _ in range(500):
            tracker.track("gpt-4o", USAGE)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert tracker.health().tracked == len(sink.records) == 2000
    assert len({record.id for record in sink.records}) == 2000


def test_a_sink_that_raises_breaks_neither_the_call_nor_its_neighbours(book, sink) -> None:
    class Broken(KeptRecords):
        name = "broken"

        def emit(self, record) -> None:
            raise RuntimeError("disk on fire")

    tracker = CostTracker(sinks=[Broken(), sink], prices=book)
    tracker.track("gpt-4o", USAGE)

    assert len(sink.records) == 1
    assert tracker.health().sinks["broken"].dropped == 1


def test_closing_closes_the_sinks(tracker, sink) -> None:
    assert tracker.flush()
    tracker.close()

    assert sink.is_closed


def test_a_response_is_tracked_with_the_model_that_it_names(tracker) -> None:
    response = {"model": "gpt-4o-2024-08-06", "usage": USAGE, "service_tier": "default"}
    record = tracker.track_response(response, latency_ms=420, user="u1")

    assert (record.model, record.cost_nano_usd) == ("gpt-4o-2024-08-06", NANO)
    assert (record.latency_ms, record.attributes) == (420, {"user": "u1"})


def test_a_response_that_names_no_model_is_told_it(tracker) -> None:
    response = {"output": {"message": {}}, "usage": {"inputTokens": 1000, "outputTokens": 100}}
    record = tracker.track_response(
        response, provider="bedrock", model="us.anthropic.claude-haiku-4-5-20251001-v1:0"
    )

    # $1.10 and $5.50 a million, in a region.
    assert record.cost_nano_usd == 1000 * 1100 + 100 * 5500


@pytest.mark.parametrize("response", [None, {"choices": []}, "text", {"usage": {"x": 1}}])
def test_a_response_without_usage_is_recorded_without_a_price(tracker, response) -> None:
    record = tracker.track_response(response, model="gpt-4o")

    assert (record.model, record.cost_nano_usd) == ("gpt-4o", None)
    assert record.problem
    assert tracker.health().refused == 1
