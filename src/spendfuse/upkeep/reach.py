"""For every rung: which nets see it, within how long, and what is spent until they do.

A net's delay does not depend on the rung, and what is spent meanwhile goes by the pace: dollars an
hour, given, or a multiple of the even pace of each budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from fractions import Fraction
from typing import Literal

from spendfuse.budget import Budget, Rung
from spendfuse.money import EXACT, usd
from spendfuse.upkeep.deployment import ALARM_PACES
from spendfuse.upkeep.nets import Net, Nets

PACE_MULTIPLE = 10
"""Of a budget's even pace: what a loop or a leaked key spends beyond the usual."""
FORECAST = "needs about 5 weeks of history, and gives no bound"
_PERIOD_HOURS = {"day": 24, "week": 168, "month": 730, "total": 730}
"""One over all of time has no pace: as if it were a month's."""
_HOUR_SECONDS = 3600
_WHOLE_PERCENT = 100
_CENT = Decimal("0.01")

LevelKind = Literal["rung", "alarm", "limit", "forecast"]


@dataclass(frozen=True, slots=True)
class AwsRungs:
    """An AWS budget, and the budget of ours that its messages join."""

    aws_name: str
    budget: str
    limit_nano_usd: int
    period: str
    actual_percents: tuple[int, ...]
    forecast_percents: tuple[int, ...]
    trip_percent: int | None = None


@dataclass(frozen=True, slots=True)
class SpendAlarms:
    """From where on the alarms on spend ring; None is off."""

    warning_percent: int | None
    critical_percent: int | None
    daily_usd: Decimal | None
    hourly_usd: Decimal | None
    anomaly: bool
    cost_anomaly_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Sighting:
    """One net at one level."""

    net: Net
    seconds: int | None
    """None where nobody can say."""
    usd: Decimal | None
    """What is spent meanwhile, rounded up to a cent."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Level:
    """An amount at which something is to happen."""

    percent: int
    kind: LevelKind
    usd: Decimal
    trips: bool
    sightings: tuple[Sighting, ...]


@dataclass(frozen=True, slots=True)
class BudgetReach:
    """One budget, of ours or of AWS's."""

    name: str
    limit_usd: Decimal
    period: str
    per: str | None
    usd_per_hour: Decimal
    levels: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class PaceReach:
    """An alarm on how fast money goes, whatever the budget."""

    name: str
    figure: str
    net: Net
    seconds: int | None
    """From the beginning of that pace; None: it does not ring at this pace."""
    usd: Decimal | None
    note: str = ""


def even_pace(limit_nano_usd: int, period: str) -> Decimal:
    """Return the dollars an hour at which the limit lasts the period."""
    return EXACT.divide(usd(limit_nano_usd), Decimal(_PERIOD_HOURS[period]))


def spent_in(seconds: int, usd_per_hour: Decimal) -> Decimal:
    """Return what is spent in that time, rounded up to a cent."""
    exact = EXACT.divide(EXACT.multiply(usd_per_hour, Decimal(seconds)), Decimal(_HOUR_SECONDS))
    return exact.quantize(_CENT, ROUND_UP, EXACT)


def budget_reach(
    budget: Budget,
    nets: Nets,
    alarms: SpendAlarms,
    *,
    usd_per_hour: Decimal | None,
    is_armed: bool = True,
) -> BudgetReach:
    """Return one budget's levels: its rungs, its alarms and its limit.

    Args:
        budget: as configured.
        nets: of the deployment.
        alarms: that are on.
        usd_per_hour: how fast money goes; None goes by the budget's even pace.
        is_armed: whether the fuse disables keys, and not only says which it would.
    """
    pace = usd_per_hour
    if pace is None:
        pace = even_pace(budget.limit_nano_usd, budget.period) * PACE_MULTIPLE
    # A budget for each user rings nobody and has no gauge: the guard alone goes by it.
    rungs = {} if budget.per else {rung.percent: rung for rung in budget.ladder}
    figures = () if budget.per else (alarms.warning_percent, alarms.critical_percent)
    rings = {percent for percent in figures if percent is not None}
    levels = []
    for percent in sorted({*rungs, *rings, _WHOLE_PERCENT}):
        rung = rungs.get(percent)
        trips = rung is not None and rung.trips
        ringing = (
            *(_rung_nets(rung, nets, is_armed=is_armed) if rung else ()),
            *_alarm_nets(budget, percent, nets, alarms),
        )
        found = (*_guarded(budget, percent, nets), *(_seen(net, pace) for net in ringing))
        if found:
            kind: LevelKind = "rung" if rung else "alarm" if percent in rings else "limit"
            amount = usd(budget.limit_nano_usd * percent) / _WHOLE_PERCENT
            levels.append(Level(percent, kind, amount, trips, found))
    return BudgetReach(
        budget.name,
        usd(budget.limit_nano_usd),
        budget.period,
        budget.per,
        pace,
        tuple(levels),
    )


