"""Tallies are folded once, wherever a folder dies; readers see each row once at any time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from aws_tables import aws, make_table
from moto import mock_aws
from packs import NOW
from unit.ledger.faulty_table import CRASH, CrashError, FaultyTable, fail
from unit.ledger.memory_table import MemoryTable

from spendfuse.errors import UnavailableError
from spendfuse.ledger import fold, share_books, tallies
from spendfuse.ledger.counters import Delta, ItemKey
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.dynamodb_tallies import DynamoTallies
from spendfuse.ledger.fold import CLAIMED
from spendfuse.ledger.post_packs import PostPacks
from spendfuse.ledger.posting import Posting
from spendfuse.ledger.share_books import Top
from spendfuse.ledger.tallies import SHARES_WAIT, Tallies
from spendfuse.ledger.tally import Series, SeriesKey, ShareKey, Tally, merged_tallies, minute_of
from spendfuse.metrics import MAX_VALUES

MINUTE = minute_of(NOW)
LATER = NOW + SHARES_WAIT
AFTER_A_CLAIM = LATER + CLAIMED
Figures = Mapping[SeriesKey, Series]


def a_share(user: str, nano_usd: int, budget: str = "llm") -> dict[ShareKey, Delta]:
    return {ShareKey(budget, "2026-11", "user", user): Delta(nano_usd, 1)}


def a_tally(n: int) -> Tally:
    shares = a_share("u", n) | a_share(f"u{n}", 10 * n) | a_share("u", 1000 * n, "other")
    series = {
        SeriesKey(MINUTE - n % 2): Series(n, 1),
        SeriesKey(MINUTE, "model", "m"): Series(n, 1),
    }
    return Tally(shares, series)


def leave(table: Any, *tallies: Tally, at: int = 0) -> None:
    """Post as many packs, one after the other, so that each leaves its rows in the logs."""
    for n, tally in enumerate(tallies):
        now = NOW + timedelta(milliseconds=at + n)
        PostPacks(table, lambda _: None)([Posting(f"p{at + n}", {}, tally)], now)


TALLIES = [a_tally(n) for n in range(1, 6)]
SUM = merged_tallies(TALLIES)
USERS = {"u": 15, "u1": 10, "u2": 20, "u3": 30, "u4": 40, "u5": 50}
"""What they spent in all, in nano-dollars, of the budget ``llm``."""


@pytest.fixture
def table() -> MemoryTable:
    table = MemoryTable()
    leave(table, *TALLIES)
    return table


def spent_by_users(table: Any, budget: str = "llm") -> dict[str, int]:
    top = Tallies(table).top(budget, "2026-11", "user", most=100)
    assert top.others == Delta()
    return {value: delta.nano_usd for value, delta in top.entries}


def rows_in(table: MemoryTable, pk: str) -> list[str]:
    return [sk for its_pk, sk in table.items if its_pk == pk]


def publish_to(published: list[Figures]) -> Callable[[Figures], None]:
    return lambda figures: published.append(dict(figures))


def sum_of(published: list[Figures]) -> dict[SeriesKey, Series]:
    return dict(merged_tallies(Tally(series=each) for each in published).series)


# Shares


def test_the_top_is_known_before_anything_is_folded(table: MemoryTable) -> None:
    assert Tallies(table).top("llm", "2026-11", "user", most=2) == Top(
        (("u5", Delta(50, 1)), ("u4", Delta(40, 1))), others=Delta(75, 8)
    )


def test_folding_changes_nothing_that_readers_see(table: MemoryTable) -> None:
    assert Tallies(table).fold_shares(LATER) == 5
    assert rows_in(table, "log#shares") == []
    leave(table, a_tally(7), at=100)

    assert spent_by_users(table) == USERS | {"u": 22, "u7": 70}
    assert spent_by_users(table, "other") == {"u": 22_000}


def test_of_another_budget_period_or_attribute_nothing_is_seen(table: MemoryTable) -> None:
    Tallies(table).fold_shares(LATER)
    leave(table, a_tally(7), at=100)

    nobody = Top((), Delta())
    assert Tallies(table).top("ll", "2026-11", "user", most=9) == nobody
    assert Tallies(table).top("llm", "2026-1", "user", most=9) == nobody
    assert Tallies(table).top("llm", "2026-11", "model", most=9) == nobody


def test_few_young_rows_wait_for_company(table: MemoryTable) -> None:
    before = dict(table.items)

    assert Tallies(table).fold_shares(LATER - timedelta(milliseconds=1)) == 0
    assert table.items == before


def test_rows_that_wait_are_not_read_each_minute(table: MemoryTable) -> None:
    faulty = FaultyTable(table, -1)
    folder = Tallies(faulty)
    calls = []
    for minutes in range(12):
        folder.fold_shares(LATER - timedelta(minutes=30 - minutes))
        calls.append(faulty.calls)

    assert len(set(calls)) == 3
    assert folder.fold_shares(LATER) == 5


def test_after_a_fold_the_next_is_looked_for_at_once(
    table: MemoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold, "MOST_ROWS", 2)
    folder = Tallies(table)
    assert folder.fold_shares(NOW) == 4
    leave(table, a_tally(7), a_tally(8), at=100)

    assert folder.fold_shares(NOW + timedelta(minutes=1)) == 2


def test_many_rows_don_t_wait(table: MemoryTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "MOST_ROWS", 3)

    assert Tallies(table).fold_shares(NOW) == 3
    assert len(rows_in(table, "log#shares")) == 2
    assert spent_by_users(table) == USERS


def test_large_rows_don_t_wait(table: MemoryTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "MOST_BYTES", 150)

    assert Tallies(table).fold_shares(NOW) == 4
    assert spent_by_users(table) == USERS


def test_where_nothing_waits_nothing_is_written(table: MemoryTable) -> None:
    Tallies(table).fold_shares(LATER)
    Tallies(table).take_series(NOW, publish_to([]))
    before = dict(table.items)
    Tallies(table).fold_shares(AFTER_A_CLAIM)
    Tallies(table).take_series(AFTER_A_CLAIM, publish_to([]))

    assert table.items == before


def calls_of(work: Callable[[Tallies], object]) -> int:
    table = MemoryTable()
    leave(table, *TALLIES)
    counting = FaultyTable(table, at=-1)
    work(Tallies(counting))
    return counting.calls


def fold_shares(tallies: Tallies) -> int:
    return tallies.fold_shares(LATER)


FOLD_CALLS = calls_of(fold_shares)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(FOLD_CALLS))
def test_a_folder_may_die_at_any_step(table: MemoryTable, at: int, when: str) -> None:
    with pytest.raises(CrashError):
        Tallies(FaultyTable(table, at, **{when: CRASH})).fold_shares(LATER)

    assert spent_by_users(table) == USERS
    leave(table, a_tally(7), at=100)
    for minutes in (0, 1, 2):
        Tallies(table).fold_shares(AFTER_A_CLAIM + timedelta(minutes=minutes))
    assert spent_by_users(table) == USERS | {"u": 22, "u7": 70}
    assert len(rows_in(table, "log#shares")) <= 1


class DyingWhileItDeletes(MemoryTable):
    def delete_all(self, keys: Sequence[Any]) -> None:
        super().delete_all(keys[:2])
        if keys:
            raise CrashError


def test_a_deletion_cut_short_is_made_up_for(table: MemoryTable) -> None:
    dying = DyingWhileItDeletes()
    dying.items = table.items
    with pytest.raises(CrashError):
        Tallies(dying).fold_shares(LATER)

    assert len(rows_in(table, "log#shares")) == 3
    assert spent_by_users(table) == USERS
    leave(table, a_tally(7), at=100)
    assert Tallies(table).fold_shares(AFTER_A_CLAIM + SHARES_WAIT) == 1
    assert spent_by_users(table) == USERS | {"u": 22, "u7": 70}


@pytest.mark.parametrize("hours", [0, 1])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(FOLD_CALLS))
def test_two_folders_fold_each_row_once(table: MemoryTable, at: int, when: str, hours: int) -> None:
    """The other comes at once, or so late that the first has lost its claim; and folds twice."""

    def other() -> None:
        for n in (0, 1):
            Tallies(table).fold_shares(LATER + timedelta(hours=hours, minutes=n))
            leave(table, a_tally(7 + n), at=100 + n)

    Tallies(FaultyTable(table, at, **{when: other})).fold_shares(LATER)
    leave(table, a_tally(9), at=200)
    for n in (2, 3, 4):
        Tallies(table).fold_shares(LATER + timedelta(hours=n))

    assert spent_by_users(table) == USERS | {"u": 39, "u7": 70, "u8": 80, "u9": 90}
    assert rows_in(table, "log#shares") == []


@pytest.mark.parametrize("read_at", range(10))
@pytest.mark.parametrize("at", range(FOLD_CALLS))
def test_a_reader_sees_each_row_once_whatever_a_fold_is_at(
    table: MemoryTable, at: int, read_at: int
) -> None:
    """A fold stops at one step; while it is read, the fold goes on to its end."""
    with contextlib.suppress(CrashError):
        Tallies(FaultyTable(table, at, before=CRASH)).fold_shares(LATER)

    def folded_on() -> None:
        Tallies(table).fold_shares(AFTER_A_CLAIM)

    assert spent_by_users(FaultyTable(table, read_at, after=folded_on)) == USERS


def test_books_that_change_all_the_time_are_not_read_wrongly(table: MemoryTable) -> None:
    class Busy(MemoryTable):
        number = 0

        def get(self, key: Any) -> Any:
            self.number += 1
            return {"fold_number": {"N": str(self.number)}, **(super().get(key) or {})} | {
                "fold_number": {"N": str(self.number)}
            }

    Tallies(table).fold_shares(LATER)
    busy = Busy()
    busy.items = table.items
    with pytest.raises(UnavailableError, match="try again"):
        Tallies(busy).top("llm", "2026-11", "user", most=1)


def test_a_full_page_keeps_its_dearest_and_the_sum_of_all(
    table: MemoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_books, "MOST_BYTES", 200)
    monkeypatch.setattr(share_books, "USER_BUCKETS", 1)
    users = {f"user-{n}": n for n in range(100)}
    for start in (0, 50):
        shares = [a_share(f"user-{n}", n) for n in range(start, start + 50)]
        leave(table, *(Tally(each) for each in shares), at=1000 + start)
        Tallies(table).fold_shares(LATER + timedelta(minutes=start))
    (page,) = (key for key in table.items if key[0] == "shares#llm#2026-11")
    top = Tallies(table).top("llm", "2026-11", "user", most=1000)

    assert len(table.items[page]["data"]["B"]) <= 200
    assert (
        dict(top.entries).items()
        <= {value: Delta(nano_usd, 1) for value, nano_usd in users.items()}.items()
    )
    assert top.entries[0] == ("user-99", Delta(99, 1))
    assert top.others.requests > 0
    assert sum((delta for _, delta in top.entries), top.others) == Delta(
        sum(users.values()) + sum(USERS.values()), 110
    )


def test_users_are_spread_over_pages_and_models_are_not(table: MemoryTable) -> None:
    shares = {
        ShareKey("b", "p", by, f"v{n}"): Delta(1, 1) for n in range(9) for by in ("user", "model")
    }
    leave(table, Tally(shares), at=1000)
    Tallies(table).fold_shares(LATER)
    pages = rows_in(table, "shares#b#p")

    assert "model#000" in pages
    assert len([each for each in pages if each.startswith("model#")]) == 1
    assert len([each for each in pages if each.startswith("user#")]) > 5


def of_many_users(first: int) -> list[Tally]:
    """Return what touches all pages of two books, over two postings."""
    users = range(first, first + 4 * share_books.USER_BUCKETS)
    return [
        Tally({key: each for n in users for key, each in a_share(f"u{n}", n, budget).items()})
        for budget in ("llm", "other")
    ]


def test_a_fold_of_many_pages_goes_on_in_the_next_run_where_time_is_up() -> None:
    table = MemoryTable(page_size=1000)
    leave(table, *of_many_users(0))
    seen: list[Mapping[ShareKey, Delta]] = []
    runs = []
    for minutes in range(4):
        time_left = iter([True] * 200)
        runs.append(
            Tallies(table).fold_shares(
                LATER + timedelta(minutes=minutes),
                seen.append,
                goes_on=partial(next, time_left, False),
            )
        )
        top = Tallies(table).top("llm", "2026-11", "user", most=10_000)
        assert {delta.requests for _, delta in top.entries} == {1}
        assert len(top.entries) == 4 * share_books.USER_BUCKETS

    assert runs == [0, 0, 2, 0]
    assert [len(each) for each in seen] == [8 * share_books.USER_BUCKETS]


def test_many_pages_of_a_book_are_read_in_few_calls() -> None:
    table = MemoryTable(page_size=1000)
    leave(table, *of_many_users(0))
    Tallies(table).fold_shares(LATER)
    leave(table, *of_many_users(100), at=100)
    faulty = FaultyTable(table, -1)
    Tallies(faulty).fold_shares(AFTER_A_CLAIM)
    top = Tallies(table).top("llm", "2026-11", "user", most=10_000)

    # Each page is written by itself, and that is all.
    assert faulty.calls < 2 * share_books.USER_BUCKETS + 20
    assert sum(delta.requests for _, delta in top.entries) == 8 * share_books.USER_BUCKETS


def test_a_row_of_a_newer_version_waits_and_holds_up_no_other(table: MemoryTable) -> None:
    sk = "2026-11-21T11:00:00.000Z#0#000"
    table.put({"pk": {"S": "log#shares"}, "sk": {"S": sk}, "data": {"B": b"newer"}})

    assert spent_by_users(table) == USERS
    assert Tallies(table).fold_shares(LATER) == 5
    assert rows_in(table, "log#shares") == [sk]
    assert spent_by_users(table) == USERS


# Series


def test_new_figures_are_published_once_and_remembered(table: MemoryTable) -> None:
    published: list[Figures] = []
    state = Tallies(table).take_series(NOW, publish_to(published))
    assert Tallies(table).take_series(NOW, publish_to(published)) == state

    assert published == [SUM.series]
    assert state.month_to_date(NOW) == 15
    assert state.errors_of_last(5, NOW) == (0, 3)
    assert rows_in(table, "log#series") == []


def test_figures_of_many_minutes_are_published_over_several_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tallies, "MOST_FIGURES", 2)
    table = MemoryTable()
    of_days = [Tally(series={SeriesKey(MINUTE - n): Series(n, 1)}) for n in range(1, 6)]
    leave(table, *of_days)
    published: list[Figures] = []
    runs = []
    for minutes in range(4):
        Tallies(table).take_series(NOW + timedelta(minutes=minutes), publish_to(published))
        runs.append(len(published))

    assert runs == [1, 2, 3, 3]
    assert [len(each) for each in published] == [2, 2, 1]
    assert sum_of(published) == merged_tallies(of_days).series


def test_the_same_figures_of_many_postings_are_published_at_once(
    table: MemoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tallies, "MOST_FIGURES", 4)
    published: list[Figures] = []

    Tallies(table).take_series(NOW, publish_to(published))

    assert published == [SUM.series]


def test_a_flood_of_ids_as_features_is_not_published_in_many_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # All but fifty are one data point: `other`.
    monkeypatch.setattr(tallies, "MOST_FIGURES", 2 + MAX_VALUES)
    table = MemoryTable(page_size=100)
    of_ids = [
        Tally(series={SeriesKey(MINUTE, "feature", f"{n}-{each}"): Series(1, 1)})
        for n in range(20)
        for each in range(20)
    ]
    leave(table, *of_ids)
    published: list[Figures] = []

    Tallies(table).take_series(NOW, publish_to(published))

    assert sum_of(published) == merged_tallies(of_ids).series


def test_what_could_not_be_published_is_published_by_the_next_run(table: MemoryTable) -> None:
    with pytest.raises(UnavailableError, match="CloudWatch"):
        Tallies(table).take_series(NOW, lambda _: fail(UnavailableError("CloudWatch"))())
    leave(table, a_tally(7), at=100)
    published: list[Figures] = []

    assert Tallies(table).series_state().month_to_date(NOW) == 15
    state = Tallies(table).take_series(NOW + timedelta(seconds=1), publish_to(published))
    assert sum_of(published) == merged_tallies([SUM, a_tally(7)]).series
    assert state.month_to_date(NOW) == 22


def take_series(tallies: Tallies) -> object:
    return tallies.take_series(LATER, lambda _: None)


SERIES_CALLS = calls_of(take_series)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(SERIES_CALLS))
def test_a_publisher_may_die_at_any_step(table: MemoryTable, at: int, when: str) -> None:
    published: list[Figures] = []
    publish = publish_to(published)
    with pytest.raises(CrashError):
        Tallies(FaultyTable(table, at, **{when: CRASH})).take_series(LATER, publish)
    before = len(published)
    state = Tallies(table).take_series(AFTER_A_CLAIM, publish)

    assert state.month_to_date(NOW) == 15
    assert published[:1] == [SUM.series]
    # Twice only if it died between publishing and noting that it did.
    assert len(published) <= 1 + before
    if len(published) == 2:
        assert published[1] == SUM.series


def test_between_publishing_and_noting_it_lies_one_call(table: MemoryTable) -> None:
    twice = 0
    for at in range(SERIES_CALLS):
        for when in ("before", "after"):
            copy = MemoryTable()
            copy.items = dict(table.items)
            published: list[Figures] = []
            with pytest.raises(CrashError):
                Tallies(FaultyTable(copy, at, **{when: CRASH})).take_series(
                    LATER, publish_to(published)
                )
            Tallies(copy).take_series(AFTER_A_CLAIM, publish_to(published))
            twice += len(published) == 2

    assert twice == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(SERIES_CALLS))
def test_two_publishers_at_once_publish_each_figure_once(
    table: MemoryTable, at: int, when: str
) -> None:
    published: list[Figures] = []

    def other() -> None:
        Tallies(table).take_series(LATER, publish_to(published))

    Tallies(FaultyTable(table, at, **{when: other})).take_series(LATER, publish_to(published))
    state = Tallies(table).take_series(LATER, publish_to(published))

    assert sum_of(published) == SUM.series
    assert state.month_to_date(NOW) == 15


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(SERIES_CALLS))
def test_a_publisher_that_lost_its_claim_spoils_no_state(
    table: MemoryTable, at: int, when: str
) -> None:
    def other() -> None:
        for n in (0, 1):
            Tallies(table).take_series(AFTER_A_CLAIM, lambda _: None)
            leave(table, a_tally(7 + n), at=100 + n)

    Tallies(FaultyTable(table, at, **{when: other})).take_series(LATER, lambda _: None)
    state = Tallies(table).take_series(AFTER_A_CLAIM, lambda _: None)

    assert state.month_to_date(NOW) == 30


# DynamoDB itself


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        make_table("ledger")
        yield aws("dynamodb")


def test_dynamodb_folds_as_the_table_in_memory_does(dynamodb: Any) -> None:
    ledger = DynamoLedger(dynamodb, "ledger", sleep=lambda _: None)
    for n in range(60):
        posting = Posting(f"p{n}", {ItemKey("llm", "2026-11"): Delta(n, 1)}, a_tally(n))
        ledger.post([posting], NOW + timedelta(milliseconds=n))
    tallies = DynamoTallies(dynamodb, "ledger", sleep=lambda _: None)
    published: list[Figures] = []
    expected = merged_tallies(a_tally(n) for n in range(60))

    assert tallies.fold_shares(LATER) == 60
    state = tallies.take_series(NOW, publish_to(published))
    assert published == [expected.series]
    assert state == tallies.series_state()
    assert state.month_to_date(NOW) == ledger.total("llm", "2026-11").nano_usd
    assert tallies.top("llm", "2026-11", "user", most=1).entries == (
        ("u", Delta(sum(range(60)), 60)),
    )
    left = dynamodb.scan(TableName="ledger")["Items"]
    assert not [row for row in left if row["pk"]["S"].startswith("log#")]


def test_rows_that_dynamodb_did_not_delete_are_deleted_again(dynamodb: Any) -> None:
    class Throttled:
        is_busy = True

        def __getattr__(self, name: str) -> Any:
            return getattr(dynamodb, name)

        def batch_write_item(self, RequestItems: Any) -> Any:  # noqa: N803
            requests = RequestItems["ledger"]
            if not self.is_busy:
                return dynamodb.batch_write_item(RequestItems=RequestItems)
            self.is_busy = False
            dynamodb.batch_write_item(RequestItems={"ledger": requests[:1]})
            return {"UnprocessedItems": {"ledger": requests[1:]}}

    ledger = DynamoLedger(dynamodb, "ledger", sleep=lambda _: None)
    ledger.post([Posting("p1", {}, a_tally(1))], NOW)
    ledger.post([Posting("p2", {}, a_tally(2))], NOW)
    waits: list[float] = []
    DynamoTallies(Throttled(), "ledger", sleep=waits.append).fold_shares(LATER)
    left = dynamodb.scan(TableName="ledger")["Items"]

    assert len(waits) == 1
    assert not [row for row in left if row["pk"]["S"] == "log#shares"]
