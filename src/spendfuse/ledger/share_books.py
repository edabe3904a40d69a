"""The books of shares: who spent it, by budget, period and user, model or feature.

Users are spread over buckets, so that one row never holds them all. A row that would grow too
large keeps its dearest entries and sums up the rest; the sum has a field of its own, so no user's
id can be mistaken for it.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from spendfuse.errors import InputError, UnavailableError
from spendfuse.ledger import rows
from spendfuse.ledger.counters import Delta
from spendfuse.ledger.table import Item, Table
from spendfuse.ledger.tally import ShareBy, ShareKey
from spendfuse.ledger.tally_pieces import packed, unpacked

USER_BUCKETS = 256
MOST_BYTES = 350_000
"""Of one row, which holds 400 KB at most."""
_KEPT_PERCENT = 90
_MANY = USER_BUCKETS // 2
"""Rows of one book: from here on, those of them that are not asked for cost less than calls."""
_NOTHING = Delta()


class Bucket(NamedTuple):
    """One row of a book."""

    budget: str
    period: str
    by: ShareBy
    number: int


Book = tuple[str, str, ShareBy]
"""Budget, period, and by what."""


class OutOfTimeError(Exception):
    """Not all was added yet; nothing is wrong."""


def bucket_of(key: ShareKey) -> Bucket:
    """Return the row in which a share is kept; never changes, or shares would be kept twice."""
    number = zlib.crc32(key.value.encode()) % USER_BUCKETS if key.by == "user" else 0
    return Bucket(key.budget, key.period, key.by, number)


@dataclass(frozen=True, slots=True)
class Page:
    """What one row of a book holds."""

    entries: Mapping[str, Delta] = field(default_factory=dict)
    others: Delta = _NOTHING
    """The sum of what did not fit."""
    fold: int = 0
    """The number of the last fold that was added."""

    def with_added(self, entries: Mapping[str, Delta], fold: int) -> Page:
        total = dict(self.entries)
        for value, delta in entries.items():
            total[value] = total[value] + delta if value in total else delta
        return Page(total, self.others, fold)

    def fitting(self) -> tuple[Page, bytes]:
        """Return the page as it fits a row, the dearest first, and its bytes."""
        page, data = self, self._bytes()
        while len(data) > MOST_BYTES:
            dearest = sorted(page.entries.items(), key=_dearest_first)
            kept = len(dearest) * _KEPT_PERCENT // 100
            others = sum((delta for _, delta in dearest[kept:]), page.others)
            page = Page(dict(dearest[:kept]), others, page.fold)
            data = page._bytes()
        return page, data

    def _bytes(self) -> bytes:
        entries = {value: _counts(delta) for value, delta in self.entries.items()}
        return packed({"entries": entries, "others": _counts(self.others)})

    @classmethod
    def of_item(cls, item: Item) -> Page:
        """Read a row.

        Raises:
            UnavailableError: it is of a newer version, or broken.
        """
        try:
            content = unpacked(item["data"]["B"])
        except InputError as error:
            where = f"{item['pk']['S']} / {item['sk']['S']}"
            raise UnavailableError(f"the row {where} can't be read: {error}") from error
        entries = {value: Delta(*counts) for value, counts in content["entries"].items()}
        return cls(entries, Delta(*content["others"]), int(item["fold"]["N"]))


class Top(NamedTuple):
    """Who spent the most, and what all others came to."""

    entries: tuple[tuple[str, Delta], ...]
    """By value, dearest first; an empty value stands for the records that don't say."""
    others: Delta


def top_of(entries: Mapping[str, Delta], others: Delta, *, most: int) -> Top:
    """Return the ``most`` dearest, and the sum of the rest."""
    dearest = sorted(entries.items(), key=_dearest_first)
    return Top(tuple(dearest[:most]), sum((delta for _, delta in dearest[most:]), others))


@dataclass(frozen=True)
class ShareBooks:
    """The books in the ledger's table."""

    table: Table

    def add(self, fold: int, shares: Mapping[ShareKey, Delta], goes_on: Callable[[], bool]) -> None:
        """Add what a fold took; what has been added under its number is left alone.

        Raises:
            OutOfTimeError: ``goes_on`` said no; do it again under the same number.
            UnavailableError: not all was added; do it again under the same number.
        """
        by_book: dict[Book, dict[int, dict[str, Delta]]] = defaultdict(lambda: defaultdict(dict))
        for key, delta in shares.items():
            bucket = bucket_of(key)
            by_book[bucket[:3]][bucket.number][key.value] = delta
        for book, by_number in sorted(by_book.items()):
            for number, page in self._found(book, by_number):
                if page.fold >= fold:
                    continue
                if not goes_on():
                    raise OutOfTimeError
                self._put(Bucket(*book, number), page.with_added(by_number[number], fold))

    def _found(self, book: Book, numbers: Iterable[int]) -> Iterator[tuple[int, Page]]:
        """Yield these rows of a book as they stand there; one that is not there is empty."""
        missing = set(numbers)
        if len(missing) >= _MANY:
            for number, page in self._pages(*book):
                if number in missing:
                    missing.remove(number)
                    yield number, page
        else:
            for number in sorted(missing):
                item = self.table.get(_key(Bucket(*book, number)))
                if item is not None:
                    missing.remove(number)
                    yield number, Page.of_item(item)
        for number in sorted(missing):
            yield number, Page()

    def _put(self, bucket: Bucket, page: Page) -> None:
        page, data = page.fitting()
        fold = {"N": str(page.fold)}
        # Where the condition fails, another folder has added the same: it can't have been an
        # earlier fold, for those were over before this one began.
        self.table.write_if(
            "put_item",
            Item={**_key(bucket), "data": {"B": data}, "fold": fold},
            ConditionExpression="attribute_not_exists(pk) OR fold < :fold",
            ExpressionAttributeValues={":fold": fold},
        )

    def pages(self, budget: str, period: str, by: ShareBy) -> dict[int, Page]:
        """Return the rows of one book by their bucket's number."""
        return dict(self._pages(budget, period, by))

    def _pages(self, budget: str, period: str, by: ShareBy) -> Iterator[tuple[int, Page]]:
        for item in self.table.query(rows.shares_pk(budget, period), prefix=f"{by}#"):
            yield int(item["sk"]["S"].removeprefix(f"{by}#")), Page.of_item(item)


def added_up(parts: Iterable[Mapping[ShareKey, Delta]]) -> dict[ShareKey, Delta]:
    """Return several tallies' shares as one."""
    total: dict[ShareKey, Delta] = {}
    for part in parts:
        for key, delta in part.items():
            total[key] = total[key] + delta if key in total else delta
    return total


def _key(bucket: Bucket) -> Item:
    return rows.shares_key(bucket.budget, bucket.period, f"{bucket.by}#{bucket.number:03d}")


def _counts(delta: Delta) -> list[int]:
    return [delta.nano_usd, delta.requests, delta.unpriced]


def _dearest_first(entry: tuple[str, Delta]) -> tuple[int, int, str]:
    value, delta = entry
    return -delta.nano_usd, -delta.requests, value
