"""The ledger's promises, whatever happens in whatever order: every dollar once, in every view.

Without AWS, over a table in memory: packs are delivered in any order, again and in batches, by
recorders that die between any two calls, while budgets are redeployed and folders, two at times,
die as they please. What CloudWatch is given is counted in ``published``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from packs import NOW, a_pack, a_record
from unit.ledger.faulty_table import CRASH, LOST_ANSWER, CrashError, FaultyTable, fail
from unit.ledger.memory_table import MemoryTable

from spendfuse.budget import Budget
from spendfuse.clock import utc_text
from spendfuse.errors import UnavailableError
from spendfuse.ledger import fold, plan, post_packs, share_books, tally_pieces
from spendfuse.ledger.counters import Delta, ItemKey, merged
from spendfuse.ledger.pack import Pack, read_pack
from spendfuse.ledger.post_packs import PostPacks
from spendfuse.ledger.posting import Posting, posting
from spendfuse.ledger.series_state import SeriesState
from spendfuse.ledger.table import ConflictError
from spendfuse.ledger.tallies import Tallies
from spendfuse.ledger.tally import Series, SeriesKey, ShareBy, Tally, merged_tallies

ROOT = Budget("llm", 10**12, "month")
SEARCH = Budget("search", 10**12, "day", match={"team": "search"})
EVER = Budget("ever", 10**12, "total")
USER = Budget("user", 10**9, "day", per="user")
DEPLOYED = ((ROOT,), (ROOT, SEARCH), (ROOT, SEARCH, USER), (EVER, USER), ())
STEPS = st.integers(min_value=0, max_value=12)
WAITS = st.sampled_from([0, 1, 60, 3600]).map(lambda seconds: timedelta(seconds=seconds))
AGAIN = st.lists(st.integers(min_value=0, max_value=9), max_size=2)
"""How many packs before the last one those were that are delivered again."""
FAULTS: list[Mapping[str, Callable[[], None]]] = [
    {"before": CRASH},
    {"after": CRASH},
    {"before": fail(UnavailableError("refused"))},
    {"before": fail(ConflictError("somebody else"))},
    {"after": LOST_ANSWER},
]


def a_made_pack(id: str, records: list[tuple[int | None, str, str, str, int]]) -> Pack:
    return read_pack(
        a_pack(
            id,
            *(
                a_record(
                    f"{id}-{n}",
                    cost_nano_usd=cost,
                    attributes={"user": user, "team": team, "key_id": user},
                    model=model,
                    at=utc_text(NOW - timedelta(minutes=minutes)),
                )
                for n, (cost, user, team, model, minutes) in enumerate(records)
            ),
        ),
        received_at=NOW,
    )


CONTENTS = st.lists(
    st.tuples(
        st.none() | st.integers(-1, 10**15),
        st.sampled_from(["u1", "u2", "u3", "u4", "#", "\N{GRINNING FACE}"]),
        st.sampled_from(["search", "ads"]),
        st.sampled_from(["m1", "m2"]),
        st.sampled_from([0, 1, 2, 30, 60 * 24, 60 * 24 * 25]),
    ),
    max_size=8,
)
NEW = st.lists(CONTENTS, max_size=3)
FAULT = st.sampled_from([{}, *FAULTS])
BEFORE_OR_AFTER = st.sampled_from(["before", "after"])


class Delivery:
    """A recorder's view of the table, which notes the packs that it is first to mark.

    By their postings, and no others, these packs are counted from then on.
    """

    def __init__(
        self, table: MemoryTable, postings: list[Posting], decided: dict[str, Posting]
    ) -> None:
        self._table = table
        self._postings = {each.pack_id: each for each in postings}
        self._decided = decided

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    def transact(self, writes: Any) -> None:
        self._table.transact(writes)
        for kind, request in writes:
            if kind == "Put":
                self._note(request["Item"])

    def write_if(self, operation: str, **request: Any) -> bool:
        is_written = self._table.write_if(operation, **request)
        if is_written and operation == "put_item":
            self._note(request["Item"])
        return is_written

    def _note(self, item: Any) -> None:
        if item["sk"]["S"] == "marker":
            pack_id = item["pk"]["S"].removeprefix("pack#")
            assert pack_id not in self._decided
            self._decided[pack_id] = self._postings[pack_id]


class LedgerMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.table = MemoryTable()
        self.now = NOW
        self.budgets: tuple[Budget, ...] = (ROOT,)
        self.packs: dict[str, Pack] = {}
        self.decided: dict[str, Posting] = {}
        """By which budgets each pack is counted: those of whoever marked it."""
        self.published: list[Mapping[SeriesKey, Series]] = []
        self.may_be_twice = False

    # What happens

    @rule(budgets=st.sampled_from(DEPLOYED))
    def somebody_deploys(self, budgets: tuple[Budget, ...]) -> None:
        self.budgets = budgets

    @rule(new=NEW, again=AGAIN, at=STEPS, fault=FAULT)
    def a_recorder_gets_packs(self, new: Any, again: list[int], at: int, fault: Any) -> None:
        self.record(self.sent(new, again), at, **fault)

    @rule(new=NEW, again=AGAIN, at=STEPS, when=BEFORE_OR_AFTER, other=st.sampled_from(DEPLOYED))
    def two_recorders_get_the_same_packs(
        self, new: Any, again: list[int], at: int, when: str, other: tuple[Budget, ...]
    ) -> None:
        ids = self.sent(new, again)

        def meanwhile() -> None:
            mine, self.budgets = self.budgets, other
            self.record(ids[::-1])
            self.budgets = mine

        self.record(ids, at, **{when: meanwhile})

    @rule(at=STEPS, fault=FAULT, wait=WAITS)
    def a_folder_of_shares_runs(self, at: int, fault: Any, wait: timedelta) -> None:
        self.now += wait
        self.survived(lambda: Tallies(FaultyTable(self.table, at, **fault)).fold_shares(self.now))

    @rule(at=STEPS, when=BEFORE_OR_AFTER, wait=WAITS, late=WAITS)
    def two_folders_of_shares_run(
        self, at: int, when: str, wait: timedelta, late: timedelta
    ) -> None:
        def other() -> None:
            Tallies(self.table).fold_shares(self.now + late)

        self.now += wait
        Tallies(FaultyTable(self.table, at, **{when: other})).fold_shares(self.now)

    @rule(at=STEPS, wait=WAITS)
    def a_reader_is_overtaken_by_a_folder(self, at: int, wait: timedelta) -> None:
        def folder() -> None:
            Tallies(self.table).fold_shares(self.now)

        self.now += wait
        if not self.is_under_way():
            self.check_shares(lambda: FaultyTable(self.table, at, after=folder))

    @rule(at=STEPS, fault=FAULT, wait=WAITS)
    def a_publisher_runs(self, at: int, fault: Any, wait: timedelta) -> None:
        self.now += wait
        table, before = FaultyTable(self.table, at, **fault), len(self.published)
        self.survived(lambda: Tallies(table).take_series(self.now, self.published.append))
        # It published, and it may be that nobody could note it.
        self.may_be_twice |= bool(fault) and table.calls > at and len(self.published) > before

    @rule(at=STEPS, when=BEFORE_OR_AFTER, wait=WAITS)
    def two_publishers_run(self, at: int, when: str, wait: timedelta) -> None:
        def other() -> None:
            Tallies(self.table).take_series(self.now, self.published.append)

        self.now += wait
        table = FaultyTable(self.table, at, **{when: other})
        Tallies(table).take_series(self.now, self.published.append)

    @rule()
    def cloudwatch_refuses(self) -> None:
        refuse = fail(UnavailableError("CloudWatch"))
        self.survived(lambda: Tallies(self.table).take_series(self.now, lambda _: refuse()))

    def sent(self, new: list[list[Any]], again: list[int]) -> list[str]:
        ids = [list(self.packs)[-1 - back] for back in again if back < len(self.packs)]
        for contents in new:
            pack = a_made_pack(f"p{len(self.packs)}", contents)
            self.packs[pack.id] = pack
            ids.append(pack.id)
        return ids

    def record(self, ids: list[str], at: int = -1, **fault: Callable[[], object]) -> None:
        postings = [posting(self.packs[each], self.budgets) for each in ids]
        delivery: Any = Delivery(self.table, postings, self.decided)
        table: Any = FaultyTable(delivery, at, **fault)
        self.survived(lambda: PostPacks(table, lambda _: None)(postings, self.now))

    def survived(self, work: Callable[[], object]) -> None:
        with contextlib.suppress(CrashError, UnavailableError):
            work()

    # What holds

    @invariant()
    def what_readers_see_is_what_was_counted(self) -> None:
        """Whatever recorders and folders are at; but a pack counted in steps is seen in part."""
        if not self.is_under_way():
            self.check_totals()
            self.check_shares()

    def teardown(self) -> None:
        """In the end all packs come once more, and everything is folded."""
        if not hasattr(self, "table"):
            return
        self.record(list(self.packs))
        state = self.folded()

        assert self.decided.keys() == self.packs.keys()
        assert not self.is_under_way()
        self.check_totals()
        self.check_shares()
        self.check_published()
        self.check_days(state)

    def is_under_way(self) -> bool:
        return any("plan_data" in item for item in self.table.items.values())

    def folded(self) -> SeriesState:
        for hours in range(1, 100):
            later = self.now + timedelta(hours=hours)
            Tallies(self.table).fold_shares(later)
            state = Tallies(self.table).take_series(later, self.published.append)
            if not any(pk.startswith("log#") for pk, _ in self.table.items):
                return state
        raise AssertionError("rows are left in the logs")

    def check_totals(self) -> None:
        expected = merged(each.added for each in self.decided.values())
        counted = {
            ItemKey(*pk.split("#", 2)[1:], sk): Delta(
                *(int(item[name]["N"]) for name in ("nano_usd", "requests", "unpriced"))
            )
            for (pk, sk), item in self.table.items.items()
            if pk.startswith("budget#")
        }
        assert counted == expected

    def check_shares(self, table: Callable[[], Any] | None = None) -> None:
        expected = merged_tallies(each.tally for each in self.decided.values()).shares
        books: dict[tuple[str, str, ShareBy], dict[str, Delta]] = {}
        for (budget, period, by, value), delta in expected.items():
            books.setdefault((budget, period, by), {})[value] = delta
        for (budget, period, by), entries in books.items():
            top = Tallies(table() if table else self.table).top(budget, period, by, most=1000)
            assert dict(top.entries) == entries
            assert top.others == Delta()

    def check_published(self) -> None:
        expected = merged_tallies(each.tally for each in self.decided.values()).series
        published = merged_tallies(Tally(series=each) for each in self.published).series
        assert published.keys() == expected.keys()
        for key, each in expected.items():
            if self.may_be_twice:
                assert published[key].requests >= each.requests
            else:
                assert published[key] == each

    def check_days(self, state: SeriesState) -> None:
        days: dict[date, int] = {}
        for pack in self.packs.values():
            for record in pack.records:
                spent = days.get(record.at.date(), 0) + (record.cost_nano_usd or 0)
                days[record.at.date()] = spent
        assert {day: state.spent_on(day) for day in days} == days


class TestLedger(LedgerMachine.TestCase):
    settings = settings(max_examples=100, stateful_step_count=40, deadline=None)

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Small limits, so that few packs bring what thousands would."""
        monkeypatch.setattr(plan, "CHUNK_ITEMS", 11)
        monkeypatch.setattr(plan, "MAX_TRANSACTION_ITEMS", 12)
        monkeypatch.setattr(post_packs, "MAX_TRANSACTION_ITEMS", 12)
        monkeypatch.setattr(tally_pieces, "MAX_PIECE_BYTES", 300)
        monkeypatch.setattr(fold, "MOST_ROWS", 4)
        monkeypatch.setattr(share_books, "USER_BUCKETS", 2)
