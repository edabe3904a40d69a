"""Packs of more counters than one transaction holds: once, whole, wherever a recorder dies."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from aws_tables import aws, make_table
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws
from packs import NOW, a_pack, a_record
from unit.ledger.faulty_table import CRASH, LOST_ANSWER, CrashError, FaultyTable, fail
from unit.ledger.memory_table import MemoryTable

from spendfuse.budget import Budget
from spendfuse.errors import InputError, UnavailableError
from spendfuse.ledger.counters import Delta, ItemKey, merged
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.pack import Pack, read_pack
from spendfuse.ledger.plan import (
    CHUNK_ITEMS,
    PIECE_BYTES,
    WrittenPlan,
    chunk_of,
    chunks_of,
    written,
)
from spendfuse.ledger.post_packs import PostPacks
from spendfuse.ledger.posting import Posting, posting
from spendfuse.ledger.table import ConflictError, WriteRefusedError

USERS = 250
ROOT = Budget("llm", 10**12, "month")
USER = Budget("user", 10**9, "day", per="user")
PERSON = Budget("person", 10**9, "total", per="user")
DEPLOYED: dict[str, list[Budget]] = {
    "large": [ROOT, USER],
    "other": [ROOT, PERSON],
    "small": [ROOT],
}
"""A redelivered pack may meet other budgets, by which it is even small."""
Counters = dict[tuple[str, str], tuple[int, int, int]]


def a_large_pack(id: str = "p1", users: int = USERS) -> Pack:
    records = [
        a_record(f"r{n}", attributes={"user": f"u{n}"}, cost_nano_usd=n) for n in range(users)
    ]
    return read_pack(a_pack(id, *records), received_at=NOW)


PACK = a_large_pack()


OF_PACK = {name: posting(PACK, budgets) for name, budgets in DEPLOYED.items()}


def adds(budgets: str, pack: Pack | None = None) -> Posting:
    return posting(pack, DEPLOYED[budgets]) if pack else OF_PACK[budgets]


def counters_in(rows: Iterable[Mapping[str, Any]]) -> Counters:
    return {
        (row["pk"]["S"], row["sk"]["S"]): (
            int(row["nano_usd"]["N"]),
            int(row["requests"]["N"]),
            int(row["unpriced"]["N"]),
        )
        for row in rows
        if row["pk"]["S"].startswith("budget#")
    }


def expected(*postings: Posting) -> Counters:
    return {
        (f"budget#{key.budget}#{key.period}", key.share): (
            delta.nano_usd,
            delta.requests,
            delta.unpriced,
        )
        for key, delta in merged(each.added for each in postings).items()
    }


def post(table: Any, *postings: Posting) -> int:
    return PostPacks(table, lambda _: None)(postings, NOW)


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


def counted(table: MemoryTable) -> Counters:
    return counters_in(table.items.values())


def test_a_large_pack_is_counted_whole_and_once(table: MemoryTable) -> None:
    assert len(adds("large").added) == USERS + 1
    assert post(table, adds("large")) == 1
    assert post(table, adds("large"), adds("large")) == 0
    assert counted(table) == expected(adds("large"))


def test_large_and_small_packs_are_counted_beside_each_other(table: MemoryTable) -> None:
    small = read_pack(a_pack("p3"), received_at=NOW)
    packs = [PACK, small, a_large_pack("p2")]
    postings = [adds("large", pack) for pack in packs]

    assert post(table, *postings) == 3
    assert counted(table) == expected(*postings)


def test_one_hundred_items_are_one_transaction_and_one_more_is_a_plan(table: MemoryTable) -> None:
    fits, does_not = (adds("large", a_large_pack(f"p{n}", users=n)) for n in (96, 97))
    post(table, fits)

    assert ("pack#p96", "chunk#00000") not in table.items
    post(table, does_not)
    assert ("pack#p97", "chunk#00001") in table.items
    assert counted(table) == expected(fits, does_not)


CALLS = 6
"""The marker with its plan, its reading, three chunks, and the marker once more."""


def test_the_crashes_below_meet_every_call(table: MemoryTable) -> None:
    counting = FaultyTable(table, at=-1)
    post(counting, adds("large"))

    assert counting.calls == CALLS


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(CALLS))
@pytest.mark.parametrize("then", DEPLOYED)
def test_a_crash_at_any_step_ends_in_exactly_once(
    table: MemoryTable, at: int, when: str, then: str
) -> None:
    with pytest.raises(CrashError):
        post(FaultyTable(table, at, **{when: CRASH}), adds("large"))
    post(table, adds(then))

    # Until the plan is written down, nothing says what the pack counts.
    is_planned = at > 0 or when == "after"
    assert counted(table) == expected(adds("large" if is_planned else then))
    assert post(table, adds("large")) == 0


deliveries = st.lists(
    st.tuples(
        st.sampled_from(sorted(DEPLOYED)),
        st.integers(min_value=0, max_value=CALLS),
        st.sampled_from([{"before": CRASH}, {"after": CRASH}, {"after": LOST_ANSWER}]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150)
@given(deliveries)
def test_however_often_it_is_delivered_and_with_whatever_budgets_it_counts_once(
    deliveries: list[tuple[str, int, Mapping[str, Callable[[], None]]]],
) -> None:
    table, new = MemoryTable(), 0
    for budgets, at, fault in deliveries:
        try:
            new += post(FaultyTable(table, at, **fault), adds(budgets))
        except (CrashError, UnavailableError):
            continue
    new += post(table, adds(deliveries[-1][0]))

    assert counted(table) in [expected(adds(budgets)) for budgets in DEPLOYED]
    assert new <= 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("other", DEPLOYED)
@pytest.mark.parametrize("at", range(CALLS))
def test_two_recorders_with_one_pack_count_it_once(
    table: MemoryTable, at: int, other: str, when: str
) -> None:
    by_them: list[int] = []
    meanwhile = {when: lambda: by_them.append(post(table, adds(other)))}
    by_me = post(FaultyTable(table, at, **meanwhile), adds("large"))

    assert by_me + by_them[0] == 1
    is_mine = at > 0 or when == "after"
    assert counted(table) == expected(adds("large" if is_mine else other))


def test_a_pack_that_was_small_when_it_was_counted_gets_no_plan(table: MemoryTable) -> None:
    post(table, adds("small"))

    assert post(table, adds("large")) == 0
    assert counted(table) == expected(adds("small"))


@pytest.mark.parametrize("at", [0, 2, 3, 5])
def test_a_conflict_at_any_write_is_tried_again(table: MemoryTable, at: int) -> None:
    conflict = fail(ConflictError("somebody else is writing it"))

    assert post(FaultyTable(table, at, before=conflict), adds("large")) == 1
    assert counted(table) == expected(adds("large"))


def test_a_large_pack_that_aws_refuses_holds_up_none_beside_it(table: MemoryTable) -> None:
    postings = [adds("large", a_large_pack(id)) for id in ("p1", "p2")]  # noqa: A001
    refused = FaultyTable(table, at=3, before=fail(WriteRefusedError("not like this")))
    with pytest.raises(WriteRefusedError):
        post(refused, *postings)

    assert counted(table).items() >= expected(postings[1]).items() - expected(postings[0]).items()
    assert table.items["pack#p2", "marker"].keys() >= {"posted_at"}


def test_once_it_is_counted_the_marker_is_like_any_other(table: MemoryTable) -> None:
    post(table, adds("large"), adds("small", a_large_pack("p2")))
    large, small = (table.items[f"pack#{each}", "marker"] for each in ("p1", "p2"))

    assert large.keys() - small.keys() == {"planned_at"}
    assert large["expires_at"] == small["expires_at"]


def plan_of(posting: Posting) -> WrittenPlan:
    return written(chunk_of(posting.added, posting.tally))


def a_huge_posting() -> Posting:
    """Return what no item holds: shares that can't be compressed, in more than one piece."""
    chance = random.Random(1)
    shares = [base64.b64encode(chance.randbytes(700)).decode() for _ in range(500)]
    return Posting("huge", {ItemKey("user", "total", share): Delta(1, 1, 0) for share in shares})


