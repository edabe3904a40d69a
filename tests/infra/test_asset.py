"""The one folder all functions run from: nothing of this machine in it, and all they need."""

from pathlib import Path

import pytest
from infra.lambda_runtime import imports

from spendfuse.definitions import definitions_from_json
from stacks.asset import assemble

FUNCTIONS = ("notify", "record_usage", "trip_fuse", "watch_budgets")


@pytest.fixture(scope="module")
def asset(config, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("staging") / "asset"
    assemble(folder, config.definitions)
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_handler_imports_from_the_asset_and_the_runtime_alone(asset, runtime, function):
    done = imports(asset, runtime, f"lambdas.{function}.handler")

    assert (done.returncode, done.stderr) == (0, "")


def test_slack_sdk_imports_from_the_asset_alone(asset, tmp_path):
    done = imports(asset, tmp_path, "slack_sdk.webhook")

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("room", ["cli", "config", "sandbox"])
def test_what_needs_other_libraries_stays_out(asset, room):
    assert not (asset / "spendfuse" / room).exists()


def test_the_definitions_travel_with_the_code(asset, config):
    text = (asset / "definitions.json").read_text()

    assert definitions_from_json(text) == config.definitions


def test_only_source_text_and_licences_are_in_it(asset):
    suffixes = {file.suffix for file in asset.rglob("*") if file.is_file()}

    assert suffixes <= {".py", ".json", ".typed", ""}
    assert list(asset.rglob("LICENSE*"))


def test_two_assets_have_the_same_bytes(asset, config, tmp_path):
    assemble(tmp_path / "again", config.definitions)

    assert files_in(tmp_path / "again") == files_in(asset)
