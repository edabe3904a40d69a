"""Tallies and books as bytes: compressed JSON, in pieces that fit a row of the table. Pure.

Each value stands once, whatever the number of budgets it counts on; what is read back is exactly
what was written.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, TypeVar

from spendfuse.errors import InputError
from spendfuse.ledger.counters import Delta
from spendfuse.ledger.tally import Series, SeriesKey, ShareKey, Tally

Log = Literal["shares", "series"]
"""Where tallies wait to be folded."""
MAX_PIECE_BYTES = 300_000
"""Of one row, which holds 400 KB at most."""
_FORMAT = 1
# Each row is written once and read a few times: size costs more than time, up to a point.
_LEVEL = 6
_Key = TypeVar("_Key", bound=tuple[Any, ...])
_Value = TypeVar("_Value")


def tally_pieces(tally: Tally) -> tuple[tuple[Log, bytes], ...]:
    """Return a tally as the rows of the logs that it becomes."""
    shares: list[tuple[Log, bytes]] = [("shares", data) for data in share_pieces(tally.shares)]
    return (*shares, *(("series", data) for data in series_pieces(tally.series)))


def share_pieces(shares: Mapping[ShareKey, Delta]) -> tuple[bytes, ...]:
    """Return shares as bytes, in pieces that fit a row each; none where there are none."""
    return _pieces(list(shares.items()), _shares_json)


def series_pieces(series: Mapping[SeriesKey, Series]) -> tuple[bytes, ...]:
    """Return series as bytes, in pieces that fit a row each; none where there are none."""
    return _pieces(list(series.items()), _series_json)


def shares_of(data: bytes) -> dict[ShareKey, Delta]:
    """Return the shares of one piece.

    Raises:
        InputError: not a piece that this version reads.
    """
    return _read(data, _shares_from_json)


def series_of(data: bytes) -> dict[SeriesKey, Series]:
    """Return the series of one piece.

    Raises:
        InputError: not a piece that this version reads.
    """
    return _read(data, _series_from_json)


def packed(content: Mapping[str, Any]) -> bytes:
    """Return a JSON object as compressed bytes, with the version of its format."""
    text = json.dumps({"format": _FORMAT, **content}, separators=(",", ":"))
    return zlib.compress(text.encode(), _LEVEL)


def unpacked(data: bytes) -> dict[str, Any]:
    """Return what ``packed`` was given.

    Raises:
        InputError: no such bytes, or of another version.
    """
    try:
        content = json.loads(zlib.decompress(data))
    except (zlib.error, ValueError) as error:
        raise InputError(f"{len(data)} bytes are no piece of the ledger: {error}") from error
    version = content.pop("format", None) if isinstance(content, dict) else None
    if version != _FORMAT:
        raise InputError(f"the piece has format {version!r}; this version reads {_FORMAT}")
    return dict(content)


def _read(data: bytes, read: Callable[[dict[str, Any]], dict[_Key, _Value]]) -> dict[_Key, _Value]:
    content = unpacked(data)
    try:
        return read(content)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{len(data)} bytes are no piece of a tally: {error!r}") from error


def _pieces(
    entries: Sequence[tuple[_Key, _Value]],
    to_json: Callable[[Iterable[tuple[_Key, _Value]]], dict[str, Any]],
) -> tuple[bytes, ...]:
    if not entries:
        return ()
    data = packed(to_json(entries))
    if len(data) <= MAX_PIECE_BYTES or len(entries) == 1:
        return (data,)
    # One more than would do if all parts were packed as well as the whole; most often enough.
    parts = min(len(data) // MAX_PIECE_BYTES + 2, len(entries))
    ends = [len(entries) * part // parts for part in range(parts + 1)]
    return tuple(
        piece for start, end in pairwise(ends) for piece in _pieces(entries[start:end], to_json)
    )


def _shares_json(entries: Iterable[tuple[ShareKey, Delta]]) -> dict[str, Any]:
    scopes: dict[tuple[str, str], int] = {}
    by_value: dict[str, dict[str, list[int]]] = {}
    for (budget, period, by, value), delta in entries:
        scope = scopes.setdefault((budget, period), len(scopes))
        counts = by_value.setdefault(by, {}).setdefault(value, [])
        counts += (scope, delta.nano_usd, delta.requests, delta.unpriced)
    return {"scopes": list(scopes), "by": by_value}


def _shares_from_json(content: dict[str, Any]) -> dict[ShareKey, Delta]:
    scopes = content["scopes"]
    shares = {}
    for by, values in content["by"].items():
        for value, counts in values.items():
            for start in range(0, len(counts), 4):
                scope, nano_usd, requests, unpriced = counts[start : start + 4]
                budget, period = scopes[scope]
                key = ShareKey(budget, period, by, value)
                shares[key] = Delta(nano_usd, requests, unpriced)
    return shares


def _series_json(entries: Iterable[tuple[SeriesKey, Series]]) -> dict[str, Any]:
    return {"series": [[*key, *_counts(each)] for key, each in entries]}


def _counts(series: Series) -> list[Any]:
    return [
        series.nano_usd,
        series.requests,
        series.unpriced,
        series.errors,
        series.cache_hits,
        series.input_tokens,
        series.output_tokens,
        series.dearest_nano_usd,
        series.rejected,
        [number for pair in sorted(series.latencies.items()) for number in pair],
    ]


def _series_from_json(content: dict[str, Any]) -> dict[SeriesKey, Series]:
    series = {}
    for minute, by, value, *counts, latencies in content["series"]:
        counts.append(dict(zip(latencies[::2], latencies[1::2], strict=True)))
        series[SeriesKey(minute, by, value)] = Series(*counts)
    return series
