"""Reading a trace: exact costs, and a clear sentence for what is no trace."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from spendfuse.errors import InputError
from spendfuse.ledger.pack import read_pack
from spendfuse.sandbox.demo.trace import packs, read_trace

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def a_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_request_costs_its_tokens_at_list_price(tmp_path: Path) -> None:
    (request,) = read_trace(a_file(tmp_path, HEADER + "2023-11-16 18:15:46.6805900,374,44\n"))

    assert request.cost_nano_usd == 374 * 2_500 + 44 * 10_000


def test_a_trace_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    (request,) = read_trace(a_file(tmp_path, "\ufeff" + HEADER + "2023-11-16 18:15:46,374,44\n"))

    assert request.input_tokens == 374


def test_the_trace_ends_now_and_keeps_its_rhythm(tmp_path: Path) -> None:
    rows = "".join(f"2023-11-16 18:15:{second:02d}.5000000,10,1\n" for second in range(30))
    requests = read_trace(a_file(tmp_path, HEADER + rows * 10))
    made = [
        read_pack(json.dumps({**pack, "sent_at": NOW.isoformat()}), received_at=NOW)
        for pack in packs(requests, end=NOW)
    ]
    records = [record for pack in made for record in pack.records]

    assert [len(pack.records) for pack in made] == [200, 100]
    assert not any(pack.rejected for pack in made)
    assert max(record.at for record in records) == NOW
    assert (NOW - min(record.at for record in records)).total_seconds() == 29


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\n", "expected ['TIMESTAMP', 'ContextTokens', 'GeneratedTokens']"),
        (HEADER, "no requests in it"),
        (
            HEADER + "2023-11-16 18:15:46,ten,1\n",
            "line 2: ContextTokens is 'ten'; write a whole number",
        ),
        (HEADER + "2023-11-16 18:15:46,10,-1\n", "line 2: GeneratedTokens is '-1'; write a whole"),
        (HEADER + "2023-11-16 18:15:46,10000001,1\n", "a whole number from 0 to 10,000,000"),
        (HEADER + "yesterday,10,1\n", "line 2: TIMESTAMP is 'yesterday'; write a time, such as"),
        (HEADER + "2023-11-16 18:15:46,10\n", "line 2: GeneratedTokens is missing"),
        (HEADER + ",10,1\n", "line 2: TIMESTAMP is missing"),
        ("", "trace.csv is empty; it needs the columns TIMESTAMP, ContextTokens, GeneratedTokens"),
    ],
)
def test_what_is_no_trace_is_told_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        read_trace(a_file(tmp_path, text))

    assert sentence in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv can't be read"):
        read_trace(tmp_path / "nowhere.csv")
