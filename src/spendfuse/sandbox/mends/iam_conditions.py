"""Conditions of policies that the emulator does not know: a key without a value never matches.

``cloudwatch:namespace`` is all that keeps a role from publishing anyone's metrics, since
CloudWatch knows no resources there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ministack.core import iam_actions

_PUBLISHES_METRICS = "cloudwatch:PutMetricData"
_NAMESPACE = "cloudwatch:namespace"


def mend() -> None:
    """Take the place of the emulator's own."""
    known = iam_actions.request_tag_context

    def request_context(
        service: str, action: str, body: bytes, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        context: dict[str, Any] = known(service, action, body, parameters)
        if action == _PUBLISHES_METRICS:
            context[_NAMESPACE] = namespace(body, parameters)
        return context

    iam_actions.request_tag_context = request_context


def namespace(body: bytes, parameters: Mapping[str, Any]) -> str:
    """Return the namespace of a request in JSON, or in form fields; empty if there is none."""
    try:
        request = json.loads(body)
    except ValueError:
        request = None
    if isinstance(request, dict):
        return str(request.get("Namespace", ""))
    found = parameters.get("Namespace", "")
    return str(found[0] if isinstance(found, list) else found)
