"""What counting packs writes and reads in DynamoDB, in AWS's units, by the sizes of the rows.

A write unit is a begun KB and a read unit 4 KB, read consistently; a transaction pays double.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from spendfuse.upkeep.measured import Measured
from spendfuse.upkeep.workload import Workload

TRANSACTION_ITEMS = 100
"""AWS's limit; what does not fit is counted by a plan, in chunks."""
_LOGS = 2
_KB, _READ_BYTES = 1024, 4096
_IN_ALL = 2
"""Of the series, beside models and features: all requests, and one provider."""


@dataclass(frozen=True, slots=True)
class Units:
    """Write and read units."""

    written: int = 0
    read: int = 0

    def __add__(self, other: Units) -> Units:
        return Units(self.written + other.written, self.read + other.read)

    def times(self, count: int) -> Units:
        """Return the units of doing it so often."""
        return Units(self.written * count, self.read * count)


def write_units(size: float) -> int:
    """Return the units of writing an item of so many bytes, outside of a transaction."""
    return max(1, math.ceil(size / _KB))


def read_units(size: float) -> int:
    """Return the units of reading so many bytes consistently."""
    return max(1, math.ceil(size / _READ_BYTES))


def counters(workload: Workload) -> int:
    """Return how many counters one posting adds to; its packs are of the same API keys."""
    counted = workload.counted
    return (
        counted.totals * (1 + workload.keys_per_pack)
        + counted.per_user * users_in(workload)
        + counted.per_other * values_in(workload, workload.features)
    )


def shares_row_bytes(workload: Workload, measured: Measured) -> float:
    """Return the size of the log's row that says whose a posting was."""
    values = (
        users_in(workload)
        + values_in(workload, workload.models)
        + values_in(workload, workload.features)
    )
    further = max(0, workload.counted.totals - 1) * measured.share_of_budget_bytes
    return measured.log_row_bytes + values * (measured.share_bytes + further)


def series_row_bytes(workload: Workload, measured: Measured) -> float:
    """Return the size of the log's row that says how a posting's requests went."""
    values = _IN_ALL + values_in(workload, workload.models) + values_in(workload, workload.features)
    buckets = min(_records(workload), measured.latency_buckets)
    return measured.log_row_bytes + values * (
        measured.series_bytes + buckets * measured.latency_bytes
    )


def posting_units(workload: Workload, measured: Measured) -> Units:
    """Return what one posting pays: the packs of one invocation of the recorder."""
    logs = write_units(shares_row_bytes(workload, measured)) + write_units(
        series_row_bytes(workload, measured)
    )
    added, packs = counters(workload), workload.packs_per_posting
    room = TRANSACTION_ITEMS - _LOGS - added
    if room > 0:
        transactions = math.ceil(packs / room)
        return Units(written=2 * (packs + transactions * (added + logs)))
    return _planned_units(added, packs, logs, measured)


def _planned_units(added: int, packs: int, logs: int, measured: Measured) -> Units:
    """Return what packs pay that do not fit one transaction: each has a plan of its own."""
    counters_each = math.ceil(added / packs)
    chunks = math.ceil(counters_each / (TRANSACTION_ITEMS - 1))
    plan = measured.marker_bytes + counters_each * measured.planned_counter_bytes
    # The marker is put with the plan in it, read, and put right when all is counted.
    marker = Units(written=2 * write_units(plan), read=read_units(plan))
    chunked = Units(written=2 * (counters_each + chunks + logs))
    return (marker + chunked).times(packs)


def users_in(workload: Workload) -> int:
    """Return how many users one posting has."""
    most = workload.users_per_pack * workload.packs_per_posting
    return min(most, max(1, workload.users))


def values_in(workload: Workload, values: int) -> int:
    """Return how many of the models, say, one posting has; one where nobody says which."""
    return min(max(1, values), _records(workload))


def _records(workload: Workload) -> int:
    return workload.records_per_pack * workload.packs_per_posting
