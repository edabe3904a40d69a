"""The alarms of a deployment, as ``spendfuse config check`` shows them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from spendfuse.config import AlarmsConfig, CostAnomalyConfig
from spendfuse.money import display_usd, nano_usd

_WIDTH = 20


def alarm_lines(alarms: AlarmsConfig) -> Iterator[str]:
    """Yield each alarm with its figure, and in the last line those that are off."""
    figures = _figures(alarms)
    yield "alarms:"
    for name, figure in figures.items():
        if figure:
            yield f"  {name:<{_WIDTH}}{figure}"
    off = [name for name, figure in figures.items() if not figure]
    if off:
        yield f"  {'off':<{_WIDTH}}{', '.join(off)}"


def cost_anomaly_line(anomaly: CostAnomalyConfig) -> str:
    monitor = anomaly.monitor_arn or "a new monitor"
    return f"AWS's cost anomalies: from an impact of {_usd(anomaly.impact_usd)} on, of {monitor}"


def _figures(alarms: AlarmsConfig) -> dict[str, str]:
    on = {True: "on", False: ""}
    warning, critical = alarms.budget_warning_percent, alarms.budget_critical_percent
    return {
        "spend_incident": "one for those of spend" if alarms.spend_incident else "",
        "high_daily_cost": _dollars("above {} a day", alarms.high_daily_cost_usd),
        "hourly_spend": _dollars("above {} in 60 minutes", alarms.hourly_spend_usd),
        "spend_anomaly": _anomaly(alarms),
        "budget_used": f"at {warning} and {critical} %" if warning is not None else "",
        "expensive_request": _dollars("from {} on", alarms.expensive_request_usd),
        "error_rate": _number("from {:,} % on", alarms.error_percent),
        "latency_p95": _number("from {:,} ms on", alarms.latency_p95_ms),
        "metering_silent": _number("from {:,} minutes on", alarms.silent_minutes),
        "unmetered_use": _number("from {:,} tokens an hour on", alarms.unmetered_tokens_an_hour),
        "dead_letters": on[alarms.dead_letters],
        "queue_age": _number("from {:,} s on", alarms.queue_age_seconds),
        "queue_stuck": on[alarms.queue_stuck],
        "delivery_failures": on[alarms.delivery_failures],
        "unconfirmed_emails": on[alarms.unconfirmed_emails],
        "heartbeat": on[alarms.heartbeat],
        "function_errors": on[alarms.function_errors],
        "function_throttles": on[alarms.function_throttles],
        "stream_lag": _number("from {:,} s on", alarms.stream_lag_seconds),
    }


def _dollars(text: str, amount: Decimal | None) -> str:
    return "" if amount is None else text.format(_usd(amount))


def _anomaly(alarms: AlarmsConfig) -> str:
    band = _number("beyond {:g} standard deviations", alarms.anomaly_band)
    return band + _dollars(", from {} an hour on", alarms.anomaly_usd)


def _number(text: str, figure: float | None) -> str:
    return "" if figure is None else text.format(figure)


def _usd(amount: Decimal) -> str:
    return display_usd(nano_usd(amount))
