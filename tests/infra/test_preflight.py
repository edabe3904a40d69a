"""Each rule of the preflight: the smallest template that breaks it, the most that AWS takes."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk import aws_budgets as budgets
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from infra.preflight_cases import REFUSED, TAKEN, WARNED, Offence, budget, queue, resource, rung

import app as cdk_app
from spendfuse.errors import SettingsError
from stacks.preflight import RULES, asset_problems, check, problems, warnings
from stacks.preflight.assembly import Assembly
from stacks.preflight.regions import WITHOUT

DOCS = Path(__file__).parents[2] / "docs" / "preflight.md"


def assembly_of(offence: Offence) -> Assembly:
    return Assembly.of(offence.region, acme=offence.template)


def named(offence: Offence) -> str:
    return f"{offence.rule}: {offence.says[:40]}"


@pytest.mark.parametrize("offence", REFUSED, ids=named)
def test_what_aws_would_refuse_or_lose_is_named(offence: Offence) -> None:
    found = [*problems(assembly_of(offence))]

    assert found
    assert all(offence.says in each for each in found), found
    assert all(each.startswith(("acme/Thing: ", "acme/One", "acme/Other")) for each in found)


@pytest.mark.parametrize("offence", WARNED, ids=named)
def test_what_may_not_do_what_was_meant_is_warned_of(offence: Offence) -> None:
    (warning,) = warnings(assembly_of(offence))

    assert warning.startswith("acme/Thing: ")
    assert offence.says in warning
    assert [*problems(assembly_of(offence))] == []


@pytest.mark.parametrize("template", TAKEN)
def test_the_most_that_aws_takes_passes(template: dict[str, Any]) -> None:
    assert [*problems(Assembly.of("us-east-1", acme=template))] == []
    assert [*warnings(Assembly.of("us-east-1", acme=template))] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_has_its_offence_and_stands_in_the_docs_with_its_source(rule: Any) -> None:
    offences = WARNED if rule.warns else REFUSED

    assert rule.name in {each.rule for each in offences}
    (row,) = [line for line in DOCS.read_text().splitlines() if f"| {rule.name} |" in line]
    assert f"]({rule.source})" in row
    assert ("warns" in row.split("|")[2]) == rule.warns


@pytest.mark.parametrize("offence", [*REFUSED, *WARNED], ids=named)
def test_an_offence_breaks_the_rule_that_it_is_of(offence: Offence) -> None:
    assembly = assembly_of(offence)
    broken = {
        rule.name
        for resource in assembly.resources()
        for rule in RULES
        if resource.type in rule.types and [*rule.check(resource)]
    }

    assert broken == {offence.rule}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything below a resource's type, lists and objects too."""
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        yield (*path, key)
        if isinstance(child, (dict, list)):
            yield from places(child, (*path, key))


STRANGERS = [
    {"Ref": "Unknown"},
    {"Fn::GetAtt": ["Unknown", "Arn"]},
    {"Fn::GetAtt": "Thing.Arn"},
    {"Fn::If": ["Condition", 1, {"Ref": "AWS::NoValue"}]},
    {"Fn::Join": ["", ["a", {"Ref": "Unknown"}]]},
    {"Fn::ImportValue": "unknown:Export"},
    None,
    [],
    "",
    True,
    -1,
]


@pytest.mark.parametrize("offence", [*REFUSED, *WARNED], ids=named)
def test_no_reference_and_no_other_value_makes_a_rule_fail(offence: Offence) -> None:
    paths = [*places(offence.template["Resources"])]
    # Of a hundred alarms, not each place in each.
    for path in paths[:: 1 + len(paths) // 20]:
        if path[-1] == "Type":
            continue
        for stranger in STRANGERS:
            template = copy.deepcopy(offence.template)
            place = template["Resources"]
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = stranger
            assembly = Assembly.of(offence.region, acme=template)

            assert all(isinstance(each, str) for each in [*problems(assembly), *warnings(assembly)])


def test_a_topic_a_key_and_a_budget_of_three_stacks_are_seen_together() -> None:
    export = {"Value": {"Fn::GetAtt": ["Topic", "TopicArn"]}, "Export": {"Name": "acme:Topic"}}
    topics = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {}}},
        "Outputs": {"Topic": export},
    }
    to_topic = {"SubscriptionType": "SNS", "Address": {"Fn::ImportValue": "acme:Topic"}}
    of_budget = budget({**rung(), "Subscribers": [to_topic]})

    (problem,) = problems(Assembly.of(alerts=topics, budgets=of_budget))
    assert problem.startswith("alerts/Topic: is published to by budgets.amazonaws.com")


