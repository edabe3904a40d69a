"""AWS's own Cost Anomaly Detection: it looks at the whole bill, about a day late.

An account has one monitor of its services, and many have it already: AWS made one for whoever
enabled Cost Explorer. Then its ARN is given, and only the subscription is made here.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Protocol

from aws_cdk import aws_ce as ce
from aws_cdk import aws_sns as sns
from constructs import Construct


class CostAnomalySettings(Protocol):
    """What the configuration says of it."""

    @property
    def impact_usd(self) -> Decimal: ...
    @property
    def monitor_arn(self) -> str | None: ...


class CostAnomaly(Construct):
    """A subscription that tells ``topic`` of anomalies, and the monitor, where there is none."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: str,
        topic: sns.ITopic,
        settings: CostAnomalySettings,
    ) -> None:
        super().__init__(scope, construct_id)
        monitor_arn = settings.monitor_arn or self._monitor(deployment).attr_monitor_arn
        ce.CfnAnomalySubscription(
            self,
            "Subscription",
            subscription_name=f"{deployment}-anomalies",
            monitor_arn_list=[monitor_arn],
            # Only IMMEDIATE goes to a topic, and to one alone.
            frequency="IMMEDIATE",
            subscribers=[
                ce.CfnAnomalySubscription.SubscriberProperty(type="SNS", address=topic.topic_arn)
            ],
            threshold_expression=_at_least(settings.impact_usd),
        )

    def _monitor(self, deployment: str) -> ce.CfnAnomalyMonitor:
        monitor = ce.CfnAnomalyMonitor(
            self,
            "Monitor",
            monitor_name=f"{deployment}-services",
            monitor_type="DIMENSIONAL",
            monitor_dimension="SERVICE",
        )
        # AWS replaces a monitor whose tags change, and would refuse the second one.
        monitor.add_property_deletion_override("ResourceTags")
        return monitor


def _at_least(impact_usd: Decimal) -> str:
    dimensions = {
        "Key": "ANOMALY_TOTAL_IMPACT_ABSOLUTE",
        "MatchOptions": ["GREATER_THAN_OR_EQUAL"],
        "Values": [f"{impact_usd:f}"],
    }
    return json.dumps({"Dimensions": dimensions})
