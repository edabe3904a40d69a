"""From the blocks of alarms to plain figures."""

from __future__ import annotations

from spendfuse.config.schema import AlarmsBlock, CostAnomalyBlock
from spendfuse.config.values import AlarmsConfig, CostAnomalyConfig


def alarms_config(block: AlarmsBlock) -> AlarmsConfig:
    """Return each alarm's figure; None where the alarm is off."""
    used, unmetered, anomaly = block.budget_used, block.unmetered_use, block.spend_anomaly
    return AlarmsConfig(
        high_daily_cost_usd=block.high_daily_cost.usd if block.high_daily_cost else None,
        hourly_spend_usd=block.hourly_spend.usd if block.hourly_spend else None,
        budget_warning_percent=used.warning_percent if used else None,
        budget_critical_percent=used.critical_percent if used else None,
        expensive_request_usd=block.expensive_request.usd if block.expensive_request else None,
        error_percent=block.error_rate.percent if block.error_rate else None,
        latency_p95_ms=block.latency_p95.ms if block.latency_p95 else None,
        anomaly_band=anomaly.band if anomaly else None,
        anomaly_usd=anomaly.usd if anomaly else None,
        silent_minutes=block.metering_silent.minutes if block.metering_silent else None,
        unmetered_tokens_an_hour=unmetered.tokens_an_hour if unmetered else None,
        dead_letters=block.dead_letters,
        function_errors=block.function_errors,
        function_throttles=block.function_throttles,
        stream_lag_seconds=block.stream_lag.seconds if block.stream_lag else None,
        queue_age_seconds=block.queue_age.seconds if block.queue_age else None,
        queue_stuck=block.queue_stuck,
        delivery_failures=block.delivery_failures,
        unconfirmed_emails=block.unconfirmed_emails,
        heartbeat=block.heartbeat,
        spend_incident=block.spend_incident,
        runbooks=block.runbooks,
    )


def cost_anomaly_config(block: CostAnomalyBlock | None) -> CostAnomalyConfig | None:
    return CostAnomalyConfig(block.impact_usd, block.monitor_arn) if block else None
