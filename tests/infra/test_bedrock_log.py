"""Bedrock's log, switched on: who may call, write and send; switched off: nothing of it at all."""

import json
import re
import shlex

import botocore.session
import pytest
from aws_cdk import App
from botocore.validate import ParamValidator
from cfnlint.api import ManualArgs, lint
from infra.lambda_runtime import imports, runs
from infra.templates import Templates, listed

import app as cdk_app
from lambdas.meter_bedrock.settings import Settings
from spendfuse.bedrock_rules import bedrock_rules_from_json
from spendfuse.config import load
from stacks import preflight
from stacks.asset import assemble
from stacks.nag import check_with_nag

LOG = {
    "log_group": "/acme/bedrock",
    "identity": {"roles": {"search-*": {"team": "search"}}},
    "skip_roles": ["metered"],
}
OWN_PRICES = """
schema: 1
version: negotiated
prices:
  - provider: aws
    models: ["amazon.nova-lite-v1:0"]
    usd: {input_tokens: 0.05, output_tokens: 0.2}
"""
GROUP = "arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:log-group:/acme/bedrock"
OURS = {
    "ledger/BedrockMeterFunction",
    "ledger/BedrockMeterFunctionErrorsmeterbedrock",
    "ledger/BedrockMeterFunctionLogsInvoke",
    "ledger/BedrockMeterFunctionThrottlesmeterbedrock",
    "ledger/BedrockMeterLogs",
    "ledger/BedrockMeterRole",
    "ledger/BedrockSubscription",
}
OURS_TO_CREATE = {"ledger/BedrockLogGroup", "ledger/BedrockRole"}


@pytest.fixture(scope="module")
def on(synthesise, block) -> Templates:
    return synthesise({**block, "bedrock_log": LOG})


@pytest.fixture(scope="module")
def asset(on):
    (function,) = [
        each["Properties"]
        for name, each in on.of_type("AWS::Lambda::Function").items()
        if name == "ledger/BedrockMeterFunction"
    ]
    key = function["Code"]["S3Key"].removesuffix(".zip")
    return on.assembly / f"asset.{key}"


def the(templates: Templates, name: str) -> dict:
    (found,) = [
        each["Properties"] for each_name, each in templates.resources() if each_name == name
    ]
    return found


def without_code(templates: Templates) -> dict:
    """All resources, but for the hash of the functions' asset and the dashboard that shows all."""
    return {
        name: re.sub(r"[0-9a-f]{64}\.zip", "", json.dumps(each, sort_keys=True))
        for name, each in templates.resources()
        if each["Type"] != "AWS::CloudWatch::Dashboard"
    }


def test_off_there_is_nothing_of_it(templates, config, tmp_path):
    assemble(tmp_path / "asset", config.definitions)
    files = {str(file.relative_to(tmp_path / "asset")) for file in (tmp_path / "asset").rglob("*")}

    # What others use of Bedrock is looked at all the same, and the word is not ours alone.
    assert not [name for name, _ in templates.resources() if "Bedrock" in name]
    assert "meter_bedrock" not in json.dumps(list(templates.stacks.values()))
    assert not [name for name in files if "meter" in name or "bedrock_rules" in name]
    assert "prices.json" not in files


def test_on_it_adds_these_and_changes_nothing_else(templates, on):
    before, after = without_code(templates), without_code(on)

    assert set(after) - set(before) == OURS | OURS_TO_CREATE
    assert {name: after[name] for name in before} == before


def test_a_log_group_that_is_there_already_is_left_as_it_is(synthesise, block, templates):
    on = synthesise({**block, "bedrock_log": {**LOG, "create": False}})

    assert set(without_code(on)) - set(without_code(templates)) == OURS
    assert the(on, "ledger/BedrockSubscription")["LogGroupName"] == "/acme/bedrock"
    assert not [name for name in on.stacks["ledger"]["Outputs"] if "Bedrock" in name]


