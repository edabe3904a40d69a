"""The ledger's metrics in CloudWatch: names for who publishes them and for who looks at them.

A user is never a dimension: each value would be a metric of its own, $0.30 a month. Models and
features are dimensions up to ``MAX_VALUES`` each; what is beyond is published as ``OTHER``.
"""

from __future__ import annotations

NAMESPACE = "Spendfuse/Ledger"
"""Not the SDK's, or every dollar would show twice."""

DEPLOYMENT, BUDGET, MODEL, FEATURE = "Deployment", "Budget", "Model", "Feature"
"""Dimensions; each metric has ``Deployment``, so that two in one account stay apart."""
MAX_VALUES = 50
OTHER = "other"

# As things stand, once a minute. Look at their Maximum.
BUDGET_USED_PERCENT = "BudgetUsedPercent"
"""By budget; the others of this group have no further dimension."""
MONTH_TO_DATE_USD = "MonthToDateUSD"
DAY_TO_DATE_USD = "DayToDateUSD"
HOURLY_USD = "HourlyUSD"
"""Spent in the last 60 whole minutes."""
ERROR_PERCENT = "ErrorPercent"
"""Of the requests of the last 5 whole minutes; absent below ``MIN_REQUESTS`` of them."""
MIN_REQUESTS = 20
MINUTES_SINCE_USAGE = "MinutesSinceUsage"
"""Absent before the first usage."""
HEARTBEAT = "Heartbeat"
UNCONFIRMED_EMAILS = "UnconfirmedEmails"
UNMETERED_TOKENS = "UnmeteredTokens"
"""Tokens that Bedrock counted in an hour and nobody metered."""

# What happened, under the minute in which it did; in all, by model and by feature. Their Sum.
COST_USD = "CostUSD"
REQUESTS = "Requests"
UNPRICED_REQUESTS = "UnpricedRequests"
ERRORS = "Errors"
CACHE_HITS = "CacheHits"
INPUT_TOKENS = "InputTokens"
OUTPUT_TOKENS = "OutputTokens"
LATENCY_MS = "LatencyMs"
"""Their percentiles."""
DEAREST_REQUEST_USD = "DearestRequestUSD"
"""In all only; its Maximum."""
QUARANTINED_RECORDS = "QuarantinedRecords"
"""In all only."""

# By how they are dimensioned; each name is billed once for each value of its dimensions.
GAUGES = (
    MONTH_TO_DATE_USD,
    DAY_TO_DATE_USD,
    HOURLY_USD,
    ERROR_PERCENT,
    MINUTES_SINCE_USAGE,
    HEARTBEAT,
    UNCONFIRMED_EMAILS,
    UNMETERED_TOKENS,
)
"""Of the deployment as a whole; each budget has one more."""
FLOWS = (
    COST_USD,
    REQUESTS,
    UNPRICED_REQUESTS,
    ERRORS,
    CACHE_HITS,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    LATENCY_MS,
)
"""In all, by model and by feature."""
FLOWS_IN_ALL_ONLY = (DEAREST_REQUEST_USD, QUARANTINED_RECORDS)
