"""The one folder that all Lambdas are deployed from: the same bytes on every synth.

Pure Python only. A compiled wheel of this machine would not import on AWS's arm64, so
``stacks.preflight`` refuses one. boto3 is not in it: the runtime brings its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory

from spendfuse.definitions import FILE_NAME, Definitions

ROOT = Path(__file__).parents[1]

# Named one by one: config needs pydantic, and cli, sandbox and insight have no place on AWS.
_FLOOR = ("__init__", "budget", "clock", "definitions", "errors", "fuse_state", "money", "period")
_ROOMS = ("alerts", "fuse", "ledger")
_LIBRARIES = ("slack_sdk",)


@contextmanager
def lambda_asset(definitions: Definitions, *, root: Path = ROOT) -> Iterator[Path]:
    """Assemble the asset, and remove it when the stacks have taken their copy."""
    with TemporaryDirectory(prefix="spendfuse-asset-") as folder:
        asset = Path(folder) / "asset"
        assemble(asset, definitions, root=root)
        yield asset


def assemble(asset: Path, definitions: Definitions, *, root: Path = ROOT) -> None:
    """Fill the new folder ``asset``."""
    _copy_python(root / "lambdas", asset / "lambdas")
    package = root / "src" / "spendfuse"
    for room in _ROOMS:
        _copy_python(package / room, asset / "spendfuse" / room)
    for module in _FLOOR:
        shutil.copyfile(package / f"{module}.py", asset / "spendfuse" / f"{module}.py")
    for library in _LIBRARIES:
        _copy_library(library, asset)
    (asset / FILE_NAME).write_text(definitions.to_json(), encoding="utf-8")


def _copy_python(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for file in sorted(source.rglob("*.py")):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def _copy_library(name: str, asset: Path) -> None:
    """Copy an installed library and its licence, without what the installer wrote."""
    for file in distribution(name).files or ():
        is_code = file.parts[0] == name and "__pycache__" not in file.parts
        is_licence = file.parts[0].endswith(".dist-info") and "LICENSE" in file.name.upper()
        if is_code or is_licence:
            copy = asset / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), copy)
