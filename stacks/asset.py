"""The one folder that all Lambdas are deployed from: the same bytes on every synth.

Pure Python only. A compiled wheel of this machine would not import on AWS's arm64, so
``stacks.preflight`` refuses one. boto3 is not in it: the runtime brings its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory

from spendfuse.definitions import FILE_NAME, Definitions
from spendfuse.period import UTC_ZONE

ROOT = Path(__file__).parents[1]

# Named one by one: config needs pydantic, and cli, sandbox and insight have no place on AWS.
_FLOOR = (
    "__init__",
    "budget",
    "clock",
    "definitions",
    "errors",
    "fuse_state",
    "metrics",
    "money",
    "period",
)
_ROOMS = ("alerts", "fuse", "ledger")
_LIBRARIES = ("slack_sdk",)
# In the asset only where a budget's day begins elsewhere: Lambda's image has no zones.
_ZONES = "tzdata"
# In the asset only where Bedrock's log is metered.
_BEDROCK_FLOOR = ("bedrock_rules",)
_BEDROCK_ROOMS = ("metering",)
_BEDROCK_FUNCTION = "meter_bedrock"


@contextmanager
def lambda_asset(
    definitions: Definitions, *, bedrock: Mapping[str, str] | None = None, root: Path = ROOT
) -> Iterator[Path]:
    """Assemble the asset, and remove it when the stacks have taken their copy.

    Args:
        definitions: what the deployment enforces.
        bedrock: the files of the function that meters Bedrock's log, by name; None leaves the
            function out, and all that only it needs.
        root: the checkout.
    """
    with TemporaryDirectory(prefix="spendfuse-asset-") as folder:
        asset = Path(folder) / "asset"
        assemble(asset, definitions, bedrock=bedrock, root=root)
        yield asset


def assemble(
    asset: Path,
    definitions: Definitions,
    *,
    bedrock: Mapping[str, str] | None = None,
    root: Path = ROOT,
) -> None:
    """Fill the new folder ``asset``; arguments as for ``lambda_asset``."""
    rooms = _ROOMS if bedrock is None else _ROOMS + _BEDROCK_ROOMS
    modules = _FLOOR if bedrock is None else _FLOOR + _BEDROCK_FLOOR
    leave_out = _BEDROCK_FUNCTION if bedrock is None else None
    _copy_python(root / "lambdas", asset / "lambdas", leave_out=leave_out)
    package = root / "src" / "spendfuse"
    for room in rooms:
        _copy_python(package / room, asset / "spendfuse" / room)
    for module in modules:
        shutil.copyfile(package / f"{module}.py", asset / "spendfuse" / f"{module}.py")
    for library in _LIBRARIES:
        _copy_library(library, asset)
    if any(budget.zone != UTC_ZONE for budget in definitions.budgets):
        _copy_library(_ZONES, asset)
    for name, text in {FILE_NAME: definitions.to_json(), **(bedrock or {})}.items():
        (asset / name).write_text(text, encoding="utf-8")


def _copy_python(source: Path, target: Path, *, leave_out: str | None = None) -> None:
    target.mkdir(parents=True)
    for file in sorted(source.rglob("*.py")):
        if file.relative_to(source).parts[0] == leave_out:
            continue
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def _copy_library(name: str, asset: Path) -> None:
    """Copy an installed library, its data and its licence, without what the installer wrote."""
    for file in distribution(name).files or ():
        is_code = file.parts[0] == name and "__pycache__" not in file.parts
        is_licence = file.parts[0].endswith(".dist-info") and "LICENSE" in file.name.upper()
        if is_code or is_licence:
            copy = asset / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), copy)
