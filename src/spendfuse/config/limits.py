"""From the blocks of budgets and rates to what the guard enforces."""

from __future__ import annotations

from spendfuse.budget import Budget, Limits, Rate, Rung
from spendfuse.config.schema import BudgetBlock, LimitsBlock, RateBlock, RungBlock, SpendfuseBlock
from spendfuse.money import nano_usd

TRIPS_FROM_PERCENT = 100
DEFAULT_LADDER = (
    Rung(50, ("email", "slack")),
    Rung(80, ("slack",)),
    Rung(100, ("email", "slack"), trips=True),
)


def limits_of(block: LimitsBlock | SpendfuseBlock) -> Limits:
    """Return the budgets and the rates, in the order in which they are written."""
    return Limits(
        tuple(_budget(each) for each in block.budgets), tuple(_rate(each) for each in block.rates)
    )


def _budget(block: BudgetBlock) -> Budget:
    return Budget(
        name=block.name,
        limit_nano_usd=nano_usd(block.limit_usd),
        period=block.period,
        ladder=_ladder(block),
        match=block.match,
        per=block.per,
        zone=block.zone,
        mode=block.mode,
        when_down=block.when_down,
        local_share_percent=block.local_share_percent,
    )


def _ladder(block: BudgetBlock) -> tuple[Rung, ...]:
    """Return the rungs; the default ones where none are written, and none for each user."""
    if block.ladder:
        return tuple(_rung(each) for each in block.ladder)
    return () if block.per else DEFAULT_LADDER


def _rung(block: RungBlock) -> Rung:
    trips = block.percent >= TRIPS_FROM_PERCENT if block.trip is None else block.trip
    return Rung(block.percent, tuple(block.notify), trips)


def _rate(block: RateBlock) -> Rate:
    return Rate(block.name, nano_usd(block.usd_per_minute), block.match, block.per)
