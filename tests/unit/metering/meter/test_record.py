"""The one JSON shape of a record."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, timezone

import pytest

from spendfuse.metering.record import Record, RecordIds
from spendfuse.metering.usage import Usage

AT = datetime(2026, 11, 21, 13, 0, 0, 5000, tzinfo=timezone(timedelta(hours=1)))


def a_record(**over) -> Record:
    values = {
        "id": "r1",
        "at": AT,
        "provider": "openai",
        "model": "gpt-4o",
        "usage": Usage(input_tokens=9, output_tokens=3),
        "cost_nano_usd": 52_500,
        "attributes": {"user": "u1"},
        "fields": {"rag_chunks_used": 4, "quality_score": 0.9},
        "price_version": "v1",
    }
    return Record(**values | over)


def test_a_pack_holds_fields_as_texts_among_the_attributes() -> None:
    raw = a_record().to_json()

    assert raw["at"] == "2026-11-21T12:00:00.005Z"
    assert raw["attributes"] == {"user": "u1", "rag_chunks_used": "4", "quality_score": "0.9"}
    assert raw["tokens"] == {"input_tokens": 9, "output_tokens": 3}
    assert raw["cost_nano_usd"] == 52_500


def test_a_line_holds_fields_as_they_are_and_dollars_as_text() -> None:
    line = a_record().to_line()

    assert line["cost_usd"] == "0.000052500"
    assert line["fields"] == {"rag_chunks_used": 4, "quality_score": 0.9}
    assert line["attributes"] == {"user": "u1"}


def test_an_unpriced_record_has_no_cost_and_never_zero_dollars() -> None:
    record = a_record(cost_nano_usd=None, problem="the price book does not know the model")

    assert record.to_json()["cost_nano_usd"] is None
    assert record.to_line()["cost_usd"] is None
    assert record.to_line()["problem"] == "the price book does not know the model"


def test_fields_never_push_an_attribute_out() -> None:
    attributes = {f"a{number}": "v" for number in range(50)}

    assert a_record(attributes=attributes).to_json()["attributes"] == attributes


def test_ids_are_unique_across_a_fork() -> None:
    ids = RecordIds()
    mine = {ids() for _ in range(100)}
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover (another process)
        os.write(writer, ids().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    child = os.read(reader, 100).decode()
    os.close(reader)
    os.close(writer)

    assert len(mine) == 100
    assert child not in mine | {ids() for _ in range(100)}


@pytest.mark.parametrize("nano", [0, 1, 999_999_999, 10**9, 12_345_678_901])
def test_dollars_are_exact(nano) -> None:
    whole, cents = a_record(cost_nano_usd=nano).to_line()["cost_usd"].split(".")

    assert int(whole) * 10**9 + int(cents) == nano
    assert a_record(at=AT.astimezone(UTC)).to_json()["at"].endswith("Z")
