"""What folding the ledger's logs into its books pays in a month.

``publish_gauges`` folds once a minute: the series that wait, and the shares where enough of them
wait or the oldest has waited long. To see that, it reads the shares that wait, every five minutes.
A fold writes each row of a book anew that it adds to.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from spendfuse.upkeep.deployment import Deployment
from spendfuse.upkeep.measured import Measured
from spendfuse.upkeep.workload import SECONDS_A_MONTH, Workload, different_users
from spendfuse.upkeep.writes import (
    Units,
    read_units,
    series_row_bytes,
    shares_row_bytes,
    values_in,
    write_units,
)

_NAMED_BOOKS = 2
"""Those of models and of features; users have ``user_books``."""


def fold_units(workload: Workload, deployment: Deployment, measured: Measured) -> Units:
    """Return what a month's postings pay to be folded; nothing without postings."""
    if not workload.postings:
        return Units()

    def series(rows: int) -> Units:
        return series_fold_units(workload, measured, rows=rows)

    def shares(rows: int) -> Units:
        return share_fold_units(workload, deployment, measured, rows=rows)

    return (
        _spread(series, workload.postings, series_folds(workload, deployment))
        + _spread(shares, workload.postings, share_folds(workload, deployment))
        + _waiting_units(workload, deployment, measured)
    )


def idle_units(measured: Measured) -> Units:
    """Return what one minute pays to see that nothing waits, and how the series stand.

    Most minutes don't look at shares, and pay two units less.
    """
    return Units(read=4 + read_units(measured.series_state_bytes))


def series_folds(workload: Workload, deployment: Deployment) -> int:
    """Return how many folds of series a month has: one a minute with usage, or more."""
    rows = workload.postings
    minutes = SECONDS_A_MONTH // deployment.schedule_seconds
    return min(rows, max(minutes, math.ceil(rows / deployment.fold_rows)))


def share_folds(workload: Workload, deployment: Deployment) -> int:
    """Return how many folds of shares a month has."""
    rows = workload.postings
    by_time = SECONDS_A_MONTH // deployment.shares_wait_seconds
    return min(rows, max(by_time, math.ceil(rows / deployment.fold_rows)))


def series_fold_units(workload: Workload, measured: Measured, *, rows: int) -> Units:
    """Return what one fold pays that takes so many postings' series."""
    state = Units(
        written=write_units(measured.series_state_bytes),
        read=read_units(measured.series_state_bytes),
    )
    return state + _taken_units(rows, series_row_bytes(workload, measured), measured)


def share_fold_units(
    workload: Workload, deployment: Deployment, measured: Measured, *, rows: int
) -> Units:
    """Return what one fold pays that takes so many postings' shares."""
    records = rows * workload.packs_per_posting * workload.records_per_pack
    users = different_users(workload.users, records)
    # Ids that follow each other spread evenly: hardly two of them share a book by chance.
    touched = min(deployment.user_books, users)
    of_users = measured.book_bytes + measured.book_share_bytes * math.ceil(
        max(1, workload.users) / deployment.user_books
    )
    named = max(values_in(workload, workload.models), values_in(workload, workload.features))
    of_names = measured.book_bytes + measured.book_share_bytes * named
    # Where a fold touches many users' books, all are read in one query; else each by itself.
    user_reads = (
        read_units(deployment.user_books * of_users)
        if 2 * touched >= deployment.user_books
        else touched * read_units(of_users)
    )
    books = Units(
        written=touched * write_units(of_users) + _NAMED_BOOKS * write_units(of_names),
        read=user_reads + _NAMED_BOOKS * read_units(of_names),
    )
    taken = _taken_units(rows, shares_row_bytes(workload, measured), measured)
    return books.times(workload.counted.totals) + taken


def _taken_units(rows: int, row: float, measured: Measured) -> Units:
    """Return what it pays to take rows out of a log: read, noted in the fold row, deleted."""
    fold_row = measured.book_bytes + rows * measured.folded_row_bytes
    return Units(
        # The fold row is put, and put right when all is added; it was read before.
        written=2 * write_units(fold_row) + rows * write_units(row),
        read=read_units(rows * row) + read_units(fold_row),
    )


def _spread(fold: Callable[[int], Units], rows: int, folds: int) -> Units:
    """Return what so many rows pay in so many folds, about as large as each other."""
    each, more = divmod(rows, folds)
    return fold(each + 1).times(more) + fold(each).times(folds - more)


def _waiting_units(workload: Workload, deployment: Deployment, measured: Measured) -> Units:
    """Return what it pays to look at the shares that wait longer than until the next look."""
    looks = SECONDS_A_MONTH // deployment.shares_look_seconds
    a_look = workload.postings / looks
    most = min(
        deployment.fold_rows,
        a_look * deployment.shares_wait_seconds / deployment.shares_look_seconds,
    )
    # From none to the most, so half of them on average.
    return Units(read=looks * (read_units(most / 2 * shares_row_bytes(workload, measured)) - 1))
