"""What folding the ledger's logs into its books pays in a month.

``publish_gauges`` folds once a minute: the series that wait, and the shares where enough of them
wait or the oldest has waited long. A fold writes each row of a book anew that it adds to.
"""

from __future__ import annotations

import math

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
    series = _series_units(workload, deployment, measured)
    shares = _shares_units(workload, deployment, measured)
    return series + shares + _waiting_units(workload, deployment, measured)


def idle_units(measured: Measured) -> Units:
    """Return what one minute pays to see that nothing waits, and how the series stand."""
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


def _series_units(workload: Workload, deployment: Deployment, measured: Measured) -> Units:
    folds = series_folds(workload, deployment)
    row = series_row_bytes(workload, measured)
    state = Units(
        written=write_units(measured.series_state_bytes),
        read=read_units(measured.series_state_bytes),
    )
    return _taken_units(workload, folds, row, measured) + state.times(folds)


def _shares_units(workload: Workload, deployment: Deployment, measured: Measured) -> Units:
    folds = share_folds(workload, deployment)
    row = shares_row_bytes(workload, measured)
    users = different_users(workload.users, math.ceil(workload.requests / folds))
    touched = different_users(deployment.user_books, users)
    of_users = measured.book_bytes + measured.book_share_bytes * math.ceil(
        max(1, workload.users) / deployment.user_books
    )
    named = max(values_in(workload, workload.models), values_in(workload, workload.features))
    of_names = measured.book_bytes + measured.book_share_bytes * named
    books = Units(
        written=touched * write_units(of_users) + _NAMED_BOOKS * write_units(of_names),
        read=touched * read_units(of_users) + _NAMED_BOOKS * read_units(of_names),
    )
    written = books.times(workload.counted.totals * folds)
    return _taken_units(workload, folds, row, measured) + written


def _taken_units(workload: Workload, folds: int, row: float, measured: Measured) -> Units:
    """Return what it pays to take all rows out of a log: read, noted in a fold row, deleted."""
    rows = workload.postings
    each = math.ceil(rows / folds)
    fold_row = measured.book_bytes + each * measured.folded_row_bytes
    of_a_fold = Units(
        # It is put, and put right when all is added; it is read once more to see what is left.
        written=2 * write_units(fold_row),
        read=read_units(each * row) + 2 * read_units(fold_row),
    )
    return of_a_fold.times(folds) + Units(written=rows * write_units(row))


def _waiting_units(workload: Workload, deployment: Deployment, measured: Measured) -> Units:
    """Return what it pays to look, each minute, at the shares that wait longer than that."""
    minutes = SECONDS_A_MONTH // deployment.schedule_seconds
    a_minute = workload.postings / minutes
    wait_minutes = deployment.shares_wait_seconds / deployment.schedule_seconds
    most = min(deployment.fold_rows, a_minute * wait_minutes)
    # From none to the most, so half of them on average.
    return Units(read=minutes * (read_units(most / 2 * shares_row_bytes(workload, measured)) - 1))
