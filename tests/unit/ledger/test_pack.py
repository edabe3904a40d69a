"""A pack that can't be read is refused whole; a record that can't be is kept apart."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packs import NOW, a_pack, a_record

from spendfuse.ledger.pack import MalformedPackError, read_pack


def test_a_record_is_read_with_what_the_ledger_needs() -> None:
    (record,) = read_pack(a_pack(), received_at=NOW).records

    assert (record.id, record.cost_nano_usd) == ("r1", 75_000)
    assert record.attributes["key_id"] == "k1"
    assert record.at == NOW - timedelta(seconds=2)
    assert (record.model, record.provider) == ("gpt-4o", "openai")


@pytest.mark.parametrize("model", [None, "", "absent"])
def test_a_record_need_not_name_its_model(model: str | None) -> None:
    raw = a_record() | {"model": model}
    if model == "absent":
        del raw["model"]
    (record,) = read_pack(a_pack("p1", raw), received_at=NOW).records

    assert record.model == ""
    assert "model" not in record.matched_on


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not json", "is not JSON"),
        ('{"schema": NaN}', "the pack has schema nan"),
        (a_pack(sent_at=["x"]), "sent_at: expected a time"),
        (a_pack(sent_at="2026" * 100), "sent_at: expected a time"),
        ("[]", "not an object"),
        (a_pack(schema=2), "the pack has schema 2; this recorder reads schema 1"),
        (a_pack(id=""), "the pack's id"),
        (a_pack(id="x" * 257), "the pack's id"),
        (a_pack(id="\N{GRINNING FACE}" * 65), "the pack's id"),
        (a_pack(id="\ud800"), "the pack's id"),
        (a_pack(sent_at="0001-01-01T00:00:00+14:00"), "sent_at: expected a time"),
        (a_pack(records={}), "records must be a list"),
        (a_pack(sent_at="yesterday"), "sent_at: expected a time"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_pack_is_refused_whole_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(MalformedPackError, match=reason):
        read_pack(text, received_at=NOW)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cost_nano_usd": -1}, "-1 is negative"),
        ({"cost_nano_usd": 1.5}, "expected an integer or null, got 1.5"),
        ({"cost_nano_usd": True}, "expected an integer or null, got True"),
        ({"cost_nano_usd": "75"}, "expected an integer or null, got '75'"),
        ({"cost_nano_usd": 10**15 + 1}, "a million dollars"),
        ({"id": None}, "id: expected text"),
        ({"at": "2026-11-21T12:00:00"}, "expected a time with a zone"),
        ({"at": "2026-10-01T00:00:00Z"}, "more than 35 days before"),
        ({"at": "1970-01-01T00:00:00Z"}, "more than 35 days before"),
        ({"at": "2100-01-01T00:00:00Z"}, "more than 5 minutes after"),
        ({"attributes": []}, None),
        ({"attributes": ["x"]}, "expected an object"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "expected a time with a zone"),
        ({"at": "9999-12-31T23:59:59-12:00"}, "expected a time with a zone"),
        ({"attributes": {"key_id": "\ud800"}}, "attributes.key_id: expected text"),
        ({"attributes": {"user": 7}}, "attributes.user: expected text"),
        ({"model": 7}, "model: expected text, got 7"),
        ({"provider": ["openai"]}, "provider: expected text"),
        ({"attributes": {"user": "u" * 257}}, "attributes.user: expected text"),
    ],
)
def test_a_bad_record_is_kept_apart_and_its_neighbours_count(
    change: dict[str, Any], reason: str | None
) -> None:
    pack = read_pack(a_pack("p1", a_record("good"), a_record("bad") | change), received_at=NOW)

    if reason is None:
        assert len(pack.records) == 2
        return
    assert [record.id for record in pack.records] == ["good"]
    (rejected,) = pack.rejected
    assert reason in rejected.reason
    assert rejected.position == 1
    assert json.loads(rejected.raw) == a_record("bad") | change


def test_an_unpriced_record_is_no_zero() -> None:
    (record,) = read_pack(a_pack("p", a_record(cost_nano_usd=None)), received_at=NOW).records

    assert record.cost_nano_usd is None


def test_a_record_packed_twice_is_one_call() -> None:
    assert len(read_pack(a_pack("p", a_record(), a_record()), received_at=NOW).records) == 1


def test_a_sender_s_wrong_clock_is_corrected() -> None:
    hour = timedelta(hours=1)
    text = a_pack(
        "p",
        a_record(at=(NOW + hour - timedelta(seconds=9)).isoformat()),
        sent_at=(NOW + hour).isoformat(),
    )
    (record,) = read_pack(text, received_at=NOW).records

    assert record.at == NOW - timedelta(seconds=9)


@pytest.mark.parametrize("days", [0.02, 8, 30])
def test_a_pack_that_was_held_up_counts_in_its_own_period(days: float) -> None:
    sent = NOW - timedelta(days=days)
    text = a_pack("p", a_record(at=sent.isoformat()), sent_at=sent.isoformat())
    (record,) = read_pack(text, received_at=NOW).records

    assert record.at == sent


def test_a_clock_some_minutes_slow_is_corrected() -> None:
    slow = NOW - timedelta(minutes=10)
    text = a_pack("p", a_record(at=slow.isoformat()), sent_at=slow.isoformat())
    (record,) = read_pack(text, received_at=NOW).records

    assert record.at == NOW


def test_a_pack_s_own_latency_moves_no_record_past_midnight() -> None:
    midnight = NOW.replace(hour=0)
    last = midnight - timedelta(milliseconds=5)
    text = a_pack("p", a_record(at=last.isoformat()), sent_at=last.isoformat())
    (record,) = read_pack(text, received_at=midnight + timedelta(seconds=30)).records

    assert record.at == last


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.recursive(st.none() | st.booleans() | FINITE | st.text(), st.lists, max_leaves=5))
def test_no_record_however_strange_stops_its_pack(item: object) -> None:
    text = a_pack("p", a_record("good"))
    strange = json.loads(text)
    strange["records"].append(item)

    pack = read_pack(json.dumps(strange), received_at=NOW)

    assert [record.id for record in pack.records] == ["good"]
    assert len(pack.rejected) == 1


def test_records_nested_up_to_what_python_reads_are_kept_apart_or_the_pack_is_refused() -> None:
    """How deep it reads, writes and shows differs from one Python to the next."""
    read = 0
    for depth in range(100, sys.getrecursionlimit() + 100, 20):
        nested = "[" * depth + "]" * depth
        text = a_pack("p").replace('"records": [', f'"records": [{{"id": {nested}}}, {nested}, ')
        try:
            pack = read_pack(text, received_at=NOW)
        except MalformedPackError:
            continue
        read += 1
        assert len(pack.records) == 1
        assert len(pack.rejected) == 2

    assert read > 10
