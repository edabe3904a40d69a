"""A function can be given a queue or a stream only if its role may read it, as on AWS."""
# ruff: noqa: SLF001 - to mend the emulator is to reach into it

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from ministack.core.responses import error_response_json, get_account_id
from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

from spendfuse.sandbox.permission import role_lacks

TYPE = "AWS::Lambda::EventSourceMapping"
_NEEDED = {
    "sqs": ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
    "dynamodb": (
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "dynamodb:DescribeStream",
        "dynamodb:ListStreams",
    ),
}


class EventSourceRefusedError(Exception):
    """The role may not read the source; CloudFormation gives this as the reason."""


def mend() -> None:
    """Take the place of the emulator's own."""
    create_mapping = lambda_svc._create_esm
    handlers = provisioners._RESOURCE_HANDLERS[TYPE]
    create_resource = handlers["create"]

    def create_event_source_mapping(request: Mapping[str, Any]) -> Any:
        why = refusal(request)
        if why is not None:
            return error_response_json(
                "InvalidParameterValueException", why, HTTPStatus.BAD_REQUEST
            )
        return create_mapping(request)

    def create(logical_id: str, properties: Mapping[str, Any], stack: str) -> Any:
        why = refusal(properties)
        if why is not None:
            raise EventSourceRefusedError(why)
        return create_resource(logical_id, properties, stack)

    lambda_svc._create_esm = create_event_source_mapping
    provisioners._RESOURCE_HANDLERS[TYPE] = {**handlers, "create": create}


def refusal(mapping: Mapping[str, Any]) -> str | None:
    """Return why the function's role can't read the event source, or None if it can."""
    source = str(mapping.get("EventSourceArn", ""))
    needed = _NEEDED.get(source.split(":")[2] if source.count(":") > 1 else "", ())
    reference = provisioners._lambda_function_for_cfn_ref(mapping.get("FunctionName", ""))
    function = reference[0]
    if function is None:
        return None
    role = str(function["config"].get("Role", "")).rsplit("/", 1)[-1]
    lacking = role_lacks(role, needed, source, account=get_account_id())
    if lacking:
        return f"the function's execution role {role} may not {', '.join(lacking)} on {source}"
    return None
