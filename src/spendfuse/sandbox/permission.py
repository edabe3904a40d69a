"""May this AWS service publish to this topic, and may this role do that? Asked of the policies.

The emulator lets services publish without asking, and does not ask for all that a role
needs. On AWS a message whose topic or key says no is lost without a word, so here it is
dropped too, with the reason.
"""
# ruff: noqa: SLF001 - the policies are where the emulator keeps them

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ministack.core.iam_evaluator import (
    EvalContext,
    _gather_role_policies,
    caller_arn,
    evaluate,
    evaluate_resource_policy,
)
from ministack.services import kms, sns

KEY_ACTIONS = ("kms:Decrypt", "kms:GenerateDataKey")
"""What a publisher needs of the key of an encrypted topic."""

_NAME_THE_OWNER = ("cloudwatch.amazonaws.com",)
"""Services that pass as the account's own, which a topic's default policy lets publish."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """An AWS service, and the resource for which it publishes."""

    service: str
    """Its principal, ``budgets.amazonaws.com``."""
    source_arn: str
    account: str


def refusal(topic_arn: str, publisher: Publisher) -> str | None:
    """Return why the publisher may not publish to the topic, or None if it may."""
    topic = sns._topic_by_arn_any_scope(topic_arn)
    if topic is None:
        return f"there is no topic {topic_arn}"
    attributes = topic.get("attributes", {})
    if not allows(attributes.get("Policy"), "sns:Publish", topic_arn, publisher):
        return f"the policy of topic {topic_arn} does not let {publisher.service} publish"
    key = attributes.get("KmsMasterKeyId")
    return _key_refusal(key, topic_arn, publisher) if key else None


def _key_refusal(key_id: str, topic_arn: str, publisher: Publisher) -> str | None:
    if "alias/aws/" in key_id:
        return f"topic {topic_arn} has the AWS managed key, which {publisher.service} can't use"
    key = kms._resolve_key(key_id)
    if key is None:
        return f"there is no key {key_id} for topic {topic_arn}"
    denied = [
        action
        for action in KEY_ACTIONS
        if not allows(key.get("Policy"), action, key["Arn"], publisher)
    ]
    if denied:
        return f"the policy of key {key['Arn']} denies {publisher.service} {', '.join(denied)}"
    return None


def allows(policy: Any, action: str, resource_arn: str, publisher: Publisher) -> bool:
    """Return whether a resource's own policy lets an AWS service do that."""
    keys = {
        "aws:sourcearn": publisher.source_arn,
        "aws:sourceaccount": publisher.account,
        "aws:principalisawsservice": "true",
        "aws:principalservicename": publisher.service,
    }
    if publisher.service in _NAME_THE_OWNER:
        keys["aws:sourceowner"] = publisher.account
    context = EvalContext(
        # The service itself, which no grant to an account covers.
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=resource_arn,
        region=resource_arn.split(":")[3],
        secure_transport=True,
        service_context=keys,
    )
    result = evaluate_resource_policy(policy or {}, context, service=publisher.service)
    return bool(result.decision == "Allow")


def calling_role() -> str | None:
    """Return the name of the role that makes the current request, None for root and users."""
    arn = caller_arn()
    return arn.split("/")[1] if ":assumed-role/" in arn else None


def role_lacks(role: str, actions: Iterable[str], resource_arn: str, *, account: str) -> list[str]:
    """Return the actions on the resource that no policy of the role allows."""
    policies = _gather_role_policies(role, account)
    return [
        action
        for action in actions
        if evaluate(_context_of(role, account, action, resource_arn), policies).decision != "Allow"
    ]


def _context_of(role: str, account: str, action: str, resource_arn: str) -> EvalContext:
    return EvalContext(
        principal_arn=f"arn:aws:sts::{account}:assumed-role/{role}/session",
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=resource_arn,
        region=resource_arn.split(":")[3],
        secure_transport=True,
    )
