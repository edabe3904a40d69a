"""Regions in which CloudFormation does not know the types for budgets and cost anomalies.

By the schemas that AWS publishes for each region, as cfn-lint 1.58 has them; a test compares. A
type that a schema lacks may be known all the same, so that alone is a warning: it stops only where
somebody met AWS's refusal. Of regions apart from all others (aws-iso, aws-eusc) AWS publishes none.
"""

from __future__ import annotations

from collections.abc import Iterator

from stacks.preflight.anomalies import SUBSCRIPTION
from stacks.preflight.assembly import Resource
from stacks.preflight.budgets import BUDGET
from stacks.preflight.rule import Rule

MONITOR = "AWS::CE::AnomalyMonitor"
_SOURCE = "https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/2177"
# fmt: off
_NO_ANOMALIES = frozenset({
    "ap-east-2", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "mx-central-1",
    "us-gov-east-1", "us-gov-west-1",
})
_NO_BUDGETS = _NO_ANOMALIES | {
    "af-south-1", "ap-east-1", "ap-northeast-3", "ap-south-2", "ap-southeast-3", "ap-southeast-4",
    "ca-west-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "il-central-1",
    "me-central-1",
}
# fmt: on
_REFUSED = {BUDGET: {"eu-central-2"}}
WITHOUT = {BUDGET: _NO_BUDGETS, MONITOR: _NO_ANOMALIES, SUBSCRIPTION: _NO_ANOMALIES}
_APART = ("us-iso", "eu-iso", "eusc-")


def _is_known(resource: Resource) -> Iterator[str]:
    region = resource.stack.region
    if region in _REFUSED.get(resource.type, ()):
        yield (
            f"is an {resource.type} in {region}; CloudFormation does not know that type there "
            f"(Template format error: Unrecognized resource types: [{resource.type}]): deploy to "
            f"another region, such as us-east-1, or take {_block(resource)} out"
        )


def _may_be_known(resource: Resource) -> Iterator[str]:
    region = resource.stack.region or ""
    doubt = ""
    if region.startswith(_APART):
        doubt = "AWS does not publish which types CloudFormation knows there"
    elif region in WITHOUT[resource.type] - _REFUSED.get(resource.type, set()):
        doubt = "AWS's published schemas of that region lack the type"
    if doubt:
        yield (
            f"is an {resource.type} in {region}; {doubt}. If CloudFormation says Unrecognized "
            f"resource types, deploy to another region or take {_block(resource)} out"
        )


RULES = (
    Rule("region", _SOURCE, tuple(WITHOUT), _is_known),
    Rule("region in doubt", _SOURCE, tuple(WITHOUT), _may_be_known, warns=True),
)


def _block(resource: Resource) -> str:
    return "aws_budgets" if resource.type == BUDGET else "cost_anomaly"
