"""Cost Anomaly Detection for CloudFormation. Monitors and subscriptions are kept, nothing is found.

An account has one AWS managed monitor of its services; CloudFormation reports a second one as
"null (AlreadyExists)", and so it does here.
https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/2515
"""
# ruff: noqa: SLF001 - to mend the emulator is to reach into it

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import AccountScopedDict, get_account_id
from ministack.services.cloudformation import provisioners

from spendfuse.sandbox.anomaly_checks import monitor_refusal, subscription_refusal

Properties = Mapping[str, Any]
Provisioned = tuple[str, dict[str, str]]

MONITOR, SUBSCRIPTION = "AWS::CE::AnomalyMonitor", "AWS::CE::AnomalySubscription"
_REPLACING = {
    MONITOR: ("MonitorType", "MonitorDimension", "MonitorSpecification", "ResourceTags"),
    SUBSCRIPTION: ("ResourceTags",),
}

monitors = AccountScopedDict()
subscriptions = AccountScopedDict()


class AnomalyRefusedError(Exception):
    """Cost Explorer's answer, which CloudFormation gives as the reason."""


def mend() -> None:
    """Take the place of the emulator's own."""
    for type_, create, kept in (
        (MONITOR, create_monitor, monitors),
        (SUBSCRIPTION, create_subscription, subscriptions),
    ):
        provisioners._RESOURCE_HANDLERS[type_] = _handlers(type_, create, kept)


def create_monitor(_logical_id: str, properties: Properties, _stack: str) -> Provisioned:
    """Keep the monitor; its ARN is its physical id."""
    _refuse(monitor_refusal(properties))
    dimension = properties.get("MonitorDimension")
    if dimension and any(each.get("MonitorDimension") == dimension for each in monitors.values()):
        _refuse('Resource handler returned message: "null" (HandlerErrorCode: AlreadyExists)')
    arn = _arn("anomalymonitor")
    monitors[arn] = dict(properties)
    return arn, {"MonitorArn": arn, "CreationDate": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}


def create_subscription(_logical_id: str, properties: Properties, _stack: str) -> Provisioned:
    """Keep the subscription; its ARN is its physical id."""
    _refuse(subscription_refusal(properties))
    _refuse(_unknown_monitor(properties))
    arn = _arn("anomalysubscription")
    subscriptions[arn] = dict(properties)
    return arn, {"SubscriptionArn": arn, "AccountId": get_account_id()}


def _unknown_monitor(properties: Properties) -> str | None:
    for arn in properties["MonitorArnList"]:
        # A monitor of a real account, which the configuration names, is not to be found here.
        if f":{get_account_id()}:" in arn and arn not in monitors:
            return f"UnknownMonitorException: there is no monitor {arn}"
    return None


def _handlers(type_: str, create: Any, kept: Any) -> dict[str, Any]:
    checks = {MONITOR: monitor_refusal, SUBSCRIPTION: subscription_refusal}

    def update(
        physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
    ) -> Provisioned:
        if any(old.get(name) != new.get(name) for name in _REPLACING[type_]):
            # The new one comes before the old one goes, so an only one can't be replaced.
            created: Provisioned = create(logical_id, new, stack)
            delete(physical_id, old)
            return created
        _refuse(checks[type_](new))
        kept[physical_id] = dict(new)
        return physical_id, {}

    def delete(physical_id: str, _properties: Properties) -> None:
        kept.pop(physical_id, None)

    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}


def _arn(kind: str) -> str:
    return f"arn:aws:ce::{get_account_id()}:{kind}/{uuid.uuid4()}"


def _refuse(why: str | None) -> None:
    if why is not None:
        raise AnomalyRefusedError(why)
