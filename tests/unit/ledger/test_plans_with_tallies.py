"""A large pack's tally is frozen with its plan; older plans are carried out."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import zlib
from typing import Any

import pytest
from packs import NOW, a_pack, a_record
from unit.ledger.faulty_table import CRASH, CrashError, FaultyTable
from unit.ledger.memory_table import MemoryTable

from spendfuse.budget import Budget
from spendfuse.errors import InputError
from spendfuse.ledger import rows
from spendfuse.ledger.counters import Delta, ItemKey
from spendfuse.ledger.pack import read_pack
from spendfuse.ledger.plan import (
    MAX_TRANSACTION_BYTES,
    MAX_TRANSACTION_ITEMS,
    WrittenPlan,
    chunk_of,
    chunks_of,
    written,
)
from spendfuse.ledger.post_packs import PostPacks
from spendfuse.ledger.posting import Posting, posting
from spendfuse.ledger.tallies import Tallies
from spendfuse.ledger.tally import ShareKey, Tally

ROOT = Budget("llm", 10**12, "month")
USER = Budget("user", 10**9, "day", per="user")


def post(table: Any, *postings: Posting) -> int:
    return PostPacks(table, lambda _: None)(postings, NOW)


def a_large_posting(*budgets: Budget) -> Posting:
    records = [a_record(f"r{n}", attributes={"user": f"u{n}"}) for n in range(150)]
    return posting(read_pack(a_pack("p1", *records), received_at=NOW), budgets)


def users_of(table: MemoryTable, budget: str = "llm") -> int:
    return len(Tallies(table).top(budget, "2026-11", "user", most=10**6).entries)


CALLS = 5


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(CALLS))
def test_a_tally_is_counted_as_its_plan_says_wherever_a_recorder_dies(at: int, when: str) -> None:
    table = MemoryTable()
    with pytest.raises(CrashError):
        post(FaultyTable(table, at, **{when: CRASH}), a_large_posting(ROOT, USER))
    other = Budget("new", 10**12, "month")
    post(table, a_large_posting(other, USER))
    is_planned = at > 0 or when == "after"

    assert users_of(table, "llm" if is_planned else "new") == 150
    assert users_of(table, "new" if is_planned else "llm") == 0
    assert Tallies(table).take_series(NOW, lambda _: None).month_to_date(NOW) == 150 * 75_000


def test_the_crashes_above_meet_every_call() -> None:
    counting = FaultyTable(MemoryTable(), at=-1)
    post(counting, a_large_posting(ROOT, USER))

    assert counting.calls == CALLS


def a_tally_of(users: int) -> Tally:
    """Return one that can't be compressed."""
    chance = random.Random(users)
    values = [base64.b64encode(chance.randbytes(180)).decode() for _ in range(users)]
    return Tally({ShareKey("llm", "2026-11", "user", each): Delta(1, 1) for each in values})


def test_a_tally_that_no_transaction_holds_is_counted_in_chunks_that_fit() -> None:
    huge = Posting("p1", {ItemKey("llm", "2026-11"): Delta(20_000, 20_000)}, a_tally_of(20_000))
    plan = written(chunk_of(huge.added, huge.tally))
    chunks = chunks_of(plan.pieces, plan.digest)
    table = MemoryTable()

    assert len(chunks) > 1
    assert all(chunk.fits() for chunk in chunks)
    assert chunks[0].counters
    for chunk in chunks:
        assert sum(len(data) for _, data in chunk.pieces) <= MAX_TRANSACTION_BYTES
    assert post(table, huge) == 1
    assert post(table, huge) == 0
    assert users_of(table) == 20_000


def test_packs_whose_tallies_are_too_large_together_are_counted_in_several_transactions() -> None:
    table = MemoryTable()
    postings = [Posting(f"p{n}", {}, a_tally_of(7_000 + n)) for n in range(3)]

    assert post(table, *postings) == 3
    assert not [sk for _, sk in table.items if sk.startswith("chunk")]
    assert users_of(table) == 21_003


def test_usual_packs_share_one_transaction_and_one_row_in_each_log() -> None:
    table = MemoryTable()
    counting = FaultyTable(table, at=-1)
    packs = [read_pack(a_pack(f"p{n}", a_record(f"r{n}")), received_at=NOW) for n in range(10)]
    post(counting, *(posting(pack, [ROOT]) for pack in packs))

    assert counting.calls == 1
    assert [pk for pk, _ in table.items if pk.startswith("log#")] == ["log#shares", "log#series"]


def a_plan_of_before(added: dict[ItemKey, Delta]) -> WrittenPlan:
    """Return what was written before tallies: a list of chunks, each a list of counters."""
    listed = [
        [key.budget, key.period, key.share, delta.nano_usd, delta.requests, delta.unpriced]
        for key, delta in sorted(added.items(), key=lambda each: each[0])
    ]
    chunks = [listed[start : start + 99] for start in range(0, len(listed), 99)]
    data = zlib.compress(json.dumps(chunks, separators=(",", ":")).encode())
    return WrittenPlan((data,), hashlib.sha256(data).hexdigest()[:32])


def test_a_plan_of_the_format_before_is_carried_out() -> None:
    table = MemoryTable()
    adds = a_large_posting(ROOT, USER)
    table.put(rows.planned_marker("p1", a_plan_of_before(dict(adds.added)), NOW))

    assert post(table, adds) == 1
    assert post(table, adds) == 0
    assert table.items["budget#llm#2026-11", "total"]["requests"] == {"N": "150"}
    assert len([pk for pk, _ in table.items if pk.startswith("budget#user")]) == 150
    # It was written down without a tally, so it has none.
    assert users_of(table) == 0


def test_a_plan_of_a_newer_format_counts_nothing() -> None:
    data = zlib.compress(b'{"format": 3, "chunks": []}')
    with pytest.raises(InputError, match="format 3"):
        chunks_of([data], hashlib.sha256(data).hexdigest()[:32])


def test_a_hundred_totals_and_more_are_counted_though_not_at_once() -> None:
    """As docs/ledger.md says: the first 99 are in the first chunk, the rest in the next."""
    added = {ItemKey(f"b{n:03d}", "2026-11"): Delta(1, 1) for n in range(150)}
    table = MemoryTable()
    plan = written(chunk_of(added, Tally()))
    first, second = chunks_of(plan.pieces, plan.digest)

    assert (len(first.counters), len(second.counters)) == (MAX_TRANSACTION_ITEMS - 1, 51)
    assert post(table, Posting("p1", added)) == 1
    assert len([pk for pk, _ in table.items if pk.startswith("budget#")]) == 150
