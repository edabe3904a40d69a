"""Tallies as bytes: small, in rows that DynamoDB takes, and exactly as they were."""

from __future__ import annotations

import base64
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spendfuse.errors import InputError
from spendfuse.ledger.counters import Delta
from spendfuse.ledger.tally import Series, SeriesKey, ShareKey, Tally
from spendfuse.ledger.tally_pieces import (
    MAX_PIECE_BYTES,
    packed,
    series_of,
    series_pieces,
    share_pieces,
    shares_of,
    tally_pieces,
)

TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=8)
COUNTS = st.integers(min_value=-(10**30), max_value=10**30)
SHARES = st.dictionaries(
    st.builds(ShareKey, TEXTS, TEXTS, st.sampled_from(["user", "model", "feature"]), TEXTS),
    st.builds(Delta, COUNTS, COUNTS, COUNTS),
    max_size=30,
)
SERIES = st.dictionaries(
    st.builds(
        SeriesKey,
        st.integers(min_value=0, max_value=10**9),
        st.sampled_from(["", "model", "feature", "provider"]),
        TEXTS,
    ),
    st.builds(Series, *[COUNTS] * 9, st.dictionaries(st.integers(0, 145), st.integers(1, 10**9))),
    max_size=30,
)


@given(SHARES)
def test_shares_read_back_exactly(shares: dict[ShareKey, Delta]) -> None:
    pieces = share_pieces(shares)

    assert len(pieces) == bool(shares)
    assert [shares_of(piece) for piece in pieces] == ([shares] if shares else [])


@given(SERIES)
def test_series_read_back_exactly(series: dict[SeriesKey, Series]) -> None:
    pieces = series_pieces(series)

    assert [series_of(piece) for piece in pieces] == ([series] if series else [])


@settings(max_examples=5)
@given(st.integers(min_value=0, max_value=2**32), st.integers(min_value=2_000, max_value=9_000))
def test_what_no_row_holds_is_cut_into_rows_without_loss(seed: int, users: int) -> None:
    chance = random.Random(seed)
    values = [base64.b64encode(chance.randbytes(150)).decode() for _ in range(users)]
    shares = {ShareKey("llm", "2026-11", "user", value): Delta(1, 1, 0) for value in values}
    pieces = share_pieces(shares)

    assert all(len(piece) <= MAX_PIECE_BYTES for piece in pieces)
    assert sum(len(shares_of(piece)) for piece in pieces) == users
    assert {key: each for piece in pieces for key, each in shares_of(piece).items()} == shares


def test_a_tally_becomes_rows_of_both_logs() -> None:
    tally = Tally(
        {ShareKey("llm", "2026-11", "user", "u"): Delta(1, 1, 0)}, {SeriesKey(1): Series(1, 1)}
    )

    assert [log for log, _ in tally_pieces(tally)] == ["shares", "series"]
    assert tally_pieces(Tally()) == ()


def test_a_value_stands_once_whatever_the_number_of_budgets() -> None:
    value = base64.b64encode(random.Random(1).randbytes(180)).decode()
    one, ten = (
        share_pieces(
            {ShareKey(f"b{n}", "2026-11", "user", value): Delta(1, 1, 0) for n in range(budgets)}
        )
        for budgets in (1, 10)
    )

    assert len(ten[0]) < len(one[0]) + 100


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no zlib",
        zlib.compress(b"no json"),
        zlib.compress(b"[]"),
        zlib.compress(b'{"format":2}'),
        zlib.compress(b"{}"),
        packed({}),
        packed({"scopes": [["b", "p"]], "by": {"user": {"u": [7, 1, 1, 1]}}}),
        packed({"scopes": [], "by": [], "series": [[1, "", ""]]}),
    ],
)
def test_what_another_version_wrote_is_refused_and_not_misread(data: bytes) -> None:
    with pytest.raises(InputError):
        shares_of(data)
    with pytest.raises(InputError):
        series_of(data)
