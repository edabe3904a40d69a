"""Subscriptions: a function must let CloudWatch Logs call it, and is called again when it fails.

On AWS a filter can't be made while the function's own policy says no, nor on a log group that is
not there; the call is asynchronous, with Lambda's two retries and the function's dead letters.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
"""
# ruff: noqa: SLF001 - to mend the emulator is to reach into it

from __future__ import annotations

import base64
import gzip
import json
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from ministack.core.responses import error_response_json, get_account_id
from ministack.services import cloudwatch_logs, lambda_svc
from ministack.services.cloudformation import provisioners

from spendfuse.sandbox.permission import Publisher, allows

TYPE = "AWS::Logs::SubscriptionFilter"
_SERVICE = "logs.amazonaws.com"
_FUNCTION = ":function:"

logger = logging.getLogger("spendfuse.sandbox")


class SubscriptionRefusedError(Exception):
    """There is no such log group; CloudFormation gives this as the reason."""


def mend() -> None:
    """Take the place of the emulator's own."""
    put_filter = cloudwatch_logs._put_subscription_filter
    handlers = provisioners._RESOURCE_HANDLERS[TYPE]
    create_filter = handlers["create"]

    def put_subscription_filter(request: Mapping[str, Any]) -> Any:
        why = refusal(str(request.get("logGroupName")), str(request.get("destinationArn")))
        if why is not None:
            return error_response_json("InvalidParameterException", why, HTTPStatus.BAD_REQUEST)
        return put_filter(request)

    def create(logical_id: str, properties: Mapping[str, Any], stack: str) -> Any:
        name = properties.get("LogGroupName")
        if name not in cloudwatch_logs._log_groups:
            raise SubscriptionRefusedError(f"The specified log group does not exist: {name}")
        return create_filter(logical_id, properties, stack)

    cloudwatch_logs._put_subscription_filter = put_subscription_filter
    cloudwatch_logs._fanout_to_subscription_filters = deliver
    provisioners._RESOURCE_HANDLERS[TYPE] = {**handlers, "create": create}


def refusal(log_group: str, destination: str) -> str | None:
    """Return why CloudWatch Logs can't call the function, or None if it can."""
    if _FUNCTION not in destination:
        return None
    function = _function(destination)
    group = cloudwatch_logs._log_groups.get(log_group)
    source = Publisher(_SERVICE, group["arn"] if group else "", get_account_id())
    if function and allows(function["policy"], "lambda:InvokeFunction", destination, source):
        return None
    return (
        "Could not execute the lambda function. Make sure you have given CloudWatch Logs "
        "permission to execute your function."
    )


def deliver(log_group: str, log_stream: str, events: Sequence[Mapping[str, Any]]) -> None:
    """Hand new log events to the functions that subscribe to their group."""
    group = cloudwatch_logs._log_groups.get(log_group) or {}
    for subscription in list((group.get("subscriptionFilters") or {}).values()):
        destination = subscription.get("destinationArn", "")
        function = _function(destination)
        if function is None or _feeds_itself(function, log_group):
            continue
        why = refusal(log_group, destination)
        if why is not None:
            logger.warning("dropped: log events of %s: %s", log_group, why)
            continue
        matched = [each for each in events if _matches(subscription, each)]
        if matched:
            payload = _payload(subscription, log_stream, matched)
            lambda_svc.invoke_async_with_retry(function, payload)


def _function(destination: str) -> Any:
    if _FUNCTION not in destination:
        return None
    return lambda_svc._functions.get(destination.rpartition(_FUNCTION)[2].split(":")[0])


def _feeds_itself(function: Mapping[str, Any], log_group: str) -> bool:
    """AWS would let it, and bill for it."""
    config = function["config"]
    own = (config.get("LoggingConfig") or {}).get("LogGroup")
    return log_group in (own, f"/aws/lambda/{config['FunctionName']}")


def _matches(subscription: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    pattern, message = subscription.get("filterPattern", ""), event.get("message", "")
    return bool(cloudwatch_logs._subscription_pattern_matches(pattern, message))


def _payload(
    subscription: Mapping[str, Any], log_stream: str, events: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    message = {
        "messageType": "DATA_MESSAGE",
        "owner": get_account_id(),
        "logGroup": subscription["logGroupName"],
        "logStream": log_stream,
        "subscriptionFilters": [subscription["filterName"]],
        "logEvents": [_log_event(each) for each in events],
    }
    packed = gzip.compress(json.dumps(message).encode())
    return {"awslogs": {"data": base64.b64encode(packed).decode()}}


def _log_event(event: Mapping[str, Any]) -> dict[str, Any]:
    timestamp = int(event.get("timestamp") or time.time() * 1000)
    # AWS's ids are 56 digits, the time first.
    unique = f"{timestamp:017d}{uuid.uuid4().int:039d}"
    return {"id": unique, "timestamp": timestamp, "message": event.get("message", "")}
