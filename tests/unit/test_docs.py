"""The docs can't rot: what they show is run, and what there is, is in them."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from packs import a_pack, a_record

from spendfuse.cli.main import main
from spendfuse.clock import parse_utc
from spendfuse.config import load
from spendfuse.config.mistakes import _models_in
from spendfuse.config.schema import SpendfuseBlock
from spendfuse.guard.fastapi import EXAMPLE
from spendfuse.ledger.pack import read_pack
from spendfuse.metering.settings import VARIABLES
from spendfuse.metering.sinks import SINKS
from spendfuse.metering.yaml_file import overrides_in

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippets(language: str) -> list[Any]:
    return [
        pytest.param(text, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (kind, text) in enumerate(FENCE.findall(page.read_text()))
        if kind == language
    ]


def commands(group: click.Group = main, path: str = "spendfuse") -> Iterator[tuple[str, Any]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def test_no_snippet_is_of_a_kind_that_nothing_runs() -> None:
    kinds = {kind for page in PAGES for kind, _ in FENCE.findall(page.read_text())}

    assert kinds <= {"json", "console", "python", "yaml"}


@pytest.mark.parametrize("text", snippets("json"))
def test_a_json_snippet_is_a_configuration_a_pack_or_a_refusal(text: str) -> None:
    shown = json.loads(text)
    if "records" in shown:
        jsonschema.validate(shown, schema())
        received_at = parse_utc(shown["sent_at"]) + timedelta(seconds=1)
        assert not read_pack(text, received_at=received_at).rejected
        return
    if "error" in shown:
        assert shown == EXAMPLE
        return
    whole = json.loads((PROJECT / "cdk.json").read_text())["context"]["spendfuse"]

    assert load({"spendfuse": {**whole, **shown}}).definitions.root.name == "llm"


@pytest.mark.parametrize("text", snippets("console"))
def test_a_console_snippet_s_spendfuse_commands_exist_with_their_options(text: str) -> None:
    lines = text.replace("\\\n", " ").splitlines()
    for line in lines:
        name, *arguments = shlex.split(line)
        if name == "spendfuse":
            # Raises a usage error for a command or an option that is not there.
            parse(main, arguments)
        elif name == "make":
            assert f"\n{arguments[0]}:" in (PROJECT / "Makefile").read_text()


def parse(command: click.Command, arguments: list[str]) -> None:
    context = command.make_context(command.name, list(arguments), resilient_parsing=False)
    if isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        _, child, rest = command.resolve_command(context, rest)
        assert child is not None
        parse(child, rest)


def commands_in_messages() -> list[str]:
    """Commands that messages tell people to run: texts of the code that begin with our name."""
    constants = (
        node.value
        for file in (PROJECT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    command = re.compile(r"spendfuse (alerts|budgets|config|fuse|prices|sandbox) [a-z]+( --.*)?")
    return sorted({each for each in constants if command.fullmatch(each)} - {_AUTHORITY})


_AUTHORITY = "spendfuse sandbox authority"
"""The name of a certificate."""


def commands_in_snapshots() -> list[str]:
    """Commands as alerts show them, in backticks or on a line of their own."""
    folder = PROJECT / "tests" / "unit" / "alerts" / "snapshots"
    texts = [page.read_text().replace('\\"', '"') for page in folder.iterdir()]
    return sorted({each for text in texts for each in re.findall(r"spendfuse --[^`\\\n]+", text)})


@pytest.mark.parametrize("text", commands_in_messages() + commands_in_snapshots())
def test_a_command_that_a_message_names_can_be_run_as_it_stands(text: str) -> None:
    parse(main, shlex.split(text)[1:])


@pytest.mark.parametrize("text", snippets("yaml"))
def test_a_yaml_snippet_is_a_file_of_prices(text: str, tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)

    assert overrides_in(file).entries


@pytest.mark.parametrize("text", snippets("python"))
def test_a_python_snippet_runs(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "budgets.json").write_text(budgets_of_connect_md())
    exec(compile(text, "docs", "exec"), {})

    assert capsys.readouterr().out


def budgets_of_connect_md() -> str:
    """Return the file of budgets that the snippets read."""
    page = (PROJECT / "docs" / "connect.md").read_text()
    texts = [text for kind, text in FENCE.findall(page) if kind == "json"]
    return next(text for text in texts if "budgets" in json.loads(text))


def test_every_command_has_help_with_an_example_and_is_in_the_docs() -> None:
    page = (PROJECT / "docs" / "cli.md").read_text()
    for path, command in commands():
        assert "Example:" in command.help, path
        assert f"        {path}" in command.help or "spendfuse --sandbox" in command.help, path
        assert f"`{path}`" in page, path


def test_every_key_of_the_configuration_is_in_the_docs() -> None:
    page = (PROJECT / "docs" / "configuration.md").read_text()
    keys = set()
    models = [SpendfuseBlock]
    for model in models:
        for name, field in model.model_fields.items():
            keys.add(name)
            models += list(_models_in(field.annotation))

    assert not [key for key in keys if f"{key}`" not in page and f"{key}[]" not in page]


def test_every_sink_and_every_variable_of_the_meter_is_in_the_docs() -> None:
    page = (PROJECT / "docs" / "metering.md").read_text()

    assert [name for name in [*SINKS, *VARIABLES] if f"`{name}`" not in page] == []


def test_every_option_of_a_sink_is_in_the_docs_with_its_default() -> None:
    page = (PROJECT / "docs" / "metering.md").read_text()
    table = page.partition("## Options of the sinks")[2].partition("**EMF.**")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.count(" | ") >= 3]
    documented = [(row[1].strip("` "), row[2].strip("`")) for row in rows if row[1] != "option"]

    assert documented == [
        (name, default_of(kind.opener, name)) for kind in SINKS.values() for name in kind.options
    ]


def default_of(opener: str, option: str) -> str:
    module, function = opener.split(":")
    default = signature(getattr(import_module(module), function)).parameters[option].default
    if default is Parameter.empty:
        return "required"
    return "none" if default is None else json.dumps(default)


def schema() -> Any:
    return json.loads((PROJECT / "docs" / "pack.schema.json").read_text())


@pytest.mark.parametrize(
    ("change", "is_valid"),
    [
        ({}, True),
        ({"cost_nano_usd": None}, True),
        ({"cost_nano_usd": -1}, False),
        ({"cost_nano_usd": 1.5}, False),
        ({"cost_nano_usd": 10**15 + 1}, False),
        ({"id": ""}, False),
        ({"attributes": {"user": 7}}, False),
    ],
)
def test_the_published_schema_and_the_recorder_agree(
    change: dict[str, Any], is_valid: bool
) -> None:
    text = a_pack("p", a_record(**change))
    read = read_pack(text, received_at=parse_utc("2026-11-21T12:00:00Z"))

    assert jsonschema.Draft202012Validator(schema()).is_valid(json.loads(text)) is is_valid
    assert (not read.rejected) is is_valid


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_packages_named_in_the_docs_can_be_imported() -> None:
    for page in PAGES:
        for name in re.findall(r"`src/(spendfuse/[a-z_/]+)\.py`", page.read_text()):
            import_module(name.replace("/", "."))
