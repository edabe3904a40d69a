"""cdk-nag's AwsSolutions rules, and the few findings that stand, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Acknowledgment, App, Validations
from cdk_nag import AwsSolutionsChecks
from constructs import Construct

_WILDCARD = "AwsSolutions::AwsSolutions-IAM5"

ENCRYPTED_PUBLISH = {
    "Action::kms:GenerateDataKey*": "SNS asks for GenerateDataKey* of whoever publishes to an "
    "encrypted topic; it is granted on our one key.",
}
LIST_STREAMS = {
    "Resource::*": "dynamodb:ListStreams knows no resource; reading is granted on one stream.",
}
ALL_METRICS = {
    "Resource::*": "CloudWatch's metrics know no resource; publishing is granted in one namespace, "
    "and reading tells numbers only.",
}
ANY_KEY_OF_THE_FUSE = {
    "Resource::arn:<AWS::Partition>:apigateway:<AWS::Region>::/apikeys/*": "Which keys there are "
    "is not known before they are made; changing one needs the fuse's tag on it.",
}


def acknowledge_wildcards(construct: Construct, reasons: Mapping[str, str]) -> None:
    """Let each finding stand on this construct, and on no other."""
    for finding, reason in reasons.items():
        Validations.of(construct).acknowledge(
            Acknowledgment(id=f"{_WILDCARD}[{finding}]", reason=reason)
        )


def check_with_nag(app: App) -> None:
    """Make ``app.synth()`` fail on every finding that has no reason to stand."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
