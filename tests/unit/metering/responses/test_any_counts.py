"""Whatever comes is a usage or a UsageError, and each convention counts once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spendfuse.metering.responses import usage_from
from spendfuse.metering.responses.names import NAMES, Group
from spendfuse.metering.usage import FIELDS, Usage, UsageError

names = st.sampled_from(sorted(NAMES))
whole = st.integers(0, 10**6)


def counts_under(table: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return mappings of the names that a table knows, with counts under each."""
    entries = {name: _entry(entry) for name, entry in table.items()}
    return st.lists(st.sampled_from(sorted(entries)), max_size=8, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries({name: entries[name] for name in chosen})
    )


def _entry(entry: Any) -> st.SearchStrategy[Any]:
    if not isinstance(entry, Group):
        return whole
    labels = st.sampled_from(["", *sorted(entry.labels)])
    item = st.fixed_dictionaries(
        {"modality": labels},
        optional={"tokenCount": whole, "input_tokens": whole, "output_tokens": whole},
    )
    inner = counts_under(entry.names) if entry.names else st.just({})
    return inner | st.lists(item, max_size=3)


@given(counts_under(NAMES), st.sampled_from(["", "google", "x-ai", "perplexity", "anthropic"]))
def test_any_counts_give_a_usage_or_a_usage_error(counts: dict[str, Any], provider: str) -> None:
    try:
        usage = usage_from(counts, provider=provider)
    except UsageError:
        return

    assert type(usage) is Usage
    assert all(type(count) is int and count >= 0 for count in usage)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | names, inner),
    max_leaves=12,
)


@given(json_values | st.dictionaries(names, json_values), st.booleans())
def test_any_json_gives_a_usage_or_a_usage_error(value: object, strict: bool) -> None:
    try:
        usage = usage_from(value, strict=strict)
    except UsageError:
        return

    assert all(type(count) is int and count >= 0 for count in usage)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, whole)))
def test_our_own_names_mean_what_usage_means_by_them(counts: dict[str, int]) -> None:
    implied = {"cached_audio_tokens", "cached_image_tokens"}
    try:
        usage = Usage(**counts)
    except UsageError:
        return
    if not counts:
        return

    read = usage_from(counts)

    assert {name for name in FIELDS if getattr(read, name) != getattr(usage, name)} <= implied


@given(whole, whole, whole, whole, whole)
def test_the_cache_is_counted_once_in_either_convention(
    fresh: int, cached: int, written: int, output: int, hour: int
) -> None:
    hour = min(hour, written)
    beside = {
        "input_tokens": fresh,
        "output_tokens": output,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
        "cache_creation": {"ephemeral_1h_input_tokens": hour},
    }
    within = {
        "prompt_tokens": fresh + cached + written,
        "completion_tokens": output,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "cache_write_1h_tokens": hour,
    }

    assert usage_from(beside) == usage_from(within)
