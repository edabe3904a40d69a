from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendfuse.ledger.pack import read_pack
from spendfuse.metering.attribution import Attribution, extended
from spendfuse.metering.record import Record
from spendfuse.metering.sinks.packing import (
    MAX_PACK_BYTES,
    MAX_PACK_KEYS,
    Pack,
    UnreadablePackError,
    by_key,
    pack_records,
    read_back,
)
from spendfuse.metering.usage import Usage

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SCHEMA = json.loads((Path(__file__).parents[4] / "docs/pack.schema.json").read_text())


def a_record(id: str = "r1", **over: Any) -> Record:
    usage = Usage(input_tokens=2000, cached_input_tokens=1920, output_tokens=300)
    record = Record(id, NOW, "openai", "gpt-4o", usage, 1_234_567, {"user": "u1"})
    return record._replace(**over)


def ids(prefix: str = "p") -> Callable[[], str]:
    numbers = count()
    return lambda: f"{prefix}{next(numbers)}"


def packed(records: list[Record], **limits: int) -> tuple[list[Pack], list[str]]:
    refused: list[str] = []
    packs = pack_records(
        records,
        created_at=NOW,
        new_id=ids(),
        refuse=lambda error: refused.append(f"{type(error).__name__}: {error}"),
        **limits,
    )
    return packs, refused


def record_ids(packs: list[Pack]) -> list[str]:
    return [
        record.id for pack in packs for record in read_pack(pack.body(NOW), received_at=NOW).records
    ]


def test_a_pack_is_what_the_schema_says_and_the_recorder_reads() -> None:
    records = [
        a_record("r1"),
        a_record("r2", cost_nano_usd=None, latency_ms=420, status="error", error_type="Timeout"),
    ]

    (pack,), refused = packed(records)

    body = pack.body(NOW + timedelta(seconds=3))
    jsonschema.validate(json.loads(body), SCHEMA)
    read = read_pack(body, received_at=NOW + timedelta(seconds=3))
    assert (read.id, read.rejected, refused) == ("p0", (), [])
    assert [(each.id, each.cost_nano_usd, each.at) for each in read.records] == [
        ("r1", 1_234_567, NOW),
        ("r2", None, NOW),
    ]
    assert read.records[0].attributes == {"user": "u1"}


def test_a_record_stands_in_a_pack_as_it_says_itself() -> None:
    record = a_record(latency_ms=420, fields={"rag_chunks_used": 4})

    (pack,), _ = packed([record])

    assert json.loads(pack.body(NOW))["records"] == [record.to_json()]


def test_each_attempt_has_its_own_time_and_all_else_the_same() -> None:
    (pack,), _ = packed([a_record()])
    later = NOW + timedelta(days=3)

    first, second = json.loads(pack.body(NOW)), json.loads(pack.body(later))

    assert (first.pop("sent_at"), second.pop("sent_at")) == (
        "2026-11-21T12:00:00.000Z",
        "2026-11-24T12:00:00.000Z",
    )
    assert first == second


def test_a_pack_that_waited_for_days_keeps_its_records_times() -> None:
    (pack,), _ = packed([a_record()])
    later = NOW + timedelta(days=3)

    (record,) = read_pack(pack.body(later), received_at=later).records

    assert record.at == NOW


def test_a_pack_is_closed_before_it_is_too_large() -> None:
    records = [a_record(str(number)) for number in range(50)]

    packs, _ = packed(records, max_bytes=2000)

    assert record_ids(packs) == [str(number) for number in range(50)]
    assert all(len(pack.body(NOW).encode()) == pack.size <= 2000 for pack in packs)
    assert all(pack.size > 1200 for pack in packs[:-1])


def test_a_pack_has_as_many_records_as_it_may() -> None:
    packs, _ = packed([a_record(str(number)) for number in range(25)], max_records=10)

    assert [pack.count for pack in packs] == [10, 10, 5]