def _guarded(budget: Budget, percent: int, nets: Nets) -> Iterator[Sighting]:
    if percent == _WHOLE_PERCENT and budget.mode != "observe":
        yield Sighting(nets.guard, 0, Decimal(0), "in apps that reserve")


def _rung_nets(rung: Rung, nets: Nets, *, is_armed: bool) -> Iterator[Net]:
    yield from (nets.by_stream, nets.by_schedule, nets.after_a_crash)
    if rung.trips and is_armed:
        yield nets.fuse


def _alarm_nets(budget: Budget, percent: int, nets: Nets, alarms: SpendAlarms) -> Iterator[Net]:
    """Return the alarm that tells at this percentage; beside a rung only the root's critical."""
    figures = {"warning": alarms.warning_percent, "critical": alarms.critical_percent}
    is_told = any(rung.percent == percent for rung in budget.ladder)
    for part, figure in figures.items():
        speaks = not is_told or (budget.is_root and part == "critical")
        if figure == percent and budget.per is None and speaks:
            yield nets.alarm(f"budget-used-{budget.name}-{part}", ALARM_PACES["budget-used"])


def _seen(net: Net, pace: Decimal) -> Sighting:
    return Sighting(net, net.seconds, spent_in(net.seconds, pace))


def aws_reach(rungs: AwsRungs, nets: Nets, *, usd_per_hour: Decimal | None) -> BudgetReach:
    """Return an AWS budget's levels."""
    pace = usd_per_hour
    if pace is None:
        pace = even_pace(rungs.limit_nano_usd, rungs.period) * PACE_MULTIPLE
    net = nets.aws_budget(rungs.aws_name, is_daily=rungs.period == "day")
    limit = usd(rungs.limit_nano_usd)
    actual = [
        Level(
            percent,
            "rung",
            limit * percent / 100,
            trips=percent == rungs.trip_percent,
            sightings=(_seen(net, pace),),
        )
        for percent in rungs.actual_percents
    ]
    forecast = [
        Level(
            percent,
            "forecast",
            limit * percent / 100,
            trips=False,
            sightings=(Sighting(net, None, None, FORECAST),),
        )
        for percent in rungs.forecast_percents
    ]
    return BudgetReach(rungs.aws_name, limit, rungs.period, None, pace, (*actual, *forecast))


def pace_reach(alarms: SpendAlarms, nets: Nets, usd_per_hour: Decimal) -> Sequence[PaceReach]:
    """Return when the alarms on the pace ring, from the beginning of that pace."""
    return tuple(_paces(alarms, nets, usd_per_hour))


def _paces(alarms: SpendAlarms, nets: Nets, pace: Decimal) -> Iterator[PaceReach]:
    if alarms.hourly_usd is not None:
        net = nets.alarm("hourly-spend", ALARM_PACES["hourly-spend"])
        figure = f"more than ${alarms.hourly_usd:,f} in 60 minutes"
        yield _above(net, figure, alarms.hourly_usd, pace, within_seconds=_HOUR_SECONDS)
    if alarms.daily_usd is not None:
        net = nets.alarm("high-daily-cost", ALARM_PACES["high-daily-cost"])
        figure = f"more than ${alarms.daily_usd:,f} on a day (UTC)"
        yield _above(net, figure, alarms.daily_usd, pace, within_seconds=24 * _HOUR_SECONDS)
    if alarms.anomaly:
        net = nets.alarm("spend-anomaly", ALARM_PACES["spend-anomaly"])
        note = "once it leaves the band, which takes two weeks to learn"
        yield PaceReach(net.name, "out of its band", net, *_after(net.seconds, pace), note)
    if alarms.cost_anomaly_usd is not None:
        net = nets.cost_anomaly
        note = "a service that is new is learnt for 10 days"
        figure = f"an impact of ${alarms.cost_anomaly_usd:,f}"
        yield PaceReach(net.name, figure, net, *_after(net.seconds, pace), note)


def _above(
    net: Net, figure: str, threshold: Decimal, pace: Decimal, *, within_seconds: int
) -> PaceReach:
    if EXACT.multiply(pace, Decimal(within_seconds)) <= threshold * _HOUR_SECONDS:
        note = "not at this pace"
        return PaceReach(net.name, figure, net, None, None, note)
    reached = Fraction(threshold) / Fraction(pace) * _HOUR_SECONDS
    seconds = -int(-reached // 1) + net.seconds
    return PaceReach(net.name, figure, net, *_after(seconds, pace))


def _after(seconds: int, pace: Decimal) -> tuple[int, Decimal]:
    return seconds, spent_in(seconds, pace)
