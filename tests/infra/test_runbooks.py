"""Each alarm has a runbook that is short, and whose commands can be run as they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import botocore.session
import click
import pytest
from botocore import xform_name
from infra.templates import Templates, alarms_of

from spendfuse.cli.main import main

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
AWS = botocore.session.get_session()


@pytest.fixture(scope="module")
def alarms(templates: Templates) -> dict[str, Mapping[str, Any]]:
    return alarms_of(templates.stacks["monitoring"])


def runbook_of(alarm: Mapping[str, Any]) -> str:
    last = alarm["AlarmDescription"].splitlines()[-1]
    return last.removeprefix("Runbook: ").removeprefix("docs/runbooks/")


def test_every_alarm_has_a_runbook_and_every_runbook_an_alarm(alarms):
    named = {runbook_of(alarm) for alarm in alarms.values()}

    assert named == {file.name for file in RUNBOOKS.glob("*.md")} - {"README.md"}


def test_every_runbook_stands_in_the_index_with_its_severity(alarms):
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (RUNBOOKS / "README.md").read_text().splitlines()
        if line.startswith("| [")
    ]
    severities: dict[str, set[bool]] = {}
    for alarm in alarms.values():
        is_critical = "Severity: critical" in alarm["AlarmDescription"]
        severities.setdefault(runbook_of(alarm), set()).add(is_critical)
    words = {(True,): "critical", (False,): "warning", (False, True): "partly"}

    linked = [row[0].partition("(")[2].removesuffix(")") for row in rows]
    assert sorted(linked) == sorted({runbook_of(alarm) for alarm in alarms.values()})
    for runbook, row in zip(linked, rows, strict=True):
        assert row[-1].startswith(words[tuple(sorted(severities[runbook]))]), runbook


@pytest.mark.parametrize("file", sorted(RUNBOOKS.glob("*.md")), ids=lambda file: file.stem)
def test_a_runbook_is_short_and_has_its_four_parts(file):
    lines = file.read_text().splitlines()

    if file.name != "README.md":
        assert len(lines) <= 40
        assert [line for line in lines if line.startswith("## ")] == [
            "## What it means",
            "## Look here",
            "## Do this",
            "## Change it",
        ]


def commands_of(file: Path) -> list[list[str]]:
    """Return the commands of a runbook, in its blocks and in its sentences, as words."""
    text = file.read_text()
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    inline = re.findall(
        r"`((?:aws|spendfuse) [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    )
    lines = [line for block in blocks for line in block.splitlines()] + inline
    return [shlex.split(line.replace("...", "x").replace(" USD ", " 1 ")) for line in lines]


_OTHER_NAMES = {"subscribe": ("notification-endpoint",)}
"""The AWS CLI's, where an operation's own name is an option of the whole CLI."""
RUNBOOK_COMMANDS = [
    pytest.param(words, id=f"{file.stem}-{number}")
    for file in sorted(RUNBOOKS.glob("*.md"))
    for number, words in enumerate(commands_of(file))
]


def parse(command: click.Command, arguments: list[str]) -> None:
    """Raise a usage error for a command or an option that is not there; only look, if it is."""
    # A sentence may name a command without its arguments.
    is_named = not isinstance(command, click.Group) and not arguments
    context = command.make_context(command.name, list(arguments), resilient_parsing=is_named)
    if isinstance(command, click.Group) and arguments:
        rest = [*context._protected_args, *context.args]
        _, child, rest = command.resolve_command(context, rest)
        assert child is not None
        parse(child, rest)


@pytest.mark.parametrize("words", RUNBOOK_COMMANDS)
def test_a_runbook_s_commands_are_taken_as_they_stand(words):
    tool, *rest = words
    if tool == "spendfuse":
        parse(main, rest)
        return
    assert tool == "aws"
    service, operation, *options = rest
    if (service, operation) == ("logs", "tail"):
        # A command of the AWS CLI's own.
        assert {each for each in options if each.startswith("--")} <= {
            "--since",
            "--filter-pattern",
        }
        return
    model = AWS.get_service_model(service)
    names = {xform_name(each).replace("_", "-"): each for each in model.operation_names}
    shape = model.operation_model(names[operation]).input_shape
    members = {xform_name(each).replace("_", "-") for each in shape.members}
    given = {each.removeprefix("--").removeprefix("no-") for each in options if each[:2] == "--"}
    assert given <= members | {"query", "output", *_OTHER_NAMES.get(operation, ())}
    if options:
        required = {xform_name(each).replace("_", "-") for each in shape.required_members}
        assert required <= given
