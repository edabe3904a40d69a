"""What other tools have to say of the templates: tags, cfn-lint, cdk-nag; and no secrets."""

import json
import re

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_sqs as sqs
from cfnlint.api import ManualArgs, lint
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

import app as cdk_app
from stacks.nag import check_with_nag

REGION = "us-east-1"

CFN_LINT_MAY_SAY = {
    # A dependency that a reference implies already: CDK writes both, and it does no harm.
    "W3005",
}

NAG_MAY_SAY = {
    ("acme-alerts/Notify/Role", "AwsSolutions-IAM5[Action::kms:GenerateDataKey*]"),
    ("acme-fuse/TripFuse/Role", "AwsSolutions-IAM5[Action::kms:GenerateDataKey*]"),
    (
        "acme-fuse/TripFuse/Role",
        "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:apigateway:<AWS::Region>::/apikeys/*]",
    ),
    ("acme-ledger/PublishGauges/Role", "AwsSolutions-IAM5[Resource::*]"),
    ("acme-ledger/WatchBudgets/Role", "AwsSolutions-IAM5[Action::kms:GenerateDataKey*]"),
    ("acme-ledger/WatchBudgets/Role", "AwsSolutions-IAM5[Resource::*]"),
}


def tag_property(type_: str) -> str | None:
    """Return where AWS keeps the tags of this type, or None where it keeps none."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, type_).schema
    # An old type, such as an anomaly detector, says nothing of tags and has no property for them.
    tagging = schema.get("tagging", {"taggable": "Tags" in schema["properties"]})
    return tagging["tagProperty"].rpartition("/")[2] if tagging["taggable"] else None


def test_everything_that_can_have_tags_has_the_required_ones(templates, block):
    tagged = 0
    for name, resource in templates.resources():
        property_ = tag_property(resource["Type"])
        if property_ is not None:
            tags = {each["Key"]: each["Value"] for each in resource["Properties"][property_]}
            assert tags == block["tags"], name
            tagged += 1

    assert tagged > 25


@pytest.mark.parametrize("stack", ["alerts", "fuse", "ledger", "monitoring", "budgets"])
@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_cfn_lint_finds_nothing(templates, stack, region):
    text = json.dumps(templates.stacks[stack])

    found = lint(text, config=ManualArgs(regions=[region], ignore_checks=sorted(CFN_LINT_MAY_SAY)))
    assert [str(each) for each in found] == []


def test_cdk_nag_finds_what_has_a_reason_and_nothing_else(config, flags, tmp_path):
    app = App(outdir=str(tmp_path), context=flags)
    cdk_app.add_stacks(app, config)
    check_with_nag(app)
    app.synth()

    (report,) = json.loads((tmp_path / "validation-report.json").read_text())["pluginReports"]
    assert report["violations"] == []
    assert {
        (each["acknowledgedAt"], each["ruleName"]) for each in report["suppressedViolations"]
    } == NAG_MAY_SAY
    assert all(len(each["reason"]) > 40 for each in report["suppressedViolations"])


def test_a_finding_without_a_reason_stops_the_synth(flags, tmp_path):
    app = App(outdir=str(tmp_path), context=flags)
    sqs.Queue(Stack(app, "careless"), "WithoutDeadLetters")
    check_with_nag(app)

    with pytest.raises(RuntimeError, match=r"AwsSolutions-SQS3"):
        app.synth()


def test_no_template_holds_a_secret(templates):
    for stack, template in templates.stacks.items():
        text = json.dumps(template)

        assert not re.search(r"hooks\.slack|https?://[^\"]*webhook|AKIA|xox[bp]-", text), stack


def test_a_secret_is_read_by_its_whole_name(templates):
    role = templates.of_type("AWS::IAM::Role")["alerts/NotifyRole"]

    # Six of any character: "*" would open "acme/slack-webhook-of-others" too.
    assert ":secret:acme/slack-webhook-??????" in json.dumps(role)


@pytest.mark.parametrize("stack", ["alerts", "fuse", "ledger", "monitoring", "budgets"])
def test_a_stack_says_what_it_is_for(templates, stack):
    assert templates.stacks[stack]["Description"].startswith("spendfuse: ")
