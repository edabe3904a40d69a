"""The tables of docs/scale.md: what a million requests cost, by how they are packed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal

from spendfuse.upkeep.bill import Bill, Standing, monthly_bill
from spendfuse.upkeep.deployment import Deployment
from spendfuse.upkeep.measured import Measured
from spendfuse.upkeep.workload import (
    SECONDS_A_MONTH,
    Counted,
    Workload,
    different_users,
    packing,
    usual_records_per_pack,
)
from spendfuse.upkeep.writes import posting_units

RECORDS = (1, 20, 200, 1_000)
USERS = (1, 100, 1_000)
VOLUMES = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
RATES = (
    (10, 1),
    (10, 10),
    (1_000, 10),
    (1_000, 1_000),
    (100_000, 200),
    (100_000, 2_000),
)
"""Requests a second, and the processes that they come from."""
MOST_POSTINGS = 40
"""A second, on one total: transactions about it come one after the other, 25 ms each."""
TABLE_REQUESTS, TABLE_USERS = 10_000_000, 10_000
MAX_PACK_RECORDS = 500
"""The SDK's; a larger heap of records goes as several packs, and is counted in one posting."""
USUAL = Standing(
    budgets=1,
    alarm_metrics=44,
    composite_alarms=1,
    dashboards=1,
    emails=1,
    secrets=1,
    aws_budgets=1,
    cost_anomaly_monitors=0,
)
_SHOWN = Decimal("0.001")


def bill_of(requests: int, users: int, records: int, users_together: int) -> Bill:
    """Return a month's bill of the deployment in cdk.json, with one budget for everything.

    Args:
        requests: of the month.
        users: of the month.
        records: that one process sends together.
        users_together: different ones among them.
    """
    packs = packing(records, users_together, max_records=MAX_PACK_RECORDS)
    workload = Workload(
        requests=requests,
        users=users,
        records_per_pack=packs.records,
        users_per_pack=packs.users,
        counted=Counted(1, 0, 0),
        packs_per_posting=packs.packs,
    )
    return monthly_bill(workload, USUAL, Deployment(), Measured())


def packing_table() -> Iterator[str]:
    """Yield what a million requests cause, by records and users that are sent together."""
    titles = [f"{users:,} user{'' if users == 1 else 's'}" for users in USERS]
    yield from _markdown(
        ["records together", *titles],
        [[f"{records:,}", *(_cell(records, users) for users in USERS)] for records in RECORDS],
    )


def volume_table() -> Iterator[str]:
    """Yield what months of other sizes cost, with 200 records of 100 users in a pack."""
    rows = []
    for requests in VOLUMES:
        bill = bill_of(requests, TABLE_USERS, 200, 100)
        per_million = bill.per_million_requests_usd or Decimal(0)
        rows.append([f"{requests:,}", *map(_usd, (per_million, bill.by_requests_usd))])
        rows[-1] += map(_usd, (bill.fixed_usd, bill.monthly_usd))
    yield from _markdown(
        ["requests a month", "for a million", "by requests", "without any", "all"], rows
    )


def rate_table() -> Iterator[str]:
    """Yield what a rate means for the recorder, by the processes that it comes from."""
    rows = []
    for a_second, processes in RATES:
        requests = a_second * SECONDS_A_MONTH
        records = usual_records_per_pack(
            requests, processes=processes, linger_seconds=1.0, max_records=MAX_PACK_RECORDS
        )
        packs = a_second / records
        together = math.ceil(packs / MOST_POSTINGS)
        workload = Workload(
            requests=requests,
            users=TABLE_USERS,
            records_per_pack=records,
            users_per_pack=different_users(TABLE_USERS, records),
            counted=Counted(1, 0, 0),
            packs_per_posting=together,
        )
        bill = monthly_bill(workload, USUAL, Deployment(), Measured())
        postings = packs / together
        units = postings * posting_units(workload, Measured()).written
        rows.append(
            [
                f"{a_second:,}",
                f"{processes:,}",
                f"{records:,}",
                f"{packs:,.0f}",
                f"{together:,}",
                f"{postings:,.0f}",
                f"{units:,.0f}",
                _usd(bill.per_million_requests_usd or Decimal(0)),
                f"${bill.monthly_usd.quantize(Decimal(1)):,}",
            ]
        )
    titles = ["requests a second", "processes", "records a pack", "packs a second"]
    titles += ["packs a posting", "postings a second", "write units a second"]
    yield from _markdown([*titles, "for a million", "a month"], rows)


def _cell(records: int, users: int) -> str:
    """Return a cell; a pack has no more users than records."""
    bill = bill_of(TABLE_REQUESTS, TABLE_USERS, records, min(records, users))
    return _usd(bill.per_million_requests_usd or Decimal(0))


def _usd(amount: Decimal) -> str:
    return f"${amount.quantize(_SHOWN, ROUND_HALF_UP):,}"


def _markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---:|' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