def test_a_plan_that_no_item_holds_is_counted_from_its_pieces(table: MemoryTable) -> None:
    huge = a_huge_posting()
    with pytest.raises(CrashError):
        post(FaultyTable(table, at=5, before=CRASH), huge)

    assert len(plan_of(huge).pieces) == 2
    assert post(table, huge) == 1
    assert counted(table) == expected(huge)


def test_all_that_a_plan_leaves_behind_goes_by_itself(table: MemoryTable) -> None:
    post(table, a_huge_posting())
    left = {sk: item for (pk, sk), item in table.items.items() if pk == "pack#huge"}

    assert {sk.partition("#")[0] for sk in left} == {"marker", "chunk", "plan"}
    assert {int(item["expires_at"]["N"]) - NOW.timestamp() for item in left.values()} == {
        35 * 86_400
    }


def test_a_plan_is_whole_before_its_marker_points_to_it(table: MemoryTable) -> None:
    with pytest.raises(CrashError):
        post(FaultyTable(table, at=0, after=CRASH), a_huge_posting())

    assert [sk.partition("#")[0] for _, sk in table.items] == ["plan"]


def test_a_plan_without_one_of_its_pieces_counts_nothing(table: MemoryTable) -> None:
    huge = a_huge_posting()
    with pytest.raises(CrashError):
        post(FaultyTable(table, at=2, before=CRASH), huge)
    del table.items["pack#huge", f"plan#{plan_of(huge).digest}#00001"]

    with pytest.raises(UnavailableError, match=r"pack huge .*does not read back"):
        post(table, Posting("huge", dict(list(huge.added.items())[:150])))
    assert counted(table) == {}