def test_a_pack_has_few_api_keys_because_each_adds_a_counter() -> None:
    keys = [f"k{number % (MAX_PACK_KEYS + 1)}" for number in range(110)]
    records = [a_record(str(number), attributes={"key_id": key}) for number, key in enumerate(keys)]

    packs, _ = packed(by_key(records))

    assert [pack.count for pack in packs] == [100, 10]
    assert sorted(record_ids(packs), key=int) == [str(number) for number in range(110)]


def test_records_without_a_key_fill_a_pack() -> None:
    records = [a_record(str(number), attributes={"user": str(number)}) for number in range(100)]

    packs, _ = packed(by_key(records))

    assert [pack.count for pack in packs] == [100]


def test_nothing_gives_no_pack() -> None:
    assert packed([]) == ([], [])


@pytest.mark.parametrize(
    "over",
    [
        {"latency_ms": float("nan")},
        {"latency_ms": object()},
        {"at": datetime(2026, 11, 21)},  # noqa: DTZ001
        {"attributes": None},
        {"attributes": {"user": b"bytes"}},
        {"cost_nano_usd": 10**5000},
    ],
)
def test_a_record_that_cannot_be_encoded_is_refused_and_its_neighbours_are_packed(
    over: dict[str, Any],
) -> None:
    packs, refused = packed([a_record("r1"), a_record("bad", **over), a_record("r3")])

    assert record_ids(packs) == ["r1", "r3"]
    assert len(refused) == 1


def test_a_record_with_endless_texts_is_cut_so_that_its_cost_counts() -> None:
    record = a_record(model="m" * 300_000, error_type="é" * 100_000)

    packs, refused = packed([record])

    (read,) = read_pack(packs[0].body(NOW), received_at=NOW).records
    assert (read.cost_nano_usd, refused) == (1_234_567, [])
    assert packs[0].size < 2000


def test_a_record_that_stays_too_large_is_refused_with_its_size() -> None:
    packs, refused = packed([a_record(id="i" * 300_000)])

    assert packs == []
    assert "InputError: it has 300" in refused[0]
    assert "a pack holds 239800" in refused[0]


def test_what_was_written_down_is_the_same_pack() -> None:
    (pack,), _ = packed([a_record("r1"), a_record("r2")])

    assert read_back(pack.body(NOW), 2) == pack


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: "",
        lambda body: body[:-1],
        lambda body: body[: len(body) // 2],
        lambda body: body[10:],
        lambda body: body.replace('"id":"p0"', '"id":"../p0"'),
        lambda body: body.replace("schema", "shape"),
    ],
)
def test_a_pack_that_is_not_whole_is_not_read_back(spoil: Callable[[str], str]) -> None:
    (pack,), _ = packed([a_record()])

    with pytest.raises(UnreadablePackError):
        read_back(spoil(pack.body(NOW)), 1)


TEXT = st.text(max_size=400)
VALUES = st.dictionaries(TEXT, st.one_of(TEXT, st.integers(), st.floats(), st.booleans()))


@given(st.lists(st.tuples(TEXT, VALUES, st.sampled_from(["", "k1", "k2"])), max_size=12))
def test_whatever_people_write_into_attributes_every_record_counts(
    given: list[tuple[str, dict[str, Any], str]],
) -> None:
    records = []
    for number, (model, values, key) in enumerate(given):
        attribution = extended(Attribution({}, {}), values | {"key_id": key})
        records.append(
            a_record(
                str(number),
                model=model,
                attributes=attribution.attributes,
                fields=attribution.fields,
            )
        )

    packs, refused = packed(by_key(records), max_bytes=30_000)

    assert refused == []
    assert sorted(record_ids(packs), key=int) == [str(number) for number in range(len(given))]
    for pack in packs:
        body = pack.body(NOW)
        assert len(body.encode()) == pack.size
        assert body.isascii()
        assert read_pack(body, received_at=NOW).rejected == ()


def test_the_largest_pack_fits_in_a_queue_of_256_kilobytes() -> None:
    assert MAX_PACK_BYTES < 256 * 1000
