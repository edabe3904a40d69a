"""Regions in which CloudFormation does not know the types for budgets and cost anomalies.

By the schemas that AWS publishes for each region, as cfn-lint 1.58 has them; a test compares. For
regions apart from all others (aws-iso, aws-eusc) AWS publishes none.
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
WITHOUT = {BUDGET: _NO_BUDGETS, MONITOR: _NO_ANOMALIES, SUBSCRIPTION: _NO_ANOMALIES}
_APART = ("us-iso", "eu-iso", "eusc-")


def _is_known(resource: Resource) -> Iterator[str]:
    region = resource.stack.region
    if region in WITHOUT[resource.type]:
        yield (
            f"is an {resource.type} in {region}; CloudFormation does not know that type there "
            f"(Template format error: Unrecognized resource types: [{resource.type}]): deploy to "
            f"another region, such as us-east-1, or take {_block(resource)} out"
        )


def _may_be_known(resource: Resource) -> Iterator[str]:
    region = resource.stack.region or ""
    if region.startswith(_APART):
        yield (
            f"is an {resource.type} in {region}; AWS does not publish which types CloudFormation "
            f"knows there. If it says Unrecognized resource types, take {_block(resource)} out"
        )


RULES = (
    Rule("region", _SOURCE, tuple(WITHOUT), _is_known),
    Rule("region apart", _SOURCE, tuple(WITHOUT), _may_be_known, warns=True),
)


def _block(resource: Resource) -> str:
    return "aws_budgets" if resource.type == BUDGET else "cost_anomaly"
