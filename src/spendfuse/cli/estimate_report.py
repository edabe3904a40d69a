"""How an estimate reads: for people, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from spendfuse.aws_prices import PRICES_DATE, PRICES_REGION, Price
from spendfuse.cli.ledger_text import folded
from spendfuse.cli.price_layout import GAP, table
from spendfuse.upkeep.bill import Bill, Line, Standing
from spendfuse.upkeep.deployment import Deployment
from spendfuse.upkeep.measured import Measured
from spendfuse.upkeep.workload import Workload

_NANO = Decimal("0.000000001")
_SHOWN = Decimal("0.0001")
_TITLES = {"Caused by requests": True, "There without any": False}


LEFT_OUT = (
    "the free tier",
    "what the models cost",
    "the guard's table, where apps guard with DynamoDB",
    "Bedrock's own invocation log, where it is metered",
    "transactions that conflict and are tried again",
    "looking at the dashboard",
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A bill, and all that it was made from."""

    deployment: str
    workload: Workload
    standing: Standing
    stacks: Deployment
    measured: Measured
    bill: Bill


def estimate_json(estimate: Estimate) -> dict[str, Any]:
    """Return the estimate for programs: dollars are text, quantities numbers."""
    bill, work = estimate.bill, estimate.workload
    per_million = bill.per_million_requests_usd
    return {
        "deployment": estimate.deployment,
        "lines": [_line_json(line) for line in bill.lines],
        "monthly_usd": _usd(bill.monthly_usd),
        "fixed_usd": _usd(bill.fixed_usd),
        "by_requests_usd": _usd(bill.by_requests_usd),
        "per_million_requests_usd": None if per_million is None else _usd(per_million),
        "prices": {"date": PRICES_DATE, "region": PRICES_REGION, "free_tier": False},
        "left_out": list(LEFT_OUT),
        "assumed": {
            "workload": {**asdict(work), "counted": work.counted._asdict()},
            "standing": asdict(estimate.standing),
            "stacks": asdict(estimate.stacks),
            "measured": asdict(estimate.measured),
        },
    }


def _line_json(line: Line) -> dict[str, Any]:
    # A quantity is no money: JSON's own number is near enough, and easier to read.
    quantity = int(line.quantity) if line.quantity == int(line.quantity) else float(line.quantity)
    return {
        "service": line.service,
        "what": line.what,
        "quantity": quantity,
        "unit": line.price.unit,
        "unit_price_usd": f"{line.price.usd:f}",
        "unit_price_per": line.price.per,
        "price_source": line.price.source,
        "by_requests": line.by_requests,
        "usd": _usd(line.usd),
    }


def estimate_lines(estimate: Estimate) -> Iterator[str]:
    """Yield the estimate for people, as wide as their terminal."""
    bill, work = estimate.bill, estimate.workload
    yield (
        f"{estimate.deployment}: {work.requests:,} requests a month, of {_many(work.users, 'user')}"
    )
    yield (
        f"{_many(work.records_per_pack, 'record')} and "
        f"{_many(work.users_per_pack, 'user')} a pack, "
        f"{_many(work.packs_per_posting, 'pack')} at once; "
        f"{_many(work.models, 'model')}, {_many(work.features, 'feature')}"
    )
    for line in _table(bill):
        if line.startswith(tuple(_TITLES)):
            yield ""
        yield line
    yield ""
    yield f"{'A month':<20} {_dollars(bill.monthly_usd):>12}"
    yield f"{'  without requests':<20} {_dollars(bill.fixed_usd):>12}"
    per_million = bill.per_million_requests_usd
    if per_million is not None:
        yield f"{'  by requests':<20} {_dollars(bill.by_requests_usd):>12}"
        yield f"{'    for a million':<20} {_dollars(per_million):>12}"
    yield ""
    yield f"AWS's list prices in {PRICES_REGION}, of {PRICES_DATE}. Left out:"
    yield from (f"  {each}" for each in LEFT_OUT)
    yield "--json has what was measured and assumed, and where each price is from."


def _table(bill: Bill) -> list[str]:
    """Return both halves of the bill, their columns below each other."""
    rows = []
    for title, by_requests in _TITLES.items():
        found = [_row(line) for line in bill.lines if line.by_requests is by_requests]
        rows += [(title, "quantity", "at", "$"), *found] if found else []
    return table(list(folded(rows, indent="")), right=(1, 2, 3), indent="")


def _row(line: Line) -> tuple[str, ...]:
    what = f"{GAP}{line.service}: {line.what}"
    return what, _quantity(line.quantity), _price(line.price), _shown(line.usd)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _quantity(quantity: Decimal) -> str:
    whole = quantity == int(quantity)
    return f"{int(quantity):,}" if whole else f"{quantity.quantize(Decimal('0.001')):,}"


_PER = {1: "", 1_000: "/1,000", 10_000: "/10,000", 100_000: "/100,000", 1_000_000: "/M"}


def _price(price: Price) -> str:
    return f"{price.usd.normalize():f}{_PER[price.per]}" if price.usd else "free"


def _shown(amount: Decimal) -> str:
    return f"{amount.quantize(_SHOWN, ROUND_HALF_UP):,}"


def _dollars(amount: Decimal) -> str:
    return f"${_shown(amount)}"


def _usd(amount: Decimal) -> str:
    return f"{amount.quantize(_NANO):f}"
