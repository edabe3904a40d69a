"""The one folder all functions run from: nothing of this machine in it, and all they need."""

from dataclasses import replace
from pathlib import Path

import pytest
from infra.lambda_runtime import imports, runs

from spendfuse.definitions import definitions_from_json
from stacks.asset import assemble

FUNCTIONS = ("notify", "publish_gauges", "record_usage", "trip_fuse", "watch_budgets")


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


def test_a_zone_travels_with_the_budget_that_has_it(config, runtime, tmp_path):
    berlin = replace(config.definitions.root, name="berlin", period="day", zone="Europe/Berlin")
    budgets = (*config.definitions.budgets, berlin)
    assemble(tmp_path / "asset", replace(config.definitions, budgets=budgets))
    # As on Lambda, whose image has no zones.
    midnight = (
        "import datetime, zoneinfo; zoneinfo.reset_tzpath(());"
        "from lambdas import definitions_file;"
        "budget = definitions_file.load().budget('berlin');"
        "noon = datetime.datetime(2026, 7, 1, 12, tzinfo=datetime.UTC);"
        "print(budget.period_at(noon).start.isoformat())"
    )

    done = runs(tmp_path / "asset", runtime, midnight)

    assert (done.stdout.strip(), done.stderr) == ("2026-06-30T22:00:00+00:00", "")
    assert list((tmp_path / "asset").glob("tzdata-*/**/LICENSE"))


def test_where_all_days_begin_in_utc_no_zones_travel(asset):
    assert not list(asset.glob("tzdata*"))


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
