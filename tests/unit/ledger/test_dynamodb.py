"""The ledger's table: each pack once, wholly or not at all, whatever AWS answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from aws_tables import aws, make_table
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws
from packs import NOW, a_pack, a_record

from spendfuse.budget import Budget
from spendfuse.errors import UnavailableError
from spendfuse.fuse_state import KeySpend
from spendfuse.ledger.counters import Delta
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.pack import Pack, read_pack
from spendfuse.ledger.posting import posting

ROOT = Budget("llm", 10**12, "month", ())
SEARCH = Budget("search", 10**12, "day", (), {"team": "search"})


class FailingClient:
    """A client that answers some calls with an AWS error before it lets them through."""

    def __init__(self, client: Any, *errors: Exception) -> None:
        self._client = client
        self._errors = list(errors)

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> Any:
            if self._errors:
                raise self._errors.pop(0)
            return getattr(self._client, name)(**request)

        return call


def an_error(code: str, *reasons: str) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": code},
        "CancellationReasons": [{"Code": reason} for reason in reasons],
    }
    return ClientError(response, "TransactWriteItems")


@pytest.fixture
def ledger() -> Iterator[DynamoLedger]:
    with mock_aws():
        yield DynamoLedger(aws("dynamodb"), make_table("ledger"), sleep=lambda _: None)


def a_failing_ledger(*errors: Exception) -> DynamoLedger:
    return DynamoLedger(FailingClient(aws("dynamodb"), *errors), "ledger", sleep=lambda _: None)


def post(ledger: DynamoLedger, packs: list[Pack], budgets: list[Budget], now: datetime) -> int:
    return ledger.post([posting(pack, budgets) for pack in packs], now)


def pack_of(id: str, *records: dict[str, Any]) -> Pack:
    return read_pack(a_pack(id, *records), received_at=NOW)


def test_a_record_counts_on_every_budget_that_it_matches(ledger: DynamoLedger) -> None:
    other = a_record("r2", attributes={"team": "ads"}, cost_nano_usd=5)
    post(ledger, [pack_of("p1", a_record(), other)], [ROOT, SEARCH], NOW)

    assert ledger.total("llm", "2026-11") == Delta(75_005, 2)
    assert ledger.total("search", "2026-11-21") == Delta(75_000, 1)


def test_what_matches_no_budget_counts_under_the_root(ledger: DynamoLedger) -> None:
    post(ledger, [pack_of("p1", a_record(attributes={}))], [ROOT, SEARCH], NOW)

    assert ledger.total("llm", "2026-11").nano_usd == 75_000
    assert ledger.total("search", "2026-11-21") == Delta()


def test_a_redelivered_pack_counts_once(ledger: DynamoLedger) -> None:
    assert post(ledger, [pack_of("p1"), pack_of("p1")], [ROOT], NOW) == 1
    assert post(ledger, [pack_of("p1")], [ROOT], NOW) == 0
    assert ledger.total("llm", "2026-11").requests == 1


def test_a_known_pack_does_not_hold_up_the_new_ones_beside_it(ledger: DynamoLedger) -> None:
    post(ledger, [pack_of("p1")], [ROOT], NOW)

    assert post(ledger, [pack_of("p1"), pack_of("p2"), pack_of("p3")], [ROOT], NOW) == 2
    assert ledger.total("llm", "2026-11").requests == 3


def test_an_unpriced_record_is_counted_as_such(ledger: DynamoLedger) -> None:
    post(ledger, [pack_of("p1", a_record(cost_nano_usd=None))], [ROOT], NOW)

    assert ledger.total("llm", "2026-11") == Delta(0, 1, 1)


def test_the_dearest_keys_come_first(ledger: DynamoLedger) -> None:
    records = [
        a_record(f"r{n}", attributes={"key_id": f"k{n}"}, cost_nano_usd=cost)
        for n, cost in enumerate([5, 50, 20])
    ]
    post(ledger, [pack_of("p1", *records)], [ROOT], NOW)

    assert ledger.dearest_keys("llm", "2026-11", most=2) == (
        KeySpend("k1", 50),
        KeySpend("k2", 20),
    )


def many_keys(count: int) -> list[dict[str, Any]]:
    return [a_record(f"r{n}", attributes={"key_id": f"k{n}"}) for n in range(count)]


def test_packs_that_do_not_fit_one_transaction_share_several(ledger: DynamoLedger) -> None:
    packs = [pack_of(f"p{n}", *many_keys(60 + n)) for n in range(5)]
    packs += [pack_of(f"q{n}") for n in range(120)]

    assert post(ledger, packs, [ROOT], NOW) == 125
    assert ledger.total("llm", "2026-11").requests == 60 + 61 + 62 + 63 + 64 + 120


@pytest.mark.parametrize(
    "error",
    [
        an_error("TransactionCanceledException", "None", "TransactionConflict"),
        an_error("TransactionCanceledException", "None", "ThrottlingError"),
        an_error("TransactionInProgressException"),
        an_error("ThrottlingException"),
        an_error("InternalServerError"),
    ],
)
@pytest.mark.usefixtures("ledger")
def test_what_may_work_later_is_tried_again(error: ClientError, ledger: DynamoLedger) -> None:
    assert post(a_failing_ledger(error, error), [pack_of("p1")], [ROOT], NOW) == 1
    assert ledger.total("llm", "2026-11").requests == 1


@pytest.mark.parametrize(
    "error",
    [
        an_error("TransactionCanceledException", "None", "ValidationError"),
        an_error("AccessDeniedException"),
        EndpointConnectionError(endpoint_url="https://dynamodb"),
    ],
)
@pytest.mark.usefixtures("ledger")
def test_what_will_not_work_is_left_to_the_queue(error: Exception, ledger: DynamoLedger) -> None:
    with pytest.raises(UnavailableError):
        post(a_failing_ledger(error), [pack_of("p1")], [ROOT], NOW)
    assert ledger.total("llm", "2026-11") == Delta()


@pytest.mark.usefixtures("ledger")
def test_endless_conflicts_end(ledger: DynamoLedger) -> None:
    conflict = an_error("TransactionCanceledException", "None", "TransactionConflict")

    with pytest.raises(UnavailableError, match="contended"):
        post(a_failing_ledger(*[conflict] * 8), [pack_of("p1")], [ROOT], NOW)
    assert ledger.total("llm", "2026-11") == Delta()


def test_a_marker_outlives_every_record_that_could_come_again(ledger: DynamoLedger) -> None:
    post(ledger, [pack_of("p1")], [ROOT], NOW)
    key = {"pk": {"S": "pack#p1"}, "sk": {"S": "marker"}}
    marker = aws("dynamodb").get_item(TableName="ledger", Key=key)["Item"]

    assert int(marker["expires_at"]["N"]) - NOW.timestamp() == 35 * 86_400


def test_rejected_records_are_kept_with_their_reasons(ledger: DynamoLedger) -> None:
    pack = pack_of("p1", a_record(cost_nano_usd=-1), a_record("r2", cost_nano_usd="x"))
    ledger.quarantine(pack, NOW)
    ledger.quarantine(pack, NOW)
    rows = aws("dynamodb").scan(TableName="ledger")["Items"]

    assert [row["sk"]["S"] for row in rows] == ["p1#00000", "p1#00001"]
    assert "-1 is negative" in rows[0]["reason"]["S"]


def test_a_rejected_record_is_kept_however_long_or_strange_it_is(ledger: DynamoLedger) -> None:
    strange = a_record("r2", cost_nano_usd=-1, note="\N{GRINNING FACE}" * 120_000 + "\ud800")
    pack = pack_of("p1", a_record("\ud800"), strange)
    ledger.quarantine(pack, NOW)
    rows = aws("dynamodb").scan(TableName="ledger")["Items"]

    assert len(rows) == 2
    assert rows[1]["record"]["S"].endswith("bytes more)")
    assert len(rows[1]["record"]["S"].encode()) < 310_000


def test_a_pack_that_aws_refuses_holds_up_none_beside_it(ledger: DynamoLedger) -> None:
    class RefusesPack2:
        def __getattr__(self, name: str) -> Any:
            def call(**request: Any) -> Any:
                if "pack#p2" in str(request):
                    raise an_error("ValidationException")
                return getattr(aws("dynamodb"), name)(**request)

            return call

    with pytest.raises(UnavailableError):
        post(
            DynamoLedger(RefusesPack2(), "ledger"),
            [pack_of(f"p{n}") for n in (1, 2, 3)],
            [ROOT],
            NOW,
        )

    assert ledger.total("llm", "2026-11").requests == 2
