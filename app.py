"""The CDK app: reads the ``spendfuse`` block of cdk.json and makes its stacks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from aws_cdk import App, Tags

from spendfuse.bedrock_rules import FILE_NAME, PRICES_FILE_NAME
from spendfuse.config import BedrockLogConfig, Config, load
from spendfuse.errors import SettingsError
from stacks import preflight
from stacks.alerts import AlertsStack
from stacks.asset import lambda_asset
from stacks.budgets import BudgetsStack
from stacks.fuse import FuseStack
from stacks.ledger import LedgerStack
from stacks.monitoring import MonitoringStack
from stacks.nag import check_with_nag
from stacks.watched import Watched

CONTEXT_KEYS = ("spendfuse", "stage", "monthly_limit_usd")


def add_stacks(app: App, config: Config) -> None:
    """Add one deployment's stacks to the app."""
    name, bedrock_log = config.deployment, config.bedrock_log
    bedrock = _bedrock_files(bedrock_log) if bedrock_log else None
    with lambda_asset(config.definitions, bedrock=bedrock) as asset:
        alerts = AlertsStack(
            app,
            f"{name}-alerts",
            asset=asset,
            emails=config.emails,
            slack_webhook_secret=config.slack_webhook_secret,
        )
        fuse = FuseStack(
            app,
            f"{name}-fuse",
            deployment=name,
            asset=asset,
            fuse=config.definitions.fuse,
            topics=alerts.topics,
        )
        ledger = LedgerStack(
            app,
            f"{name}-ledger",
            deployment=name,
            asset=asset,
            topics=alerts.topics,
            fuse_table=fuse.table,
            bedrock_log=bedrock_log,
        )
        MonitoringStack(
            app,
            f"{name}-monitoring",
            deployment=name,
            topics=alerts.topics,
            watched=_watched(alerts, fuse, ledger),
            budgets=config.definitions.budgets,
            figures=config.alarms,
            mails=bool(config.emails),
        )
        # CDK refuses a stack without resources.
        if config.aws_budgets or config.cost_anomaly:
            BudgetsStack(
                app,
                f"{name}-budgets",
                deployment=name,
                topics=alerts.topics,
                aws_budgets=config.aws_budgets,
                cost_anomaly=config.cost_anomaly,
            )
    for key, value in config.tags.items():
        Tags.of(app).add(key, value)


def _watched(alerts: AlertsStack, fuse: FuseStack, ledger: LedgerStack) -> Watched:
    """Return the parts that alarms and the dashboard look at."""
    meter_bedrock = ledger.meter_bedrock
    topics = alerts.topics
    return Watched(
        functions={
            "record_usage": ledger.record_usage,
            "watch_budgets": ledger.watch_budgets,
            "publish_gauges": ledger.publish_gauges,
            "notify": alerts.notify,
            "trip_fuse": fuse.trip_fuse,
        },
        removable={"meter_bedrock": meter_bedrock} if meter_bedrock else {},
        queues={"usage": ledger.queue, "notify": alerts.queue, "trip": fuse.queue},
        topics={"alerts": topics.alerts, "trips": topics.trips, "mail": topics.mail},
        tables={
            "ledger": ledger.table,
            "guard": ledger.guard_table,
            "fuse": fuse.table,
            "incidents": alerts.incidents,
        },
    )


def _bedrock_files(bedrock_log: BedrockLogConfig) -> dict[str, str]:
    """Return what the function that meters Bedrock's log reads beside its code."""
    # Here, because the price book takes a while to load, and few deployments need it.
    from spendfuse.metering.price_book import PriceBook  # noqa: PLC0415

    overrides = Path(bedrock_log.prices) if bedrock_log.prices else None
    return {
        FILE_NAME: bedrock_log.rules.to_json(),
        PRICES_FILE_NAME: PriceBook.standard(overrides).to_json(providers=("aws",)),
    }


def run(app: App) -> int:
    """Synthesise what the app's context describes, and return the exit code."""
    context = {key: app.node.try_get_context(key) for key in CONTEXT_KEYS}
    try:
        add_stacks(app, load(context))
        check_with_nag(app)
        # The CDK CLI says where stacks go that name no region; synth makes the same bytes for all.
        region = os.environ.get("CDK_DEFAULT_REGION")
        for warning in preflight.check(Path(app.synth().directory), region=region):
            print(warning, file=sys.stderr)  # noqa: T201
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201 (this is the app's one way to speak)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(App()))
