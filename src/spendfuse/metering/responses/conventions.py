"""Providers count differently; here their counts become parts of one whole.

The rule itself stands in ``usage_from``. All that is here works on slots (see ``names``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spendfuse.metering.responses import names as n
from spendfuse.metering.usage import UsageError

Found = dict[str, int]

_CACHE_BESIDE = {n.BESIDE_CACHED, n.BESIDE_WRITTEN, n.BESIDE_WRITTEN_5M, n.BESIDE_WRITTEN_1H}
_CACHE_WITHIN = {n.WRITTEN_5M, "cache_write_1h_tokens"}
_BILLED = {n.BILLED_INPUT, n.BILLED_OUTPUT}
_HALVES = {n.HIT, n.MISS}
_TELL_THE_INPUT = _BILLED | _HALVES
_OF_THE_INPUT = _CACHE_BESIDE | _CACHE_WITHIN | _BILLED | _HALVES | {n.TOOL_INPUT, n.SEARCH_UNITS}
_PERHAPS_APART = {n.THOUGHTS, n.LOOSE_REASONING, "citation_tokens"}


def settle(found: Found, counts: Mapping[str, Any], provider: str) -> None:
    """Turn all slots in ``found`` into fields of ``Usage``."""
    total = found.pop(n.TOTAL, 0)
    missing = _missing(found) if total else None
    if not found.keys().isdisjoint(_OF_THE_INPUT):
        _settle_the_input(found, counts)
    whole = found.get("input_tokens", 0) + found.get("output_tokens", 0)
    # A total of just both says that nothing stands apart, which is so for most calls.
    if total != whole or not found.keys().isdisjoint(_PERHAPS_APART):
        _take_the_reasoning_in(found, counts, total, provider, missing)
    if found.get("input_audio_tokens") or found.get("input_image_tokens"):
        _imply_what_was_cached(found)


def _missing(found: Found) -> str | None:
    """Return the one side of input and output that nobody counted, and the total tells.

    What stands beside a side (cache reads, thoughts) is no count of it.
    """
    has_input = "input_tokens" in found or not found.keys().isdisjoint(_TELL_THE_INPUT)
    has_output = "output_tokens" in found or n.BILLED_OUTPUT in found
    if has_input == has_output:
        return None
    return "output_tokens" if has_input else "input_tokens"


def _settle_the_input(found: Found, counts: Mapping[str, Any]) -> None:
    given = set(found)
    if given & _BILLED:
        _take_what_is_billed(found)
    if given & _HALVES:
        _join_the_prompt_halves(found)
    if given & _CACHE_WITHIN:
        _add_up_what_was_written(found)
    if given & _CACHE_BESIDE:
        _take_the_cache_in(found, counts)
    if n.TOOL_INPUT in given:
        _add(found, "input_tokens", found.pop(n.TOOL_INPUT))
    if n.SEARCH_UNITS in given:
        found["requests"] = max(1, found.pop(n.SEARCH_UNITS))


def _add(found: Found, slot: str, count: int) -> None:
    found[slot] = found.get(slot, 0) + count


def _raise_to(found: Found, slot: str, count: int) -> None:
    if count > found.get(slot, 0):
        found[slot] = count


def _take_what_is_billed(found: Found) -> None:
    found["input_tokens"] = found.pop(n.BILLED_INPUT, 0)
    found["output_tokens"] = found.pop(n.BILLED_OUTPUT, 0)
    # The cache is counted in all tokens, of which those that Cohere added are not billed.
    cached = found.get("cached_input_tokens", 0)
    found["cached_input_tokens"] = min(cached, found["input_tokens"])


def _join_the_prompt_halves(found: Found) -> None:
    hit, miss = found.pop(n.HIT, 0), found.pop(n.MISS, 0)
    found.setdefault("input_tokens", hit + miss)
    _raise_to(found, "cached_input_tokens", hit)


def _add_up_what_was_written(found: Found) -> None:
    hour = found.get("cache_write_1h_tokens", 0)
    minutes = found.pop(n.WRITTEN_5M, 0)
    written = found.setdefault("cache_write_tokens", minutes + hour)
    if minutes + hour > written:
        raise UsageError(
            f"cache_write_5m_tokens and cache_write_1h_tokens ({minutes} + {hour}) can't be "
            f"more than cache_write_tokens ({written}), which contains them"
        )


def _take_the_cache_in(found: Found, counts: Mapping[str, Any]) -> None:
    cached = found.pop(n.BESIDE_CACHED, 0)
    minutes, hour = found.pop(n.BESIDE_WRITTEN_5M, 0), found.pop(n.BESIDE_WRITTEN_1H, 0)
    # A stream's later counts have the sum alone, which may have grown since.
    written = max(found.pop(n.BESIDE_WRITTEN, 0), minutes + hour)
    if not _input_contains_the_cache(found, counts):
        _add(found, "input_tokens", cached + written)
    _raise_to(found, "cached_input_tokens", cached)
    _raise_to(found, "cache_write_tokens", written)
    _raise_to(found, "cache_write_1h_tokens", hour)


def _input_contains_the_cache(found: Found, counts: Mapping[str, Any]) -> bool:
    if found.get("cached_input_tokens") or found.get("cache_write_tokens"):
        return True
    return _has_one_of(counts, n.PROMPT_NAMES)


def _has_one_of(counts: Mapping[str, Any], names: frozenset[str]) -> bool:
    # The first question is the quick one, and mostly enough; None is no count.
    return not names.isdisjoint(counts) and any(counts.get(each) is not None for each in names)


def _take_the_reasoning_in(
    found: Found, counts: Mapping[str, Any], total: int, provider: str, missing: str | None
) -> None:
    loose = found.pop(n.LOOSE_REASONING, 0)
    thoughts = found.pop(n.THOUGHTS, 0)
    reasoning = max(found.get("reasoning_tokens", 0), loose)
    whole = found.get("input_tokens", 0) + found.get("output_tokens", 0)
    is_chat = _has_one_of(counts, n.CHAT_OUTPUT_NAMES)
    apart, not_in_total = thoughts, 0
    if is_chat and _is_perplexity(counts, provider):
        not_in_total = loose + found.get("citation_tokens", 0)
    elif reasoning and _is_beside_the_output(
        found, reasoning, total, missing, is_xai=is_chat and provider in {"x-ai", "xai"}
    ):
        apart += reasoning
    rest = max(0, total - whole - apart)
    if missing:
        _add(found, missing, rest)
    elif is_chat and rest and is_google(provider):
        # Its chat endpoint counts thoughts in the total alone, and bills them.
        reasoning += rest
        apart += rest
    if apart + not_in_total:
        _add(found, "output_tokens", apart + not_in_total)
    if reasoning or thoughts:
        found["reasoning_tokens"] = max(reasoning, thoughts)


def _is_beside_the_output(
    found: Found, reasoning: int, total: int, missing: str | None, *, is_xai: bool
) -> bool:
    output = found.get("output_tokens", 0)
    if missing == "input_tokens":
        # A total that has to tell the input can't tell of reasoning too.
        return is_xai or reasoning > output
    if total:
        return total == found.get("input_tokens", 0) + output + reasoning
    return is_xai


def _is_perplexity(counts: Mapping[str, Any], provider: str) -> bool:
    return (
        provider == "perplexity"
        or counts.get("citation_tokens") is not None
        or counts.get("num_search_queries") is not None
    )


def is_google(provider: str) -> bool:
    name = provider.lower()
    return "google" in name or "gemini" in name or "vertex" in name


def _imply_what_was_cached(found: Found) -> None:
    """Where the parts exceed the input, some are counted twice: media that was cached."""
    get = found.get
    cached, audio, image = (
        get("cached_input_tokens", 0),
        get("input_audio_tokens", 0),
        get("input_image_tokens", 0),
    )
    parts = cached + get("cache_write_tokens", 0) + audio + image + get("input_video_tokens", 0)
    known = get("cached_audio_tokens", 0) + get("cached_image_tokens", 0)
    twice = min(parts - get("input_tokens", 0) - known, cached - known)
    for slot, count in (("cached_audio_tokens", audio), ("cached_image_tokens", image)):
        if twice > 0 and count and slot not in found:
            found[slot] = min(twice, count)
            twice -= found[slot]
