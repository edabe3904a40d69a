"""What records say beyond the budgets' totals: who spent it, and how requests went. Pure.

Counting each user of a pack in an item of its own would cost more than all else together. So a
posting writes its tally down whole, in one item and in the same transaction as the totals, and
tallies are folded into books later: exactly once too, but seldom.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from spendfuse.ledger.counters import Delta

ShareBy = Literal["user", "model", "feature"]
SeriesBy = Literal["", "model", "feature", "provider"]
_MINUTE_SECONDS = 60
_STEP = math.log(1.1)
_TOP_BUCKET = 145
"""A little more than 15 minutes; CloudWatch takes 150 values at once."""


class ShareKey(NamedTuple):
    """One user's part, say, of what a budget counted in a period."""

    budget: str
    period: str
    by: ShareBy
    value: str
    """Empty for the records that don't say."""


class SeriesKey(NamedTuple):
    """One minute's requests: all of them (``by`` is empty), or those of one model, say."""

    minute: int
    """Whole minutes since 1970, UTC."""
    by: SeriesBy = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """What the requests of one minute came to."""

    nano_usd: int = 0
    requests: int = 0
    unpriced: int = 0
    errors: int = 0
    cache_hits: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    dearest_nano_usd: int = 0
    """Of the single dearest request."""
    rejected: int = 0
    """Records that went to quarantine."""
    latencies: Mapping[int, int] = field(default_factory=dict)
    """How many requests, by ``latency_bucket``."""

    def __add__(self, other: Series) -> Series:
        latencies = dict(self.latencies)
        for bucket, count in other.latencies.items():
            latencies[bucket] = latencies.get(bucket, 0) + count
        return Series(
            self.nano_usd + other.nano_usd,
            self.requests + other.requests,
            self.unpriced + other.unpriced,
            self.errors + other.errors,
            self.cache_hits + other.cache_hits,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            max(self.dearest_nano_usd, other.dearest_nano_usd),
            self.rejected + other.rejected,
            latencies,
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """What one posting, or several, say beyond the totals."""

    shares: Mapping[ShareKey, Delta] = field(default_factory=dict)
    series: Mapping[SeriesKey, Series] = field(default_factory=dict)


def merged_tallies(tallies: Iterable[Tally]) -> Tally:
    """Return several tallies as one."""
    shares: dict[ShareKey, Delta] = {}
    series: dict[SeriesKey, Series] = {}
    for tally in tallies:
        for share, delta in tally.shares.items():
            shares[share] = shares[share] + delta if share in shares else delta
        for key, each in tally.series.items():
            series[key] = series[key] + each if key in series else each
    return Tally(shares, series)


def minute_of(at: datetime) -> int:
    """Return the whole minutes between 1970 and ``at`` (aware)."""
    return int(at.timestamp() // _MINUTE_SECONDS)


def start_of(minute: int) -> datetime:
    """Return when a minute begins."""
    return datetime.fromtimestamp(minute * _MINUTE_SECONDS, UTC)


def latency_bucket(milliseconds: float) -> int:
    """Return the bucket of a latency: each is a tenth wider than the one before."""
    if milliseconds <= 1:
        return 0
    return min(round(math.log(milliseconds) / _STEP), _TOP_BUCKET)


def bucket_ms(bucket: int) -> float:
    """Return the middle of a bucket in milliseconds: within 5 % of what was counted there."""
    return round(math.exp(bucket * _STEP), 3)
