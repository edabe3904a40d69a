"""The quarantine: what did not count can be sent again, as it was, and counts once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aws_tables import aws, make_table
from moto import mock_aws
from packs import a_pack, a_record

from spendfuse.errors import InputError
from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.ledger.dynamodb_quarantine import DynamoQuarantine
from spendfuse.ledger.pack import read_pack
from spendfuse.ledger.quarantine import MAX_PACK_BYTES, Quarantined

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
AHEAD = a_record(at="2026-11-21T12:59:00.000Z")


def a_quarantined(record: str = "{}", **over: Any) -> Quarantined:
    told: dict[str, Any] = {"day": "2026-11-21", "pack_id": "p1", "position": 3, "reason": "x"}
    return Quarantined(**told | {"record": record} | over)


@pytest.fixture
def store() -> Iterator[DynamoQuarantine]:
    with mock_aws():
        make_table("ledger")
        yield DynamoQuarantine(aws("dynamodb"), "ledger")


def reject(id: str, *records: dict[str, Any], at: datetime = NOW) -> None:
    pack = read_pack(a_pack(id, *records, sent_at=at.isoformat()), received_at=at)
    assert pack.rejected
    DynamoLedger(aws("dynamodb"), "ledger").quarantine(pack, at)


def test_what_lies_there_comes_the_newest_day_first(store: DynamoQuarantine) -> None:
    reject("p1", a_record(cost_nano_usd=-1), at=NOW - timedelta(days=2))
    reject("p2", a_record(cost_nano_usd=-2), at=NOW - timedelta(hours=1))
    reject("p3", a_record(cost_nano_usd=-3), a_record("r2", cost_nano_usd=-4))
    reject("p4", a_record(cost_nano_usd=-5), at=NOW - timedelta(days=3))

    found = list(store.of_days(NOW, 3))

    assert [each.id for each in found] == ["p2#0", "p3#0", "p3#1", "p1#0"]
    assert found[1].reason == "cost_nano_usd: -3 is negative; corrections are made in the ledger"
    assert (found[3].day, found[3].quarantined_at) == ("2026-11-19", NOW - timedelta(days=2))


def test_a_retry_is_noted_on_the_row_which_stays(store: DynamoQuarantine) -> None:
    reject("p#1", a_record(cost_nano_usd=-1))
    (before,) = store.of_day(NOW)
    store.mark_retried(before, NOW)
    (after,) = store.of_day(NOW)

    assert before.retried_at is None
    assert after.retried_at == NOW
    assert (after.pack_id, after.record) == ("p#1", before.record)


def test_a_row_that_can_t_be_read_hides_no_other(
    store: DynamoQuarantine, caplog: pytest.LogCaptureFixture
) -> None:
    reject("p1", a_record(cost_nano_usd=-1))
    row = {"pk": {"S": "quarantine#2026-11-21"}, "sk": {"S": "odd"}}
    aws("dynamodb").put_item(TableName="ledger", Item=row)

    assert [each.id for each in store.of_day(NOW)] == ["p1#0"]
    assert "odd" in caplog.text


def test_the_record_travels_as_it_was(store: DynamoQuarantine) -> None:
    text = '{"id": "r1", "id": "r2", "at": "2026-11-21T11:00:00Z", "cost_nano_usd": 1e0, "x": 0.10}'
    pack = a_quarantined(text).retry_pack(NOW)

    assert text in pack
    assert json.loads(pack)["schema"] == 1
    assert json.loads(pack)["sent_at"] == "2026-11-21T12:00:00.000Z"


def test_what_is_in_time_by_then_is_taken() -> None:
    (rejected,) = read_pack(a_pack("p1", AHEAD), received_at=NOW).rejected
    later = NOW + timedelta(hours=1)
    pack = read_pack(a_quarantined(rejected.raw).retry_pack(later), received_at=later)
    (record,) = pack.records

    assert (record.id, record.at) == ("r1", datetime(2026, 11, 21, 12, 59, tzinfo=UTC))
    assert record.cost_nano_usd == 75_000
    assert not pack.rejected


def test_the_pack_s_id_is_of_the_place_in_the_pack_alone() -> None:
    here = a_quarantined()

    assert here.retry_id == a_quarantined('{"a": 1}', day="2026-11-22", reason="y").retry_id
    assert here.retry_id != a_quarantined(position=4).retry_id
    assert here.retry_id != a_quarantined(pack_id="p2").retry_id
    assert here.retry_id != a_quarantined(pack_id=here.retry_id, position=0).retry_id


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ('{"a": "xxx... (5 bytes more)', "only its beginning was kept"),
        ("", "nested too deeply"),
        ("{'a': 1}", "no JSON"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "no JSON"),
        (json.dumps({"a": "x" * MAX_PACK_BYTES}), "does not fit a message"),
    ],
)
def test_what_can_t_be_sent_says_why(record: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        a_quarantined(record).retry_pack(NOW)


@pytest.mark.parametrize("text", ["ü", "\uffff", "用户", "\U0001f600", "\x9b", "\x7f", 'a"\\b'])
def test_whatever_a_record_says_sqs_takes_it_and_it_reads_back(text: str) -> None:
    record = json.dumps({"user": text, text: 1}, ensure_ascii=False)
    pack = a_quarantined(record).retry_pack(NOW)

    assert pack.isascii()
    assert json.loads(pack)["records"] == [json.loads(record)]


def test_the_largest_record_that_fits_is_sent() -> None:
    room = MAX_PACK_BYTES - len(a_quarantined('{"a": ""}').retry_pack(NOW))
    pack = a_quarantined(json.dumps({"a": "x" * room})).retry_pack(NOW)

    assert len(pack) == MAX_PACK_BYTES
