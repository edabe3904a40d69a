"""What was measured of our own code, and what is assumed of AWS around it.

Sizes and times are rounded up. The tests hold the sizes against what the ledger writes; the times
are from ``python -m benchmarks ledger`` (docs/scale.md has the date and the machine).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """Bytes and milliseconds; change one to see what hangs on it."""

    record_bytes: float = 434
    """Of a record in a pack, with five attributes."""
    pack_frame_bytes: float = 140
    marker_bytes: float = 260
    """Of a pack's marker as AWS stores it: 100 bytes are AWS's own."""
    planned_counter_bytes: float = 12
    """Of each counter in the plan of a pack that is too large for one transaction."""

    log_row_bytes: float = 180
    """Of a row of a log: its key, and what frames the data."""
    share_bytes: float = 10
    """Of each user, model and feature in it, compressed."""
    share_of_budget_bytes: float = 2.5
    """The same for each budget after the first."""
    series_bytes: float = 24
    """Of all requests of a minute, and of those of one model, feature and provider."""
    latency_bytes: float = 1.5
    """Of each bucket of latencies in it."""
    latency_buckets: int = 28
    """That a minute's requests fall into, of 146."""
    folded_row_bytes: float = 17
    """Of each row in the plan of the fold that takes it."""
    book_bytes: float = 140
    """Of a row of a book, without any value."""
    book_share_bytes: float = 14
    """Of each value in it."""
    series_state_bytes: float = 4_900
    """Of the one row with 40 days and 180 minutes of two providers."""

    record_ms: float = 0.02
    """Of our own code for each record in record_usage, on one vCPU of this machine."""
    recording_ms: float = 0.5
    """For each invocation of it."""

    watching_ms: float = 2.0
    """Assumed: our own code of one invocation of watch_budgets."""
    gauging_ms: float = 5.0
    """Assumed: the same of publish_gauges."""
    round_trip_ms: float = 10.0
    """Assumed: one call of DynamoDB, SNS or CloudWatch from a Lambda in the same region."""
    transaction_ms: float = 25.0
    """Assumed: a TransactWriteItems call is several round trips inside DynamoDB."""

    record_log_bytes: int = 230
    """Of our own lines in one invocation, as Lambda's JSON format writes them."""
    watch_log_bytes: int = 0
    """It writes a line where something is wrong, or a rung fires."""
    gauges_log_bytes: int = 0
    """What users spent is apart: it is logged when shares are folded."""
    platform_log_bytes: int = 700
    """Assumed: platform.start and platform.report, which Lambda writes for each invocation."""