def test_a_description_of_a_stack_is_measured_in_bytes() -> None:
    (problem,) = problems(Assembly.of(acme={"Description": "ü" * 513}))

    assert problem.startswith("acme/Description: has 1026 bytes; CloudFormation takes 1024")


def test_a_compiled_library_can_t_go_to_lambda(tmp_path: Path) -> None:
    (tmp_path / "fast").mkdir()
    (tmp_path / "fast" / "core.cpython-311-x86_64-linux-gnu.so").touch()
    (tmp_path / "fast" / "slow.py").touch()

    (problem,) = asset_problems(tmp_path)
    assert problem.startswith("fast/core.cpython-311-x86_64-linux-gnu.so: is compiled")


def written(assembly: Path, stack: str, template: dict[str, Any]) -> None:
    (assembly / f"{stack}.template.json").write_text(json.dumps(template))


def test_all_problems_of_all_stacks_are_reported_at_once(tmp_path: Path) -> None:
    written(tmp_path, "acme-budgets", budget(rung(topics=2), name="a:b"))
    written(tmp_path, "acme-ledger", queue(10, 60, 600))
    (tmp_path / "asset.0123").mkdir()
    (tmp_path / "asset.0123" / "core.so").touch()

    with pytest.raises(SettingsError) as raised:
        check(tmp_path)
    lines = str(raised.value).splitlines()
    assert lines[0] == "AWS would not take this deployment:"
    assert [line.partition(":")[0].strip() for line in lines[1:]] == [
        "acme-budgets/Thing",
        "acme-budgets/Thing",
        "acme-ledger/Thing",
        "core.so",
    ]


def test_warnings_are_returned_and_stop_nothing(tmp_path: Path) -> None:
    written(tmp_path, "acme-budgets", budget(CostFilters={"Service": ["Amazon Bedrock"]}))

    (warning,) = check(tmp_path)
    assert warning.startswith("warning: acme-budgets/Thing: counts Service")


# Regions


def test_a_stack_s_own_region_counts_and_the_cli_s_for_the_others(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path))
    for name, region in {"dublin": "eu-west-1", "anywhere": None}.items():
        budgets.CfnBudget(
            Stack(app, name, env=Environment(region=region)),
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(budget_type="COST", time_unit="MONTHLY"),
        )
    app.synth()

    assert check(tmp_path) == []
    (warning,) = check(tmp_path, region="us-gov-west-1")
    assert "anywhere/" in warning
    with pytest.raises(SettingsError, match="Unrecognized resource types") as raised:
        check(tmp_path, region="eu-central-2")
    assert [line.split("/")[0] for line in str(raised.value).splitlines()[1:]] == ["  anywhere"]


def test_the_regions_are_those_whose_published_schemas_lack_the_type() -> None:
    regions = ["us-east-1", *WITHOUT["AWS::Budgets::Budget"]]
    regions += ["eu-west-1", "cn-north-1", "ap-south-1", "ca-central-1", "us-west-1", "us-east-2"]
    lacking = {
        type_: {
            region
            for region in regions
            if type_ not in PROVIDER_SCHEMA_MANAGER.get_resource_types(region)
        }
        for type_ in WITHOUT
    }

    assert lacking == WITHOUT


def test_cdk_default_region_is_where_a_deployment_goes(
    tmp_path: Path,
    flags: dict[str, Any],
    block: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CDK_DEFAULT_REGION", "eu-central-2")

    code = cdk_app.run(App(context={**flags, "spendfuse": block}, outdir=str(tmp_path)))

    assert code == 1
    assert "is an AWS::Budgets::Budget in eu-central-2" in capsys.readouterr().err


# Our own app


def test_what_we_deploy_passes_and_its_tag_filter_is_warned_of(templates: Any) -> None:
    (warning,) = check(templates.assembly, region="us-east-1")

    assert warning.startswith("warning: acme-budgets/Budgetsmonth")
    assert "counts by tag (user:Project$acme-rag)" in warning


def test_a_warning_is_printed_and_the_synth_succeeds(
    tmp_path: Path,
    flags: dict[str, Any],
    block: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    filters = {"Service": ["Amazon Bedrock"]}
    context = {**block, "aws_budgets": [{"name": "bedrock", "filters": filters}]}

    code = cdk_app.run(App(context={**flags, "spendfuse": context}, outdir=str(tmp_path)))

    assert code == 0
    said = capsys.readouterr().err
    assert "acme-budgets/Budgetsbedrock" in said
    assert '"Claude Sonnet 4 (Amazon Bedrock Edition)"' in said


def test_types_without_a_rule_are_left_alone() -> None:
    assert [*problems(Assembly.of(acme=resource("Custom::Thing", Name="n" * 1000)))] == []