KEYS = st.builds(ItemKey, st.text(max_size=5), st.text(max_size=5), st.text(max_size=9))
DELTAS = st.builds(Delta, st.integers(), st.integers(), st.integers())


@settings(max_examples=40)
@given(st.dictionaries(KEYS, DELTAS, min_size=1, max_size=250))
def test_a_plan_reads_back_as_it_was_written_in_chunks_that_fit(
    added: dict[ItemKey, Delta],
) -> None:
    plan = plan_of(Posting("p", added))
    chunks = chunks_of(plan.pieces, plan.digest)

    assert all(0 < len(chunk.counters) <= CHUNK_ITEMS for chunk in chunks)
    read = [each for chunk in chunks for each in chunk.counters]
    assert len(read) == len(added)
    assert dict(read) == added
    assert all(len(piece) <= PIECE_BYTES for piece in plan.pieces)


def test_totals_are_in_the_first_chunk() -> None:
    budgets = [Budget(f"b{n}", 10**12, "month") for n in range(3)]
    plan = plan_of(posting(PACK, [USER, *budgets]))
    (first, *_) = chunks_of(plan.pieces, plan.digest)

    assert [key.budget for key, _ in first.counters[:3]] == ["b0", "b1", "b2"]


def test_a_plan_s_digest_tells_other_counters_apart() -> None:
    plans = [plan_of(adds(each)) for each in DEPLOYED]

    assert len({each.digest for each in plans}) == len(DEPLOYED)
    with pytest.raises(InputError, match="does not read back"):
        chunks_of(plans[0].pieces, plans[1].digest)


def test_dynamodb_takes_a_plan_as_the_table_in_memory_does() -> None:
    fits_two_chunks = adds("large", a_large_pack(users=120))
    with mock_aws():
        ledger = DynamoLedger(aws("dynamodb"), make_table("ledger"))

        assert ledger.post([fits_two_chunks], NOW) == 1
        assert ledger.post([fits_two_chunks], NOW) == 0
        rows = aws("dynamodb").scan(TableName="ledger")["Items"]
    assert counters_in(rows) == expected(fits_two_chunks)
    (marker,) = [row for row in rows if row["sk"]["S"] == "marker"]
    assert marker.keys() == {"pk", "sk", "planned_at", "posted_at", "expires_at"}


@pytest.mark.parametrize("operation", ["put_item", "update_item", "transact_write_items"])
def test_a_conflict_in_dynamodb_is_tried_again(operation: str) -> None:
    response: Any = {"Error": {"Code": "TransactionConflictException", "Message": ""}}

    class Colliding:
        collided = False

        def __getattr__(self, name: str) -> Any:
            if name == operation and not self.collided:
                self.collided = True
                raise ClientError(response, name)
            return getattr(aws("dynamodb"), name)

    fits_two_chunks = adds("large", a_large_pack(users=120))
    with mock_aws():
        make_table("ledger")
        client = Colliding()

        assert DynamoLedger(client, "ledger", sleep=lambda _: None).post([fits_two_chunks], NOW)
    assert client.collided