def granted(templates: Templates, role: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for policy in the(templates, role)["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            for resource in listed(statement["Resource"]):
                name = templates.text("ledger", resource)
                found.setdefault(name, set()).update(listed(statement["Action"]))
    return found


def test_the_function_may_send_and_log_and_nothing_else(on):
    assert granted(on, "ledger/BedrockMeterRole") == {
        "ledger/UsageQueue.Arn": {"sqs:SendMessage"},
        "ledger/UsageQueueDeadLetters.Arn": {"sqs:SendMessage"},
        "ledger/BedrockMeterLogs.Arn": {"logs:CreateLogStream", "logs:PutLogEvents"},
    }
    assert on.of_type("AWS::IAM::Policy") == {}
    assert "ManagedPolicyArns" not in the(on, "ledger/BedrockMeterRole")


def test_bedrock_may_write_its_one_stream_and_for_this_account_alone(on):
    (trust,) = the(on, "ledger/BedrockRole")["AssumeRolePolicyDocument"]["Statement"]

    assert granted(on, "ledger/BedrockRole") == {
        f"{GROUP}:log-stream:aws/bedrock/modelinvocations": {
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        }
    }
    assert trust["Principal"] == {"Service": "bedrock.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    source = on.text("ledger", trust["Condition"]["ArnLike"]["aws:SourceArn"])
    assert source == "arn:<AWS::Partition>:bedrock:<AWS::Region>:<AWS::AccountId>:*"


def test_only_this_log_group_of_this_account_may_call_the_function(on):
    (permission,) = [each["Properties"] for each in on.of_type("AWS::Lambda::Permission").values()]

    assert permission["Action"] == "lambda:InvokeFunction"
    assert permission["Principal"] == "logs.amazonaws.com"
    assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}
    assert on.text("ledger", permission["SourceArn"]) == f"{GROUP}:*"
    function = on.text("ledger", permission["FunctionName"])
    assert function == "ledger/BedrockMeterFunction.Arn"


def test_every_line_of_the_log_reaches_the_function_once_it_may_be_called(on):
    (subscription,) = on.of_type("AWS::Logs::SubscriptionFilter").values()
    properties = subscription["Properties"]

    assert properties["FilterPattern"] == ""
    assert properties["LogGroupName"] == "/acme/bedrock"
    destination = on.text("ledger", properties["DestinationArn"])
    assert destination == "ledger/BedrockMeterFunction.Arn"
    # CloudWatch Logs tries the function at once: the permission and the group come first.
    needed = {name[:-8] for name in subscription["DependsOn"]}
    assert needed >= {"BedrockMeterFunctionLogsInvoke", "BedrockLogGroup"}


def test_what_failed_three_times_is_kept(on):
    target = the(on, "ledger/BedrockMeterFunction")["DeadLetterConfig"]["TargetArn"]

    assert on.text("ledger", target) == "ledger/UsageQueueDeadLetters.Arn"


def test_the_function_has_every_setting_it_reads_and_runs_as_the_others_do(on):
    properties = the(on, "ledger/BedrockMeterFunction")
    variables = properties["Environment"]["Variables"]

    assert Settings.from_env(dict.fromkeys(variables, "deployed"))
    assert on.text("ledger", variables["USAGE_QUEUE_URL"]) == "ledger/UsageQueue"
    assert properties["Handler"] == "lambdas.meter_bedrock.handler.handler"
    assert (properties["Runtime"], properties["Architectures"]) == ("python3.14", ["arm64"])
    assert "ReservedConcurrentExecutions" not in properties


def test_the_log_goes_after_a_month_and_with_the_stack(on):
    group = on.of_type("AWS::Logs::LogGroup")["ledger/BedrockLogGroup"]

    assert group["Properties"]["RetentionInDays"] == 30
    assert group["DeletionPolicy"] == "Delete"


def test_the_command_in_the_outputs_is_one_that_bedrock_takes_and_logs_no_text(on):
    outputs = on.stacks["ledger"]["Outputs"]
    command = on.text("ledger", outputs["SwitchBedrockLogOn"]["Value"])
    words = shlex.split(
        command.replace("ledger/BedrockRole.Arn", "arn:aws:iam::123456789012:role/b")
    )
    config = json.loads(words[words.index("--logging-config") + 1])
    shape = (
        botocore.session.get_session()
        .get_service_model("bedrock")
        .operation_model("PutModelInvocationLoggingConfiguration")
        .input_shape
    )
    problems = ParamValidator().validate({"loggingConfig": config}, shape)

    assert words[:3] == ["aws", "bedrock", "put-model-invocation-logging-configuration"]
    assert problems.generate_report() == ""
    assert config["cloudWatchConfig"]["logGroupName"] == "/acme/bedrock"
    switches = {key for key in shape.members["loggingConfig"].members if key.endswith("Enabled")}
    assert {key: config[key] for key in switches} == dict.fromkeys(switches, False)
    assert outputs["BedrockLogRoleArn"]["Export"]["Name"] == "acme:BedrockLogRoleArn"


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_cfn_lint_finds_nothing(on, region):
    found = lint(
        json.dumps(on.stacks["ledger"]),
        config=ManualArgs(regions=[region], ignore_checks=["W3005"]),
    )

    assert [str(each) for each in found] == []


def test_neither_cdk_nag_nor_the_preflight_finds_anything_new(flags, block, tmp_path):
    app = App(outdir=str(tmp_path), context=flags)
    cdk_app.add_stacks(app, load({"spendfuse": {**block, "bedrock_log": LOG}}))
    check_with_nag(app)
    app.synth()
    preflight.check(tmp_path)

    (report,) = json.loads((tmp_path / "validation-report.json").read_text())["pluginReports"]
    assert report["violations"] == []
    assert not [each for each in report["suppressedViolations"] if "Bedrock" in str(each)]


def test_the_handler_imports_from_the_asset_and_the_runtime_alone(asset, runtime):
    done = imports(asset, runtime, "lambdas.meter_bedrock.handler")

    assert (done.returncode, done.stderr) == (0, "")


def test_the_rules_and_the_prices_travel_with_the_code(asset, runtime):
    rules = bedrock_rules_from_json((asset / "bedrock_log.json").read_text())
    code = (
        "import os; os.environ.update(USAGE_QUEUE_URL='q', AWS_DEFAULT_REGION='eu-west-1');"
        "from datetime import datetime, UTC;"
        "from lambdas.meter_bedrock.handler import build;"
        "from spendfuse.metering.usage import Usage;"
        "cost = build().prices.price('aws', 'us.amazon.nova-lite-v1:0',"
        " Usage(input_tokens=4000, output_tokens=1000), at=datetime(2026, 11, 21, tzinfo=UTC));"
        "print(cost.nano_usd)"
    )
    done = runs(asset, runtime, code)

    assert rules.roles == {"search-*": {"team": "search"}}
    assert rules.skip_roles == ("metered",)
    # 4,000 x $0.06 + 1,000 x $0.24, a million
    assert (done.stdout.strip(), done.stderr) == ("480000", "")


def test_all_functions_still_run_from_one_asset(on):
    keys = {
        each["Properties"]["Code"]["S3Key"] for each in on.of_type("AWS::Lambda::Function").values()
    }

    assert len(keys) == 1


def test_own_prices_travel_too(synthesise, block, tmp_path):
    prices = tmp_path / "prices.yaml"
    prices.write_text(OWN_PRICES)
    on = synthesise({**block, "bedrock_log": {"prices": str(prices)}})
    (file,) = on.assembly.glob("asset.*/prices.json")

    assert "negotiated" in file.read_text()


def test_a_file_of_prices_that_is_not_there_stops_the_synth(flags, block, tmp_path, capsys):
    context = {**flags, "spendfuse": {**block, "bedrock_log": {"prices": "no-such.yaml"}}}
    code = cdk_app.run(App(context=context, outdir=str(tmp_path)))

    assert code == 1
    assert "the price overrides no-such.yaml can't be read" in capsys.readouterr().err
