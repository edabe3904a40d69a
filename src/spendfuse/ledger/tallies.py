"""What tallies come to: logs folded into books, and both read as one.

Readers see each row once, in the log or in the book, whatever a fold is at.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from spendfuse.errors import InputError, UnavailableError
from spendfuse.ledger import rows
from spendfuse.ledger.counters import Delta
from spendfuse.ledger.fold import Fold, FoldRow
from spendfuse.ledger.series_state import SeriesState
from spendfuse.ledger.share_books import (
    OutOfTimeError,
    ShareBooks,
    Top,
    added_up,
    bucket_of,
    top_of,
)
from spendfuse.ledger.table import Table
from spendfuse.ledger.tally import (
    Series,
    SeriesBy,
    SeriesKey,
    ShareBy,
    ShareKey,
    Tally,
    merged_tallies,
)
from spendfuse.ledger.tally_pieces import series_of, shares_of
from spendfuse.metrics import MAX_VALUES

SHARES_WAIT = timedelta(hours=1)
"""Each fold writes every row of a book that changed: seldom is cheap."""
SHARES_LOOK = timedelta(minutes=5)
"""Between looks where nothing was due: to see how many rows wait, they have to be read."""
MOST_FIGURES = 5_000
"""That are published at one call, or a few more. A late sender's are of thousands of minutes, and
each is up to nine data points: a function that is cut off while it publishes them publishes them
again, and would never be done."""
MOST_SHARES = 200_000
"""In a fold: small rows can hold more than fits a function's memory."""
_MOST_FOLDS = 10
"""At one call; what is left waits for the next."""
_READ_ATTEMPTS = 10


class Tallies:
    """Folds and reads tallies; a fold that was cut short goes on at the next call."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._shares = Fold(table, "shares", shares_of, iter, MOST_SHARES)
        self._series = Fold(table, "series", series_of, _shown, MOST_FIGURES)
        self._books = ShareBooks(table)
        self._looked_in_vain: datetime | None = None

    def take_series(
        self, now: datetime, publish: Callable[[Mapping[SeriesKey, Series]], None]
    ) -> SeriesState:
        """Fold the series that wait, hand the new figures to ``publish``, return the state after.

        Where much waits, ``publish`` is called several times, each with other figures, and the
        rest waits for the next call. The same figures come again only where it raised, or the
        process died before it could note that it did not: the state has them once either way.

        Raises:
            UnavailableError: the table refused; the next call goes on.
            Exception: what ``publish`` raised. The figures are kept and come again.
        """
        published = 0

        def add(number: int, found: Mapping[str, Mapping[SeriesKey, Series]]) -> None:
            nonlocal published
            figures = merged_tallies(Tally(series=each) for each in found.values()).series
            if figures:
                self._add_to_state(number, figures, now)
                publish(figures)
                published += len(_shown(figures))

        for _ in range(_MOST_FOLDS):
            folded = self._series.run(now, wait=timedelta(0), add=add)
            if not folded or published >= MOST_FIGURES:
                break
        return self.series_state()

    def series_state(self) -> SeriesState:
        """Return what was folded so far.

        Raises:
            UnavailableError: the table can't be read.
        """
        return self._state()[0]

    def series_wait(self, *, before: datetime) -> bool:
        """Return whether series that were posted before then are not folded yet.

        Raises:
            UnavailableError: the table can't be read.
        """
        oldest = self._series.oldest()
        return oldest is not None and oldest < before

    def fold_shares(
        self,
        now: datetime,
        seen: Callable[[Mapping[ShareKey, Delta]], None] | None = None,
        *,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> int:
        """Fold the shares that wait, where it is worth it; return how many rows were folded.

        Args:
            now: the current time.
            seen: is given what each fold adds to the books; the same comes again only where a
                fold was cut short.
            goes_on: whether there is time for one more row of a book; they may be thousands.

        Raises:
            UnavailableError: the table refused; the next call goes on.
        """

        def add(number: int, found: Mapping[str, Mapping[ShareKey, Delta]]) -> None:
            self._looked_in_vain = None
            shares = added_up(found.values())
            self._books.add(number, shares, goes_on)
            if seen:
                seen(shares)

        if self._looked_in_vain and now - self._looked_in_vain < SHARES_LOOK:
            return 0
        folded = 0
        self._looked_in_vain = now
        with suppress(OutOfTimeError):
            for _ in range(_MOST_FOLDS):
                count = self._shares.run(now, wait=SHARES_WAIT, add=add)
                folded += count
                if not count or not goes_on():
                    break
        return folded

    def top(self, budget: str, period: str, by: ShareBy, *, most: int) -> Top:
        """Return who spent the most of a budget in a period, what waits to be folded included.

        Raises:
            UnavailableError: the table can't be read, or is folded faster than it can be read.
        """
        for _ in range(_READ_ATTEMPTS):
            last = self._shares.last()
            entries, others = self._added_up(last, budget, period, by)
            after = self._shares.last()
            # A claim that changed hands is no step forward.
            if (after.number, after.is_done) == (last.number, last.is_done):
                return top_of(entries, others, most=most)
        raise UnavailableError(
            f"the shares of {budget!r} were folded {_READ_ATTEMPTS} times while they were read; "
            "try again"
        )

    def _added_up(
        self, last: FoldRow, budget: str, period: str, by: ShareBy
    ) -> tuple[dict[str, Delta], Delta]:
        unfolded = self._shares.unfolded(last)
        pages = self._books.pages(budget, period, by)
        entries: dict[str, Delta] = {}
        for page in pages.values():
            entries |= page.entries
        open_keys = frozenset(() if last.is_done else last.keys)
        for sk, shares in unfolded.items():
            for key, delta in shares.items():
                if key[:3] != (budget, period, by):
                    continue
                page_read = pages.get(bucket_of(key).number)
                # Of an open fold, some pages have it and some do not yet.
                if sk in open_keys and page_read and page_read.fold >= last.number:
                    continue
                entries[key.value] = entries.get(key.value, Delta()) + delta
        return entries, sum((page.others for page in pages.values()), Delta())

    def _state(self) -> tuple[SeriesState, int]:
        item = self._table.get(rows.SERIES_KEY)
        if item is None:
            return SeriesState(), 0
        try:
            return SeriesState.from_bytes(item["data"]["B"]), int(item["fold"]["N"])
        except InputError as error:
            raise UnavailableError(f"the state of the series can't be read: {error}") from error

    def _add_to_state(
        self, number: int, figures: Mapping[SeriesKey, Series], now: datetime
    ) -> None:
        state, folded = self._state()
        if folded >= number:
            return
        item = {
            **rows.SERIES_KEY,
            "data": {"B": state.with_added(figures, now).to_bytes()},
            "fold": {"N": str(number)},
        }
        # Where the condition fails, another folder has added the same.
        self._table.write_if(
            "put_item",
            Item=item,
            ConditionExpression="attribute_not_exists(pk) OR fold < :fold",
            ExpressionAttributeValues={":fold": {"N": str(number)}},
        )


def _shown(figures: Iterable[SeriesKey]) -> set[tuple[int, SeriesBy, int]]:
    """Return one for each place in the metrics, about: they show so many values, the rest as one.

    Else ids that are taken for a feature would fill every run.
    """
    return {
        (minute, by, zlib.crc32(value.encode()) % (MAX_VALUES + 1)) for minute, by, value in figures
    }
