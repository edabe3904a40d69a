"""Topics: mails arrive, publishers need the topic's key, stacks' topics are not open to all.

Without a policy of its own a topic has SNS's default one, which is for its owner's account.
"""
# ruff: noqa: SLF001 - to mend the emulator is to reach into it

from __future__ import annotations

import contextvars
import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from ministack.core.iam_evaluator import pin_request_origin
from ministack.core.responses import get_account_id
from ministack.services import kms, sns
from ministack.services.cloudformation import provisioners

from spendfuse.sandbox.mail import SendMail, mail_sender
from spendfuse.sandbox.permission import KEY_ACTIONS, calling_role, role_lacks

_DEFAULT_SUBJECT = "AWS Notification Message"
_SENDER = "AWS Notifications <no-reply@sns.amazonaws.com>"

logger = logging.getLogger("spendfuse.sandbox")


def mend(*, smtp_port: int) -> None:
    """Take the place of the emulator's own."""
    # One thread: mails arrive in the order in which they were sent.
    postman = ThreadPoolExecutor(max_workers=1, thread_name_prefix="postman")
    send = mail_sender(smtp_port, sender=_SENDER)
    fan_out = sns._fanout

    def fan_out_and_mail(
        topic_arn: str, message_id: str, message: str, subject: str, *rest: Any, **named: Any
    ) -> None:
        # SNS itself delivers over TLS, whatever made it publish: a queue may insist on that.
        contextvars.copy_context().run(
            _over_tls, fan_out, topic_arn, message_id, message, subject, *rest, **named
        )
        structure, attributes = _structure_and_attributes(rest, named)
        for recipient, text in mails(topic_arn, message, structure, attributes):
            postman.submit(_deliver, send, recipient, subject or _DEFAULT_SUBJECT, text)

    sns._fanout = fan_out_and_mail
    sns._publish = _asking_the_key(sns._publish)
    sns._publish_batch = _asking_the_key(sns._publish_batch)
    _mend_stacks()


def _over_tls(fan_out: Callable[..., None], *arguments: Any, **named: Any) -> None:
    pin_request_origin("sns.amazonaws.com", secure_transport=True)
    fan_out(*arguments, **named)


def _asking_the_key(publish: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return ``publish`` for callers who may use the key of an encrypted topic."""

    def publish_if_allowed(params: Any) -> Any:
        topic = sns._topic_by_arn_any_scope(sns._p(params, "TopicArn"))
        key_id = topic["attributes"].get("KmsMasterKeyId") if topic else None
        key, role = kms._resolve_key(key_id), calling_role()
        if key is not None and role is not None:
            lacking = role_lacks(role, KEY_ACTIONS, key["Arn"], account=get_account_id())
            if lacking:
                message = f"role {role} may not {', '.join(lacking)} on {key['Arn']}"
                return sns._error("KMSAccessDenied", message, HTTPStatus.BAD_REQUEST)
        return publish(params)

    return publish_if_allowed


def _mend_stacks() -> None:
    handlers = provisioners._RESOURCE_HANDLERS["AWS::SNS::Topic"]
    create_topic, update_topic = handlers["create"], handlers["update"]

    def create(logical_id: str, properties: Mapping[str, Any], stack: str) -> Any:
        arn, attributes = create_topic(logical_id, properties, stack)
        topic = sns._topics[arn]["attributes"]
        topic["Policy"] = json.dumps(default_policy(arn))
        _keep_key(topic, properties)
        return arn, attributes

    def update(
        arn: str, old: Mapping[str, Any], new: Mapping[str, Any], *rest: Any, **named: Any
    ) -> Any:
        updated = update_topic(arn, old, new, *rest, **named)
        _keep_key(sns._topics[updated[0]]["attributes"], new)
        return updated

    provisioners._RESOURCE_HANDLERS["AWS::SNS::Topic"] = {
        **handlers,
        "create": create,
        "update": update,
    }


def _keep_key(topic: dict[str, Any], properties: Mapping[str, Any]) -> None:
    key = properties.get("KmsMasterKeyId")
    if key:
        topic["KmsMasterKeyId"] = key
    else:
        topic.pop("KmsMasterKeyId", None)


def default_policy(topic_arn: str) -> dict[str, Any]:
    """Return the policy that SNS gives a topic when it is made."""
    actions = ("GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission")
    use = ("DeleteTopic", "Subscribe", "ListSubscriptionsByTopic", "Publish", "Receive")
    return {
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [
            {
                "Sid": "__default_statement_ID",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": [f"SNS:{action}" for action in (*actions, *use)],
                "Resource": topic_arn,
                "Condition": {"StringEquals": {"AWS:SourceOwner": topic_arn.split(":")[4]}},
            }
        ],
    }


def mails(
    topic_arn: str, message: str, structure: str, attributes: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Return each e-mail subscriber of a topic with the text that is meant for it."""
    topic = sns._topic_by_arn_any_scope(topic_arn)
    found = []
    for subscription in topic["subscriptions"] if topic else []:
        if subscription.get("protocol") == "email" and subscription.get("confirmed"):
            text = sns._resolve_message_for_protocol(message, structure, "email")
            if sns._matches_filter_policy(subscription, attributes, text):
                found.append((subscription["endpoint"], text))
    return found


def _structure_and_attributes(
    rest: tuple[Any, ...], named: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any]]:
    structure = rest[0] if rest else named.get("message_structure", "")
    attributes = rest[1] if len(rest) > 1 else named.get("message_attributes")
    return structure, attributes or {}


def _deliver(send: SendMail, recipient: str, subject: str, text: str) -> None:
    try:
        send(recipient, subject, text)
    except Exception:
        # The one place for it: nobody waits for this thread's result.
        logger.exception("the mail to %s was not delivered", recipient)
