"""What a pack adds to the ledger: one delta an item, whatever the number of records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from spendfuse.budget import Budget
from spendfuse.ledger.counters import TOTAL, Delta, ItemKey
from spendfuse.ledger.pack import Pack, UsageRecord, cut_id
from spendfuse.ledger.tally import (
    Series,
    SeriesKey,
    ShareKey,
    Tally,
    latency_bucket,
    merged_tallies,
    minute_of,
)


@dataclass(frozen=True, slots=True)
class Posting:
    """What one pack adds, whatever its records were."""

    pack_id: str
    added: Mapping[ItemKey, Delta]
    tally: Tally = field(default_factory=Tally)


def posting(pack: Pack, budgets: Sequence[Budget]) -> Posting:
    """Return what the pack adds to the counters of all budgets that its records match.

    Its tally has the shares of every budget that is not ``per`` an attribute, and the series of
    all records; those that were rejected stand under the minute in which the pack was received.
    """
    count = _Count(budgets)
    for record in pack.records:
        count.add(record)
    tally = count.tally()
    if pack.rejected:
        received = SeriesKey(minute_of(pack.received_at))
        rejected = Tally(series={received: Series(rejected=len(pack.rejected))})
        tally = merged_tallies((tally, rejected))
    return Posting(pack.id, count.added(), tally)


def deltas(records: Iterable[UsageRecord], budgets: Iterable[Budget]) -> dict[ItemKey, Delta]:
    """Return what ``records`` add to the counters of all budgets that they match."""
    count = _Count(budgets)
    for record in records:
        count.add(record)
    return count.added()


def share_of(value: str) -> str:
    """Return where a budget ``per`` an attribute counts one of its values; the total without."""
    return f"per#{cut_id(value)}" if value else TOTAL


_Key = TypeVar("_Key", bound=tuple[str, ...])


class _Count:
    """Adds records up, in plain lists: this runs for every record that there is."""

    def __init__(self, budgets: Iterable[Budget]) -> None:
        self._budgets = [(budget, _Periods(budget)) for budget in budgets]
        self._added: dict[tuple[str, str, str], list[int]] = {}
        self._shares: dict[tuple[str, str, str, str], list[int]] = {}
        self._flows: dict[tuple[int, str, str, str], _Flow] = {}

    def add(self, record: UsageRecord) -> None:
        nano_usd, unpriced = record.cost_nano_usd or 0, int(record.cost_nano_usd is None)
        minute = minute_of(record.at)
        attributes, matched_on = record.attributes, record.matched_on
        api_key, feature = attributes.get("key_id"), attributes.get("feature", "")
        by_values = (
            ("user", attributes.get("user", "")),
            ("model", record.model),
            ("feature", feature),
        )
        for budget, periods in self._budgets:
            if not budget.matches(matched_on):
                continue
            name, period = budget.name, periods.key_at(record.at, minute)
            share = share_of(budget.value_in(matched_on))
            _increase(self._added, (name, period, share), nano_usd, unpriced)
            # A budget of one person has no rungs, so nobody asks for its keys; and its shares
            # are its counters.
            if budget.per is None:
                if api_key is not None:
                    key = (name, period, f"key#{api_key}")
                    _increase(self._added, key, nano_usd, unpriced)
                for by, value in by_values:
                    _increase(self._shares, (name, period, by, value), nano_usd, unpriced)
        flow_key = (minute, record.model, feature, record.provider)
        flow = self._flows.get(flow_key)
        if flow is None:
            flow = self._flows[flow_key] = _Flow()
        flow.add(record, nano_usd, unpriced)

    def added(self) -> dict[ItemKey, Delta]:
        return {ItemKey(*key): Delta(*counts) for key, counts in self._added.items()}

    def tally(self) -> Tally:
        shares = {ShareKey(*key): Delta(*counts) for key, counts in self._shares.items()}  # type: ignore[arg-type]
        series: dict[SeriesKey, Series] = {}
        for (minute, model, feature, provider), flow in self._flows.items():
            each = flow.series()
            for key in (
                SeriesKey(minute),
                SeriesKey(minute, "model", model),
                SeriesKey(minute, "feature", feature),
                SeriesKey(minute, "provider", provider),
            ):
                series[key] = series[key] + each if key in series else each
        return Tally(shares, series)


class _Flow:
    """The requests of one minute, model, feature and provider."""

    __slots__ = (
        "cache_hits",
        "dearest_nano_usd",
        "errors",
        "input_tokens",
        "latencies",
        "nano_usd",
        "output_tokens",
        "requests",
        "unpriced",
    )

    def __init__(self) -> None:
        self.nano_usd = self.requests = self.unpriced = self.errors = self.cache_hits = 0
        self.input_tokens = self.output_tokens = self.dearest_nano_usd = 0
        self.latencies: dict[int, int] = {}

    def add(self, record: UsageRecord, nano_usd: int, unpriced: int) -> None:
        self.nano_usd += nano_usd
        self.requests += 1
        self.unpriced += unpriced
        self.errors += record.is_error
        if record.is_cached:
            self.cache_hits += 1
        else:
            # Of an answer from the app's cache the provider counts no tokens, so we don't.
            self.input_tokens += record.input_tokens
            self.output_tokens += record.output_tokens
        self.dearest_nano_usd = max(self.dearest_nano_usd, nano_usd)
        if record.latency_ms is not None:
            bucket = latency_bucket(record.latency_ms)
            self.latencies[bucket] = self.latencies.get(bucket, 0) + 1

    def series(self) -> Series:
        return Series(
            nano_usd=self.nano_usd,
            requests=self.requests,
            unpriced=self.unpriced,
            errors=self.errors,
            cache_hits=self.cache_hits,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            dearest_nano_usd=self.dearest_nano_usd,
            rejected=0,
            latencies=self.latencies,
        )


class _Periods:
    """The keys of one budget's periods; records of one minute are of one period."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._keys: dict[int, str] = {}

    def key_at(self, at: datetime, minute: int) -> str:
        key = self._keys.get(minute)
        if key is None:
            key = self._keys[minute] = self._budget.period_at(at).key
        return key


def _increase(counts: dict[_Key, list[int]], key: _Key, nano_usd: int, unpriced: int) -> None:
    count = counts.get(key)
    if count is None:
        counts[key] = [nano_usd, 1, unpriced]
    else:
        count[0] += nano_usd
        count[1] += 1
        count[2] += unpriced
