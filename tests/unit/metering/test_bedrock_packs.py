"""A delivery's packs: the recorder takes them, and they are the same when it comes again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from bedrock_deliveries import a_delivery, an_entry
from hypothesis import given
from hypothesis import strategies as st

from spendfuse.bedrock_rules import BedrockRules
from spendfuse.ledger.pack import MAX_ID_BYTES, Pack, read_pack
from spendfuse.metering.bedrock_log import Delivery, metered, read_delivery
from spendfuse.metering.bedrock_packs import packs
from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.record import Record
from spendfuse.metering.sinks.packing import MAX_PACK_KEYS

NOW = datetime(2026, 11, 21, 10, 5, tzinfo=UTC)
AT = NOW - timedelta(minutes=5)


def a_record(id: str, **attributes: str) -> Record:
    return Record(id=id, at=AT, provider="aws", model="m", cost_nano_usd=1, attributes=attributes)


def a_source(*ids: str, stream: str = "s") -> Delivery:
    return Delivery(("1", "g", stream), tuple({"id": each} for each in ids))


def read(delivery: Delivery, records: list[Record]) -> list[Pack]:
    return [read_pack(text, received_at=NOW) for text in packs(delivery, records, now=NOW)]


def test_the_recorder_reads_a_pack_as_the_log_told_it() -> None:
    prices = PriceBook.from_json(PriceBook.standard().to_json())
    delivery = read_delivery(a_delivery(an_entry("converse-stream"), an_entry("invoke-image")))
    (pack,) = read(delivery, metered(delivery.events, BedrockRules(), prices).records)
    priced, unpriced = pack.records

    assert pack.rejected == ()
    assert (priced.id, priced.cost_nano_usd) == ("ff4b6c63-5561-4431-93b8-06a817275900", 480_000)
    assert priced.at == datetime(2026, 11, 21, 0, 38, 2, tzinfo=UTC)
    assert priced.attributes["iam_user"] == "dana"
    assert unpriced.cost_nano_usd is None


def test_a_delivery_that_comes_again_has_the_same_packs() -> None:
    records = [a_record(str(number)) for number in range(1200)]
    first = [pack.id for pack in read(a_source("a", "b"), records)]

    assert [pack.id for pack in read(a_source("b", "a"), records)] == first
    assert len(set(first)) == len(first) > 1
    assert all(len(each.encode()) <= MAX_ID_BYTES for each in first)


def test_other_events_or_another_stream_make_other_packs() -> None:
    records = [a_record("r")]
    sources = [a_source("a"), a_source("a", "b"), a_source("b"), a_source("a", stream="t")]

    assert len({read(each, records)[0].id for each in sources}) == len(sources)


def test_no_records_make_no_pack() -> None:
    assert list(packs(a_source("a"), [], now=NOW)) == []


def test_api_keys_are_spread_over_packs_that_the_ledger_can_take() -> None:
    records = [a_record(str(number), key_id=f"k{number % 25}") for number in range(100)]
    for pack in read(a_source("a"), records):
        assert len({each.attributes["key_id"] for each in pack.records}) <= MAX_PACK_KEYS


@given(
    st.lists(st.dictionaries(st.text(min_size=1, max_size=30), st.text(min_size=1), max_size=40))
)
def test_every_record_is_in_one_pack_and_no_pack_is_too_large(
    attributes: list[dict[str, str]],
) -> None:
    wide = {f"wide-{number}": "\u4e2d" * 85 for number in range(40)}
    records = [a_record(str(n), **wide, **each) for n, each in enumerate(attributes * 5)]
    texts = list(packs(a_source("a"), records, now=NOW))
    ids = [each["id"] for text in texts for each in json.loads(text)["records"]]

    assert ids == [each.id for each in records]
    assert all(len(text.encode()) <= 240_000 for text in texts)


def test_a_pack_is_of_the_published_schema(tmp_path: Any) -> None:
    (text,) = packs(a_source("a"), [a_record("r", team="t")], now=NOW)
    raw = json.loads(text)

    assert set(raw) == {"schema", "id", "created_at", "sent_at", "records"}
    assert raw["sent_at"] == "2026-11-21T10:05:00.000Z"
