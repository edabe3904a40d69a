"""What the minutes of late came to: the little that gauges ask of the past. Pure.

Days are UTC days. A figure "of the last n minutes" is about the n whole minutes before now's own,
because now's own is not over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from spendfuse.errors import InputError
from spendfuse.ledger.tally import Series, SeriesKey, minute_of, start_of
from spendfuse.ledger.tally_pieces import packed, unpacked

BEDROCK = "aws"
"""The provider of Bedrock's calls, as the meter names it: it counts tokens itself, for all who
call it. Of other providers none are kept, or senders that name too many would fill the row."""
DAYS_KEPT = 40
MINUTES_KEPT = 180
_SECONDS = 60
_HOUR_MINUTES = 60


class Minute(NamedTuple):
    """All requests of one minute."""

    nano_usd: int = 0
    requests: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class SeriesState:
    """Spend by day for 40 days; requests, errors and tokens by minute for 180 minutes."""

    days: Mapping[date, int] = field(default_factory=dict)
    """Nano-dollars."""
    minutes: Mapping[int, Minute] = field(default_factory=dict)
    provider_tokens: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    """Input and output, by minute, of providers that are compared with their own count."""
    newest: int | None = None
    """The last minute with a request; None before the first."""

    def with_added(self, figures: Mapping[SeriesKey, Series], now: datetime) -> SeriesState:
        """Return the state with new figures in it, and without what is too old by ``now``."""
        days, minutes = dict(self.days), dict(self.minutes)
        tokens = {name: dict(each) for name, each in self.provider_tokens.items()}
        newest = self.newest
        for (minute, by, value), series in figures.items():
            if by == "provider" and value == BEDROCK:
                of_provider = tokens.setdefault(value, {})
                used = series.input_tokens + series.output_tokens
                of_provider[minute] = of_provider.get(minute, 0) + used
            elif by == "":
                day = start_of(minute).date()
                days[day] = days.get(day, 0) + series.nano_usd
                before = minutes.get(minute, Minute())
                minutes[minute] = Minute(
                    before.nano_usd + series.nano_usd,
                    before.requests + series.requests,
                    before.errors + series.errors,
                )
                if series.requests:
                    newest = minute if newest is None else max(newest, minute)
        first_day = now.astimezone(UTC).date() - timedelta(days=DAYS_KEPT)
        first = minute_of(now) - MINUTES_KEPT
        return SeriesState(
            {day: nano for day, nano in days.items() if day >= first_day},
            {minute: each for minute, each in minutes.items() if minute >= first},
            _since(first, tokens),
            newest,
        )

    def spent_on(self, day: date) -> int:
        """Return the nano-dollars of one UTC day, of the last 40."""
        return self.days.get(day, 0)

    def month_to_date(self, now: datetime) -> int:
        """Return the nano-dollars of now's calendar month (UTC)."""
        today = now.astimezone(UTC).date()
        return sum(
            nano
            for day, nano in self.days.items()
            if (day.year, day.month) == (today.year, today.month)
        )

    def last_hour(self, now: datetime) -> int:
        """Return the nano-dollars of the 60 whole minutes before now's."""
        return sum(each.nano_usd for each in self._last(_HOUR_MINUTES, now))

    def minutes_since_usage(self, now: datetime) -> int | None:
        """Return the age of the newest request in minutes; None before the first."""
        return None if self.newest is None else max(0, minute_of(now) - self.newest)

    def errors_of_last(self, minutes: int, now: datetime) -> tuple[int, int]:
        """Return the errors and the requests of as many whole minutes before now's."""
        found = self._last(minutes, now)
        return sum(each.errors for each in found), sum(each.requests for each in found)

    def tokens(self, provider: str, since: datetime, until: datetime) -> int:
        """Return a provider's tokens, input and output, of the minutes that begin in between.

        ``since`` is inclusive, ``until`` exclusive. Only Bedrock's are remembered, for 180 minutes.
        """
        first = -(-since.timestamp() // _SECONDS)
        return sum(
            count
            for minute, count in self.provider_tokens.get(provider, {}).items()
            if first <= minute and minute * _SECONDS < until.timestamp()
        )

    def _last(self, minutes: int, now: datetime) -> list[Minute]:
        end = minute_of(now)
        return [each for minute, each in self.minutes.items() if end - minutes <= minute < end]

    def to_bytes(self) -> bytes:
        return packed(
            {
                "days": {day.isoformat(): nano for day, nano in self.days.items()},
                "minutes": [[minute, *each] for minute, each in self.minutes.items()],
                "provider_tokens": {
                    name: [[minute, count] for minute, count in each.items()]
                    for name, each in self.provider_tokens.items()
                },
                "newest": self.newest,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> SeriesState:
        """Read what ``to_bytes`` wrote.

        Raises:
            InputError: not of this version.
        """
        content: dict[str, Any] = unpacked(data)
        try:
            return cls(
                {date.fromisoformat(day): nano for day, nano in content["days"].items()},
                {minute: Minute(*each) for minute, *each in content["minutes"]},
                {
                    name: {minute: count for minute, count in each}  # noqa: C416
                    for name, each in content["provider_tokens"].items()
                },
                content["newest"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{len(data)} bytes are no state of the series: {error!r}") from error


def _since(first: int, tokens: Mapping[str, Mapping[int, int]]) -> dict[str, dict[int, int]]:
    recent = {
        name: {minute: count for minute, count in each.items() if minute >= first and count}
        for name, each in tokens.items()
    }
    return {name: each for name, each in recent.items() if each}
